import Foundation
import TestSupport
import Testing

/// The command line and the checks at start: output, exit codes, messages.
@Suite(.daemons)
struct CommandLineTests {
    private func invoke(_ arguments: String..., environment: [String: String] = [:]) throws -> CommandResult {
        try run(
            [Program.underTest.path] + arguments,
            environment: baseEnvironment.merging(environment) { $1 }
        )
    }

    @Test(arguments: [["-h"], ["--help"], ["-?"], ["--usage"], ["-h", "-v"], ["-h", "--no-such-flag"]])
    func help(arguments: [String]) throws {
        let result = try run([Program.underTest.path] + arguments)
        #expect(result.status == .code(0))
        #expect(result.output.hasPrefix("Usage: "))
        #expect(
            result.output.contains("[-n] [-e] [-h] [-i] [-m] [-v] [-t] [-p <prefix>] [-g <pid>] [-c <file>]")
        )
        #expect(result.errors.isEmpty)
    }

    @Test(arguments: [
        ["--no-such-flag"], ["-Z"], ["--memory-limit=1G"], ["stray"], ["-y"], ["-F", "stray"],
        ["--fpm-confi", "x"],
    ])
    func wrongFlag(arguments: [String]) throws {
        let result = try run([Program.underTest.path] + arguments)
        #expect(result.status == .code(64))
        #expect(result.output.hasPrefix("Usage: "))
    }

    @Test(
        .fpmdOnly("does not say what is wrong"),
        arguments: [
            (["--no-such-flag"], "wrong option, or one without its value: '--no-such-flag'"),
            (["-F", "-y", "x", "-Z"], "wrong option, or one without its value: '-Z'"),
            (["-F", "-y"], "wrong option, or one without its value: '-y'"),
            (["-F", "stray"], "there is nothing to do with 'stray': only options are taken"),
            (["--", "-F"], "there is nothing to do with '-F': only options are taken"),
        ]
    )
    func wrongFlagIsNamed(arguments: [String], complaint: String) throws {
        let result = try run([Program.underTest.path] + arguments)
        #expect(result.status == .code(64))
        #expect(result.errors == "fpmd: \(complaint)\n")
    }

    @Test(arguments: [
        ["-v"], ["--version"], ["-v", "-Z"], ["-nv"], ["-dmemory-limit=1G", "-v"], ["-d", "foo", "-v"],
    ])
    func version(arguments: [String]) throws {
        let result = try run([Program.underTest.path] + arguments)
        #expect(result.status == .code(0))
        let lines = result.output.split(separator: "\n")
        #expect(lines.first?.contains(#/^PHP 8\.\d+\.\d+\S* \(fpm-fcgi\) \(built: .+\)/#) == true)
        #expect(lines.dropFirst().first?.hasPrefix("Copyright (c) ") == true)
        #expect(lines.contains { $0.hasPrefix("Zend Engine v") })
    }

    @Test func modules() throws {
        let result = try invoke("-m", environment: ["PHP_INI_SCAN_DIR": "/etc/php/8.2/fpm/conf.d"])
        #expect(result.status == .code(0))
        let parts = result.output.components(separatedBy: "\n\n")
        let modules = parts.first?.split(separator: "\n").map(String.init) ?? []
        #expect(modules.first == "[PHP Modules]")
        #expect(modules.contains("cgi-fcgi"))
        #expect(modules.contains("standard"))
        #expect(
            modules.dropFirst().map { $0.lowercased() }
                == modules.dropFirst().map { $0.lowercased() }.sorted()
        )
        #expect(result.output.contains("[Zend Modules]"))
    }

    /// Stray words do not matter to it.
    @Test(arguments: [["-i"], ["-i", "stray"]]) func phpInformation(arguments: [String]) throws {
        let result = try run([Program.underTest.path] + arguments, environment: baseEnvironment)
        #expect(result.status == .code(0))
        #expect(result.output.contains("Server API => FPM/FastCGI"))
        #expect(result.output.contains("php-fpm => active"))
    }

    @Test(arguments: ["-n", "-c"]) func phpIni(flag: String) throws {
        let directory = try TestContext.required().makeDirectory("ini")
        try "precision = 3\n".write(toFile: directory + "/php.ini", atomically: false, encoding: .utf8)
        let arguments = flag == "-n" ? ["-n", "-i"] : ["-c", directory, "-i"]
        let result = try run(
            [Program.underTest.path] + arguments,
            environment: baseEnvironment.merging(["PHPRC": directory, "PHP_INI_SCAN_DIR": ""]) { $1 }
        )
        #expect(result.output.contains(flag == "-n" ? "precision => 14 => 14" : "precision => 3 => 3"))
    }

    @Test func definesIniSettings() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1",
            .init(arguments: ["-d", "precision=4", "-dhtml_errors"])
        )
        let before = try daemon.get("/settings.php", query: "names=precision,html_errors").json["before"]
        #expect(before as? [String: String] == ["precision": "4", "html_errors": "1"])
    }

    // MARK: Configuration test

    private static let pool = "pm = static\npm.max_children = 2"

    private func test(_ pools: String, flags: [String], status: Int32) throws -> Daemon {
        var options = Daemon.Options()
        options.mode = flags + ["-R"]
        return try Daemon.startInVain(pools, options, status: status)
    }

    @Test(arguments: ["-t", "--test"]) func configurationTest(flag: String) throws {
        let tested = try test(Daemon.poolSection(Self.pool), flags: [flag], status: 0)
        #expect(
            tested.log.lines.count {
                $0.hasSuffix("NOTICE: configuration file \(tested.configurationPath) test is successful")
            } == 1
        )
        #expect(tested.log.lines.last == "")
        #expect(tested.log.lines.count == 2)
    }

    /// php-fpm says so, too, but not with its status; a reload would be refused.
    @Test(.fpmdOnly("ends with status 0")) func configurationTestWithABrokenPHPIni() throws {
        var options = Daemon.Options(ini: .neutral("[broken"))
        options.mode = ["-t", "-R"]
        let tested = try Daemon.startInVain(Daemon.poolSection(Self.pool), options, status: 78)
        let lines = tested.log.lines.filter { !$0.isEmpty }
        #expect(lines.count == 2, "\(lines)")
        #expect(
            lines.first?.contains(/^PHP:  syntax error, .* in .*\/php\.ini on line \d+$/) == true,
            "\(lines)"
        )
        #expect(lines.last?.hasSuffix("ERROR: FPM initialization failed") == true, "\(lines)")
    }

    @Test(arguments: [["-tt"], ["-t", "-t"], ["-t", "--test"]]) func configurationDump(flags: [String]) throws
    {
        let more = """
            \(Self.pool)
            php_value[error_reporting] = E_ALL
            php_admin_flag[log_errors] = on
            env[NAME] = value
            access.suppress_path[] = /ping
            """
        let tested = try test(Daemon.poolSection(more), flags: flags, status: 0)
        let dump = tested.log.lines.compactMap { $0.firstMatch(of: #/NOTICE: (.*)$/#).map { String($0.1) } }
        for line in [
            "[global]", "\tpid = \(tested.directory)/fpm.pid", "\terror_log = \(tested.directory)/error.log",
            "\tsyslog.ident = php-fpm", "\tsyslog.facility = 24", "\tlog_buffering = yes",
            "\tlog_limit = 1024",
            "\tprocess_control_timeout = 0s", "\tprocess.priority = undefined", "\tdaemonize = yes",
            "[www]", "\tprefix = undefined", "\tuser = www-data", "\tlisten.mode = undefined",
            "\tpm = static",
            "\tpm.max_children = 2", "\tpm.max_spawn_rate = 32", "\tpm.process_idle_timeout = 10",
            "\trequest_terminate_timeout = 0s", "\tcatch_workers_output = no",
            "\tdecorate_workers_output = yes",
            "\tclear_env = yes", "\tsecurity.limit_extensions = .php .phar",
            "\tphp_value[error_reporting] = 32767",
            "\tphp_admin_value[log_errors] = 1", "\tenv[NAME] = value", "\taccess.suppress_path[] = /ping",
        ] {
            #expect(dump.contains(line), "\(line)")
        }
        #expect(tested.log.count(of: /test is successful/) == 1)
    }

    // MARK: Refusals

    struct Refusal: Sendable, CustomStringConvertible {
        let pool: String
        let message: String
        var description: String { message }
    }

    @Test(arguments: [
        Refusal(
            pool: "",
            message: "ALERT: [pool www] the process manager is missing (static, dynamic or ondemand)"
        ),
        Refusal(pool: "pm = static", message: "ALERT: [pool www] pm.max_children must be a positive value"),
        Refusal(
            pool: "pm = sometimes",
            message:
                "unable to parse value for entry 'pm': invalid process manager (static, dynamic or ondemand)"
        ),
        Refusal(
            pool: "pm = static\npm.max_children = x",
            message:
                "unable to parse value for entry 'pm.max_children': is not a valid number (greater or equal than zero)"
        ),
        Refusal(pool: "\(pool)\nno.such = 1", message: "unknown entry 'no.such'"),
        Refusal(
            pool: "\(pool)\nclear_env = perhaps",
            message: "unable to parse value for entry 'clear_env': invalid boolean value"
        ),
        Refusal(
            pool: "\(pool)\nrequest_terminate_timeout = 5x",
            message: "unknown suffix used in time value"
        ),
        Refusal(
            pool: "\(pool)\nuser = aaaaaa",
            message: "ERROR: [pool www] cannot get uid for user 'aaaaaa'"
        ),
        Refusal(
            pool: "\(pool)\ngroup = aaaaaa",
            message: "ERROR: [pool www] cannot get gid for group 'aaaaaa'"
        ),
        Refusal(
            pool: "\(pool)\nlisten.owner = aaaaaa",
            message: "ERROR: [pool www] cannot get uid for user 'aaaaaa'"
        ),
        Refusal(
            pool: "\(pool)\nlisten.group = aaaaaa",
            message: "ERROR: [pool www] cannot get gid for group 'aaaaaa'"
        ),
        Refusal(pool: "\(pool)\nlisten = 127.0.0.1:69002", message: "ERROR: invalid port value '69002'"),
        Refusal(pool: "\(pool)\nlisten =", message: "ALERT: [pool www] no listen address have been defined!"),
        Refusal(pool: "\(pool)\nchroot = relative", message: "the chroot path"),
        Refusal(
            pool: "\(pool)\nchdir = /no/such",
            message: "[pool www] the chdir path '/no/such' does not exist or is not a directory"
        ),
        Refusal(
            pool: "\(pool)\nprefix = /no/such",
            message: "[pool www] the prefix '/no/such' does not exist or is not a directory"
        ),
        Refusal(
            pool: "\(pool)\nping.path = ping",
            message: "[pool www] the ping path 'ping' must start with a '/'"
        ),
        Refusal(
            pool: "\(pool)\npm.status_path = /st%20",
            message: "must contain only the following characters"
        ),
        Refusal(
            pool: "\(pool)\naccess.log = /no/such/log",
            message: "failed to open access log (/no/such/log): No such file or directory (2)"
        ),
        Refusal(
            pool: "\(pool)\naccess.log = {{DIR}}/a.log\naccess.format = %Z",
            message: "[pool www] wrong format for access.format '%Z'"
        ),
        Refusal(
            pool: "\(pool)\nrequest_slowlog_timeout = 1",
            message: "'slowlog' must be specified for use with 'request_slowlog_timeout'"
        ),
        Refusal(pool: "\(pool)\nphp_value[] = 1", message: "You must provide a key for field 'php_value'"),
        Refusal(
            pool: "\(pool)\naccess.suppress_path[] = ping",
            message: "Values provided to field 'access.suppress_path' must begin with '/'"
        ),
        Refusal(
            pool: "pm = dynamic\npm.max_children = 2\npm.min_spare_servers = 3\npm.max_spare_servers = 3",
            message: "cannot be greater than pm.max_children(2)"
        ),
        Refusal(pool: "\(pool)\n[other]\npm = static", message: "[pool other] user has not been defined"),
    ])
    func refusal(test: Refusal) throws {
        var options = Daemon.Options()
        if test.message.contains("user has not been") { options.mode = ["-F", "-O"] }
        let refused = try Daemon.startInVain(Daemon.poolSection(test.pool), options)
        #expect(refused.log.lines.contains { $0.contains(test.message) })
        #expect(refused.log.count(of: /ERROR: FPM initialization failed$/) == 1)
    }

    @Test func globalRefusals() throws {
        for (line, message) in [
            ("log_limit = 64", "ERROR: log_limit must be greater than 512"),
            ("process.max = -1", "process_max can't be negative"),
            ("log_level = loud", "invalid value for 'log_level'"),
            ("include = {{DIR}}/no/*/such.conf", "Unable to globalize|Nothing matches the include pattern"),
            ("error_log = /no/such/dir/log", "failed to open error_log (/no/such/dir/log)"),
            ("env[A] = 1", "Array are not allowed in the global section"),
        ] {
            let refused = try Daemon.startInVain(
                line.hasPrefix("include") ? "" : Daemon.poolSection(Self.pool),
                .init(global: line)
            )
            #expect(
                message.split(separator: "|").contains { refused.log.lines.joined().contains($0) },
                "\(line)"
            )
        }
    }

    /// As of a variable that is not set: `-y "$FILE"`.
    @Test func emptyNameOfConfigurationFile() throws {
        let prefix = try #require(realpath("/tmp", nil).map { String(cString: $0) })
        let result = try invoke("-t", "-d", "fpm.config=/other.conf", "-p", prefix, "-y", "")
        #expect(result.status == .code(78))
        #expect(
            result.errors.contains(
                "ERROR: failed to open configuration file '\(prefix)/etc/php-fpm.conf': No such file or directory (2)"
            )
        )
    }

    @Test func missingConfigurationFile() throws {
        let result = try invoke("-F", "-y", "/no/such.conf")
        #expect(result.status == .code(78))
        #expect(
            result.errors.contains(
                "ERROR: failed to open configuration file '/no/such.conf': No such file or directory (2)"
            )
        )
        #expect(result.errors.contains("ERROR: failed to load configuration file '/no/such.conf'"))
        #expect(result.errors.contains("ERROR: FPM initialization failed"))
        #expect(result.output.isEmpty)
    }

    @Test func noPool() throws {
        let refused = try Daemon.startInVain("")
        #expect(
            refused.log.count(
                of: /No pool defined. at least one pool section must be specified in config file/
            ) == 1
        )
    }

    @Test(.needsRoot) func rootIsRefusedUnlessAllowed() throws {
        var options = Daemon.Options()
        options.mode = ["-F", "-O"]
        let pool = "[www]\nuser = root\ngroup = root\nlisten = {{SOCKET}}\n\(Self.pool)"
        let refused = try Daemon.startInVain(pool, options)
        #expect(
            refused.log.count(of: /ERROR: \[pool www\] please specify user and group other than root/) == 1
        )
        let daemon = try Daemon.start(pool)
        #expect(try daemon.get("/identity.php").json["uid"] as? Int == 0)
    }

    /// `-O` says so, whether the foreground is an option or a directive: the log is stderr, and the file stays empty.
    @Test(arguments: ["-F", nil]) func standardErrorAlone(foreground: String?) throws {
        var options = Daemon.Options(global: "daemonize = no")
        options.mode = [foreground, "-O", "-R"].compactMap { $0 }
        let daemon = try Daemon.startPool(Self.pool, options)
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(try daemon.stop() == .code(0))
        let file = daemon.directory + "/error.log"
        #expect(FileManager.default.fileExists(atPath: file))
        #expect(readText(file) == "")
        #expect(daemon.log.count(of: /exiting, bye-bye!$/) == 1)
    }

    @Test func includedFiles() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        let pools = daemon.directory + "/pools"
        try FileManager.default.createDirectory(atPath: pools, withIntermediateDirectories: false)
        for name in ["b", "a", "10"] {
            let text =
                "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\npm = static\npm.max_children = 1\n"
                .replacingOccurrences(of: "{{SOCKET:\(name)}}", with: "\(daemon.directory)/\(name).sock")
            try text.write(toFile: "\(pools)/\(name).conf", atomically: false, encoding: .utf8)
        }
        try daemon.rewriteConfiguration("include = \(pools)/*.conf\n")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/Reloading in progress/)
        try daemon.waitForLog(/ready to handle connections/)
        for name in ["a", "b", "10"] {
            let connection = try FastCGIConnection(.unix("\(daemon.directory)/\(name).sock"))
            try connection.send(daemon.makeRequest("/hello.php"))
            #expect(try connection.finalResponse().isComplete)
        }
    }

    @Test func prefix() throws {
        let directory = try TestContext.required().makeDirectory("prefix")
        for name in ["etc", "log", "run"] {
            try FileManager.default.createDirectory(
                atPath: "\(directory)/\(name)",
                withIntermediateDirectories: false
            )
        }
        try """
        [global]
        pid = run/own.pid
        error_log = log/own.log
        [www]
        user = www-data
        listen = run/own.sock
        access.log = log/access.log
        \(Self.pool)
        """.write(toFile: directory + "/etc/php-fpm.conf", atomically: false, encoding: .utf8)
        let output = directory + "/output"
        let process = try ChildProcess(
            [Program.underTest.path, "-R", "-F", "-p", directory],
            environment: baseEnvironment,
            output: output,
            errors: output
        )
        try LogFile(path: directory + "/log/own.log").wait(for: /ready to handle connections/)
        #expect(readText(directory + "/run/own.pid") == "\(process.pid)")
        let connection = try FastCGIConnection(.unix(directory + "/run/own.sock"))
        try connection.send(FastCGIRequest("/hello.php", root: sourceRoot + "/Tests/Fixtures"))
        #expect(try connection.finalResponse().isComplete)
        process.send(SIGTERM)
        #expect(try process.wait() == .code(0))
        #expect(LogFile(path: directory + "/log/access.log").lines.count == 1)
        #expect(!FileManager.default.fileExists(atPath: directory + "/run/own.pid"))
        #expect(!FileManager.default.fileExists(atPath: directory + "/run/own.sock"))
    }

    @Test func quietAtLevelWarning() throws {
        var options = Daemon.Options(global: "log_level = warning")
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool(Self.pool, options)
        try wait(for: "the daemon to serve") { (try? daemon.get("/hello.php"))?.isComplete == true }
        try daemon.stop()
        #expect(daemon.log.lines.isEmpty)
    }
}
