import Foundation
import TestSupport
import Testing

/// Configurations good and bad: the same words and the same exit code from both programs.
@Suite(.daemons, .needsReference)
struct ConfigurationParityTests {
    private static let pool =
        "[www]\nuser = www-data\nlisten = {{SOCKET}}\npm = static\npm.max_children = 1\n"

    private func compare(
        _ name: String,
        _ text: String,
        flags: [String] = ["-tt", "-R"],
        global: String = ""
    ) throws {
        guard let program = Program.reference else { return }
        let results = try [program, Program.underTest].map { program in
            var options = Daemon.Options(program: program, global: global, ini: .distribution)
            options.mode = flags
            options.waitsUntilReady = false
            let daemon = try Daemon.start(text, options)
            daemon.allowLog(/.*/)
            let status = try daemon.process.wait()
            daemon.expectEnd(status)
            return "\(status)\n"
                + normalise(readText(daemon.log.path) + readText(daemon.outputPath), of: daemon)
        }
        expectSame("configuration \(name)", "text", results[0], results[1])
    }

    @Test func dumps() throws {
        try compare("minimal", Self.pool)
        try compare("minimal -t", Self.pool, flags: ["-t", "-R"])
        try compare("without -R", Self.pool, flags: ["-t"])
        try compare(
            "everything",
            """
            [first]
            prefix = {{DIR}}
            user = www-data
            group = nogroup
            listen = 127.0.0.1:{{PORT}}
            listen.backlog = 64
            listen.owner = www-data
            listen.group = www-data
            listen.mode = 0640
            listen.allowed_clients = 127.0.0.1,::1
            process.priority = -3
            process.dumpable = yes
            pm = dynamic
            pm.max_children = 10
            pm.start_servers = 3
            pm.min_spare_servers = 2
            pm.max_spare_servers = 5
            pm.max_spawn_rate = 7
            pm.process_idle_timeout = 2m
            pm.max_requests = 500
            pm.status_path = /status
            pm.status_listen = {{SOCKET:status}}
            ping.path = /ping
            ping.response = alive
            access.log = access.log
            access.format = "%R %t"
            access.suppress_path[] = /a
            access.suppress_path[] = /b
            slowlog = slow.log
            request_slowlog_timeout = 5s
            request_slowlog_trace_depth = 7
            request_terminate_timeout = 1h
            request_terminate_timeout_track_finished = yes
            rlimit_files = 512
            rlimit_core = unlimited
            chdir = /tmp
            catch_workers_output = yes
            decorate_workers_output = no
            clear_env = no
            security.limit_extensions = .php .html
            env[A] = 1
            env[B] = $HOME
            env[C] = a$pool
            php_value[precision] = 3
            php_flag[html_errors] = off
            php_admin_value[error_log] = rel.log
            php_admin_value[error_reporting] = E_ALL & ~E_NOTICE
            php_admin_flag[log_errors] = on
            [second]
            user = nobody
            listen = /tmp/$pool.sock
            pm = ondemand
            pm.max_children = 2
            """,
            global: """
                log_level = debug
                log_level = warning
                log_level = notice
                syslog.ident = x
                syslog.facility = LOCAL3
                log_limit = 4096
                log_buffering = no
                emergency_restart_threshold = 3
                emergency_restart_interval = 1m
                process_control_timeout = 5
                process.max = 20
                process.priority = -2
                daemonize = no
                rlimit_files = 1000
                rlimit_core = 0
                systemd_interval = 20
                """
        )
    }

    @Test func values() throws {
        for line in [
            "clear_env = ON", "clear_env = \"Yes\"", "clear_env = \"yes\"", "clear_env = none", "clear_env =",
            "clear_env = 2",
            "pm.max_requests = -5", "pm.max_requests =", "pm.max_requests = 1k",
            "pm.max_requests = 99999999999",
            "request_terminate_timeout = 10ms", "request_terminate_timeout = 1.5m",
            "request_terminate_timeout = abc5",
            "request_terminate_timeout = -5", "request_terminate_timeout = 10M",
            "request_terminate_timeout = off",
            "request_terminate_timeout = 2d", "request_terminate_timeout =", "rlimit_core = UNLIMITED",
            "rlimit_core = -1", "rlimit_core = x",
            "listen.mode = 0999", "listen.mode = abc", "process.priority = 50", "process.priority = -20",
            "pm = STATIC", "pm =",
            "user = \"www-data\"", "group = 'nogroup'", "chdir = ''", "chdir = relative", "ping.path = /",
            "ping.path = /a b",
            "ping.path = /p;comment", "ping.response =", "access.log =", "slowlog = x",
            "request_slowlog_trace_depth = 3",
            "request_slowlog_timeout = 3", "security.limit_extensions =", "security.limit_extensions = FALSE",
            "listen = 9000x",
            "listen = [::1]:0", "listen = localhost:99999", "listen.backlog = -1",
            "listen.allowed_clients = x", "prefix =",
            "PM.MAX_CHILDREN = 7", "Include = /x", "include = /no/such", "php_value[a]", "php_value[a] =",
            "php_value[] = 1",
            "php_value = 1", "Env[A] = 1", "env[A] =", "env[] = x", "pm.max_children[a] = 1",
            "php_flag[x] = maybe", "php_flag[x] = On",
            "access.suppress_path[] = /x", "access.suppress_path[a] = /x", "access.suppress_path[] = x",
            "no.such = 1", "no.such[x] = 1",
            "# comment", "# a = b", "; comment", "novalue", "= value", "a = b = c", "chdir = /tmp/$pool",
            "chdir = ${HOME}",
            "chroot = $prefix", "chroot = x$prefix", "chroot = /tmp", "env[A] = \"quoted \\\" text\"",
            "env[A] = 'single $pool'",
            "env[A] = a b  c ; d", "env[A] = PHP_OS", "env[A] = 1|2", "env[A] = (1", "env[A] = \"unbalanced",
            "env[A] = !", "env[A] = ~1",
            "pm.status_path = status", "pm.status_path = /", "pm.status_listen =", "apparmor_hat = x",
            "decorate_workers_output = off",
            "pm = dynamic", "pm = ondemand", "pm = ondemand\nlisten.backlog = 5",
            "listen.acl_users = nobody\nlisten.owner = nobody",
            "pm = dynamic\npm.min_spare_servers = 1",
            "pm = dynamic\npm.min_spare_servers = 1\npm.max_spare_servers = 1\npm.start_servers = 9",
            "pm = dynamic\npm.min_spare_servers = 1\npm.max_spare_servers = 1\npm.max_spawn_rate = 0",
            "pm = ondemand\npm.process_idle_timeout = 0",
            "request_slowlog_timeout = 9\nslowlog = {{DIR}}/s\nrequest_terminate_timeout = 3",
            "access.log = {{DIR}}/a\naccess.format = %{x}s",
            "access.log = {{DIR}}/a\naccess.format = %{x}d", "access.log = {{DIR}}/a\naccess.format = %{x}M",
            "access.log = {{DIR}}/a\naccess.format = %{x}C",
            "access.log = {{DIR}}/a\naccess.format = %e", "access.log = {{DIR}}/a\naccess.format = %o",
            "access.log = {{DIR}}/a\naccess.format = %",
            "[]", "[ spaced ]\nuser = www-data", "[WWW]\npm.max_requests = 3", "[unclosed", "[www]x",
            "[global]\nlog_level = error\n[www]",
            "user = 1234", "user = 1234\ngroup = 1234", "user = 0", "user = root", "listen.owner = 99999",
            "listen.group = nosuch",
        ] {
            try compare(line, Self.pool + line + "\n")
        }
    }

    @Test func globalValues() throws {
        for line in [
            "log_level = WARN", "log_level = none", "log_level = alert", "log_limit = 512", "log_limit = 511",
            "syslog.facility = x",
            "process.max = -1", "process.priority = 21", "daemonize = maybe", "events.mechanism = kqueue",
            "events.mechanism = EPOLL",
            "events.mechanism = poll", "emergency_restart_interval = 1x", "error_log = /no/such/x",
            "error_log = {{DIR}}", "pid =",
            "env[A] = 1", "pm = static", "include = /no/such/*.conf", "include = {{DIR}}/none*",
            "systemd_interval = 0", "pid = $pool",
            "process_control_timeout = 1d", "error_log = syslog", "[global]\npid = /x",
            "rlimit_files = 99999999999",
        ] {
            try compare("global \(line)", Self.pool, global: line)
        }
        try compare("no pool", "")
        try compare(
            "empty user",
            "[www]\nlisten = {{SOCKET}}\npm = static\npm.max_children = 1",
            flags: ["-t"]
        )
        try compare("same listen", Self.pool + Self.pool.replacingOccurrences(of: "[www]", with: "[other]"))
        try compare("carriage returns", Self.pool.replacingOccurrences(of: "\n", with: "\r\n"))
        try compare("byte order mark", "\u{feff}" + Self.pool)
    }

    /// Also under the name of php-fpm.
    @Test func commandLines() throws {
        guard let reference = Program.reference else { return }
        let renamed = try TestContext.required().makeDirectory("name") + "/php-fpm"
        try FileManager.default.createSymbolicLink(
            atPath: renamed,
            withDestinationPath: Program.underTest.path
        )
        for arguments in [
            ["-v"], ["-m"], ["-h"], ["--help"], ["-Z"], ["--no-such"], ["x"], ["-y"], ["-y", "/no/such"],
            ["-t", "-y", "/no/such"], ["-tt", "-y", "/etc"],
            ["-p", "/no/such"], ["-t", "-p", "/tmp"], ["-c"], ["-d"], ["-d", "foo", "-v"], ["-n", "-m"],
            ["-vh"], ["-hv"], ["--version=1"], ["-y=/no/such"],
            ["--fpm-config=/no/such"], ["--fpm-config", "/no/such"], ["-F", "-D", "-y", "/no/such"],
            ["--", "-v"], ["-g", "/x", "-y", "/no"],
        ] {
            let results = try [reference.path, Program.underTest.path, renamed].map { program in
                let environment = baseEnvironment.merging([
                    "PHPRC": "/etc/php/8.2/fpm", "PHP_INI_SCAN_DIR": "/etc/php/8.2/fpm/conf.d",
                ]) { $1 }
                let result = try run([program] + arguments, environment: environment)
                return ("\(result.status)\n\(result.output)--\n\(result.errors)")
                    .replacing(#/^Usage: \S+/#.anchorsMatchLineEndings(), with: "Usage: PROGRAM")
                    .replacing(
                        #/^\[\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d\]/#.anchorsMatchLineEndings(),
                        with: "[TIME]"
                    )
                    .replacing(#/\(built: [^)]*\)/#, with: "(built)")
                    // What is wrong is php-fpm's secret.
                    .replacing(#/--\nfpmd: (wrong option|there is nothing to do).*\n/#, with: "--\n")
            }
            expectSame("arguments \(arguments)", "text", results[0], results[1])
            expectSame("arguments \(arguments)", "text", results[0], results[2])
        }
    }

    /// What phpinfo says of the build of the program, which is not php-fpm's, and of the process.
    private static let ofTheBuild = [
        "Configure Command =>", "Interned Strings Used memory =>", "Interned Strings Free memory =>",
        "Used memory =>", "Free memory =>", "Configuration File (php.ini) Path =>", "Build Date =>",
        "Build System =>",
        "$_SERVER[", "REQUEST_TIME", "$_ENV[",
        "_ =>", "PHP_SELF",
    ]

    @Test func phpInformation() throws {
        guard let reference = Program.reference else { return }
        let environment = baseEnvironment.merging([
            "PHPRC": "/etc/php/8.2/fpm", "PHP_INI_SCAN_DIR": "/etc/php/8.2/fpm/conf.d",
        ]) { $1 }
        let texts = try [reference, Program.underTest].map { program in
            try run([program.path, "-i"], environment: environment).output.split(separator: "\n")
                .filter { line in !Self.ofTheBuild.contains { line.hasPrefix($0) } }.joined(separator: "\n")
        }
        expectSame("phpinfo", "text", texts[0], texts[1])
    }
}
