import Foundation
import TestSupport
import Testing

/// What whoever starts the service gives it wrong: each said in one line, nothing guessed, nothing crashes.
@Suite(.daemons) struct BadInputTests {
    // MARK: Sockets that are handed over

    /// Opens what its arguments up to `end` say, hands that over from descriptor 3 on, and becomes the rest.
    private static let activator = #"""
        use Socket;
        use POSIX ();
        $^F = 255;
        my @all;
        while ((my $word = shift) ne "end") {
            my ($kind, $path) = split /=/, $word, 2;
            my $one;
            if ($kind eq "file") { open($one, "<", $path) or die; }
            elsif ($kind eq "datagram") { socket($one, PF_INET, SOCK_DGRAM, 0) or die; }
            elsif ($kind eq "again") { $one = $all[-1]; }
            elsif ($kind eq "abstract") {
                socket($one, PF_UNIX, SOCK_STREAM, 0) or die;
                bind($one, pack("S a*", PF_UNIX, "\0$path")) or die "$path: $!";
                listen($one, 64) or die;
            }
            elsif ($kind eq "tcp") {
                socket($one, PF_INET, SOCK_STREAM, 0) or die;
                setsockopt($one, SOL_SOCKET, SO_REUSEADDR, 1) or die;
                bind($one, sockaddr_in($path =~ /(\d+)$/, INADDR_LOOPBACK)) or die "$path: $!";
                listen($one, 64) or die;
            }
            else {
                socket($one, PF_UNIX, SOCK_STREAM, 0) or die;
                if ($kind eq "listening") {
                    bind($one, sockaddr_un($path)) or die "$path: $!";
                    chmod(0666, $path) or die;
                    listen($one, 64) or die;
                }
            }
            push @all, $one;
        }
        for (0 .. $#all) { POSIX::dup2(fileno($all[$_]), 100 + $_) or die; }
        for (0 .. $#all) { POSIX::dup2(100 + $_, 3 + $_) or die; }
        POSIX::close($_) for (3 + @all) .. 1023;
        $ENV{LISTEN_PID} = $$ if $ENV{LISTEN_PID} eq "own";
        exec @ARGV or die;
        """#

    private func options(_ handed: [String], _ variables: [String: String], in directory: String)
        -> Daemon.Options
    {
        var options = Daemon.Options(environment: variables)
        let words = handed.map { $0.replacingOccurrences(of: "=", with: "=\(directory)/") }
        options.wrapper = ["perl", "-e", Self.activator] + words + ["end"]
        return options
    }

    private static func pool(_ directory: String) -> String {
        """
        [www]
        user = www-data
        listen = \(directory)/www.sock
        listen.mode = 0666
        pm = static
        pm.max_children = 1

        """
    }

    struct Case: CustomTestStringConvertible, Sendable {
        let handed: [String]
        let variables: [String: String]
        let line: String
        var testDescription: String { "\(handed) \(variables)" }

        init(_ handed: [String], _ variables: [String: String], _ line: String) {
            (self.handed, self.variables, self.line) = (handed, variables, line)
        }

        /// With the LISTEN_PID that is right.
        init(_ handed: [String], count: String, names: String? = nil, _ line: String) {
            var variables = ["LISTEN_PID": "own", "LISTEN_FDS": count]
            variables["LISTEN_FDNAMES"] = names
            self.init(handed, variables, line)
        }
    }

    private static let www = "listening=www.sock"
    private static let other = "listening=other.sock"
    private static let remedy = "; correct it where fpmd is started"

    static let refused: [Case] = [
        Case([www], count: "one", "LISTEN_FDS: expected a number of descriptors, found \"one\"" + remedy),
        Case([www], count: "-1", "LISTEN_FDS: expected a number of descriptors, found \"-1\"" + remedy),
        Case(
            [www],
            count: "1\n2",
            "LISTEN_FDS: expected a number of descriptors, found \"1\\x0a2\"" + remedy
        ),
        Case(
            [www],
            count: "99999999999",
            "LISTEN_FDS: expected a number of descriptors, found \"99999999999\"" + remedy
        ),
        Case([www], count: "3", "LISTEN_FDS says 3, but descriptor 4 is not open, and 1 more" + remedy),
        Case(
            [www],
            count: "60000",
            "LISTEN_FDS says 60000, but descriptor 4 is not open, and 59998 more" + remedy
        ),
        Case([], count: "1", "LISTEN_FDS says 1, but descriptor 3 is not open" + remedy),
        Case(
            [www, other],
            count: "2",
            names: "www",
            "LISTEN_FDNAMES: expected 2 names as LISTEN_FDS says, found 1" + remedy
        ),
        Case(
            [www],
            count: "1",
            names: "www:x",
            "LISTEN_FDNAMES: expected 1 names as LISTEN_FDS says, found 2" + remedy
        ),
        Case(
            [www, "again"],
            count: "2",
            "descriptors 3 and 4 are both of the socket \"{{DIR}}/www.sock\"; hand it over once"
        ),
        Case(
            [www, other],
            count: "2",
            names: "x:www",
            "FileDescriptorName=www is of the socket \"{{DIR}}/other.sock\", but pool www has another one, \"{{DIR}}/www.sock\"; correct one of them"
        ),
        Case(
            [www],
            ["LISTEN_FDS": "1", "LISTEN_PID": "me"],
            "LISTEN_PID: expected a process id, found \"me\"" + remedy
        ),
        Case(
            [www],
            ["LISTEN_FDS": "1", "LISTEN_PID": "-5"],
            "LISTEN_PID: expected a process id, found \"-5\"" + remedy
        ),
        Case([www], ["LISTEN_FDS": "1"], "LISTEN_PID is not set, but LISTEN_FDS is" + remedy),
        Case([www], ["LISTEN_PID": "own"], "LISTEN_FDS is not set, but LISTEN_PID is" + remedy),
    ]

    @Test(.fpmdOnly("does not know them"), arguments: refused) func socketsThatMakeNoSense(_ one: Case) throws
    {
        let directory = try TestContext.required().makeDirectory("sockets")
        let daemon = try Daemon.startInVain(
            Self.pool(directory),
            options(one.handed, one.variables, in: directory)
        )
        let expected = one.line.replacingOccurrences(of: "{{DIR}}", with: directory)
        let errors = daemon.log.lines.filter { $0.contains(" ERROR: ") }
        #expect(errors.count == 2, "\(errors)")
        #expect(errors.first?.hasSuffix("ERROR: socket activation: " + expected) == true, "\(errors)")
    }

    static let unused: [Case] = [
        Case(
            ["file=www/hello.php"],
            count: "1",
            names: "a\n\u{1b}[31mb",
            "ERROR: socket activation: descriptor 3, \"a\\x0a\\x1b[31mb\", is not a listening stream socket; not used"
        ),
        Case(
            ["datagram", "idle"],
            count: "2",
            "ERROR: socket activation: descriptor 3, \"unknown\", is not a listening stream socket, and 1 more; not used"
        ),
        Case(
            [other],
            count: "1",
            names: "nobody",
            "WARNING: socket activation: no pool listens on \"{{DIR}}/other.sock\" or is called \"nobody\"; what connects there waits in vain: stop that socket unit, or give it a pool"
        ),
        Case(
            [],
            ["LISTEN_FDS": "1", "LISTEN_PID": "1"],
            "NOTICE: socket activation: LISTEN_PID is 1, but this is process {{PID}}: those sockets are not used; if they are meant for fpmd, start it directly or with exec"
        ),
        Case(
            [],
            ["FPM_SOCKETS": "nonsense,=3,/x=2,/x=y"],
            "ERROR: FPM_SOCKETS: expected ADDRESS=NUMBER with the number of a descriptor above 2, found \"nonsense\" and 3 more; not used"
        ),
        Case(
            [],
            ["FPM_SOCKETS": "/a\nb=77"],
            "ERROR: inherited socket fd=77, \"/a\\x0ab\" is not a listening socket; not used"
        ),
        Case(
            ["idle"],
            ["FPM_SOCKETS": "/x=3"],
            "ERROR: inherited socket fd=3, \"/x\" is not a listening socket; not used"
        ),
        Case(
            [other],
            ["FPM_SOCKETS": "{{DIR}}/other.sock=3,/y=3"],
            "ERROR: inherited socket fd=3 is named twice; \"/y\" not used"
        ),
    ]

    @Test(.fpmdOnly("does not know them, or says nothing"), arguments: unused)
    func socketsThatAreNotUsed(_ one: Case) throws {
        let directory = try TestContext.required().makeDirectory("sockets")
        try FileManager.default.createDirectory(
            atPath: directory + "/www",
            withIntermediateDirectories: false
        )
        try Data().write(to: URL(fileURLWithPath: directory + "/www/hello.php"))
        let variables = one.variables.mapValues { $0.replacingOccurrences(of: "{{DIR}}", with: directory) }
        let daemon = try Daemon.start(Self.pool(directory), options(one.handed, variables, in: directory))
        daemon.allowLog(/socket activation:|inherited socket fd=|FPM_SOCKETS:/)
        let expected = one.line.replacingOccurrences(of: "{{DIR}}", with: directory)
            .replacingOccurrences(of: "{{PID}}", with: "\(daemon.master)")
        let said = daemon.log.lines.filter { $0.contains(#/socket activation: |FPM_SOCKETS: |not used/#) }
        #expect(said.count == 1, "\(said)")
        #expect(said.first?.hasSuffix("] " + expected) == true, "\(said)")
        let connection = try FastCGIConnection(.unix(directory + "/www.sock"))
        try connection.send(daemon.makeRequest("/hello.php"))
        #expect(try connection.finalResponse().text == "hello, world\n")
    }

    /// A socket that is a pool's by its name need not be of the kind that `listen` says.
    @Test(.fpmdOnly("does not know them"), arguments: ["10.9.9.9", "10.9.9.9,127.0.0.1"])
    func allowedClientsOfAnotherKindOfSocket(allowed: String) throws {
        let directory = try TestContext.required().makeDirectory("sockets")
        let port = try Ports.unused()
        let daemon = try Daemon.start(
            Self.pool(directory) + "listen.allowed_clients = \(allowed)\n",
            options(
                ["tcp=\(port)"],
                ["LISTEN_PID": "own", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "www"],
                in: directory
            )
        )
        daemon.allowLog(/Connection disallowed/)
        let connection = try FastCGIConnection(.tcp("127.0.0.1", port))
        try? connection.send(daemon.makeRequest("/hello.php"))
        if allowed.contains("127.0.0.1") {
            #expect(try connection.finalResponse().text == "hello, world\n")
        } else {
            #expect(try connection.readToEnd().isEmpty)
        }
    }

    /// Unix sockets whose names are no files: each is another one, and their clients have no address.
    @Test(.fpmdOnly("does not know them"), arguments: ["{{SOCKET}}", "127.0.0.1:{{PORT}}"])
    func abstractSockets(listen: String) throws {
        let directory = try TestContext.required().makeDirectory("sockets")
        let names = ["www", "api"]
        let pools = names.map { name in
            """
            [\(name)]
            user = www-data
            listen = \(listen.replacing("}}", with: ":\(name)}}"))
            listen.allowed_clients = 127.0.0.1
            pm = static
            pm.max_children = 1

            """
        }
        let daemon = try Daemon.start(
            pools.joined(),
            options(
                names.map { "abstract=\($0)" },
                ["LISTEN_PID": "own", "LISTEN_FDS": "2", "LISTEN_FDNAMES": names.joined(separator: ":")],
                in: directory
            )
        )
        for name in names {
            let address = "\(directory)/\(name)"
            #expect(daemon.log.lines.contains { $0.hasSuffix("\"@\(address)\"") })
            let connection = try FastCGIConnection(.unix("\0" + address))
            try connection.send(daemon.makeRequest("/hello.php"))
            #expect(try connection.finalResponse().text == "hello, world\n")
        }
    }

    // MARK: Directories

    struct Place: CustomTestStringConvertible, Sendable {
        let global: String
        let pool: String
        let line: String
        var hint = "make the directory {{DIR}}/no, or correct the path"
        var testDescription: String { global + pool }
    }

    static let missing: [Place] = [
        Place(global: "error_log = {{DIR}}/no/f", pool: "", line: "failed to open error_log ({{DIR}}/no/f)"),
        Place(global: "pid = {{DIR}}/no/f", pool: "", line: "Unable to create the PID file ({{DIR}}/no/f)."),
        Place(
            global: "",
            pool: "listen = {{DIR}}/no/f",
            line: "unable to bind listening socket for address '{{DIR}}/no/f'"
        ),
        Place(
            global: "",
            pool: "access.log = {{DIR}}/no/f",
            line: "failed to open access log ({{DIR}}/no/f)"
        ),
        Place(
            global: "",
            pool: "request_slowlog_timeout = 1\nslowlog = {{DIR}}/no/f",
            line: "Unable to create or open slowlog({{DIR}}/no/f)"
        ),
        Place(
            global: "",
            pool: "pm.status_path = /s\npm.status_listen = {{DIR}}/no/f",
            line: "unable to bind listening socket for address '{{DIR}}/no/f'"
        ),
        Place(
            global: "metrics.listen = {{DIR}}/no/f",
            pool: "",
            line: "unable to bind listening socket for address '{{DIR}}/no/f'"
        ),
        Place(
            global: "error_log = {{DIR}}",
            pool: "",
            line: "failed to open error_log ({{DIR}})",
            hint: "{{DIR}} is a directory: name a file in it"
        ),
    ]

    @Test(.fpmdOnly("names no remedy"), arguments: missing) func missingDirectories(_ place: Place) throws {
        let daemon = try Daemon.startInVain(
            Daemon.poolSection("pm = static\npm.max_children = 1\n" + place.pool),
            .init(global: place.global)
        )
        func filled(_ text: String) -> String {
            text.replacingOccurrences(of: "{{DIR}}", with: daemon.directory)
        }
        let lines = daemon.log.lines
        let line = try #require(lines.first { $0.contains("ERROR: " + filled(place.line)) }, "\(lines)")
        // What, the reason with its number, and the remedy, all in one line.
        #expect(
            line.contains(#/: (No such file or directory \(2\)|Is a directory \(21\))(, see [^;]+)?; /#),
            "\(lines)"
        )
        #expect(line.hasSuffix("; " + filled(place.hint)), "\(lines)")
        #expect(lines.count <= 4, "\(lines)")
    }

    @Test(.needsRoot, .fpmdOnly("names no remedy")) func readOnlyRuntimeDirectory() throws {
        let directory = try TestContext.required().makeDirectory("run")
        var options = Daemon.Options(global: "pid = \(directory)/fpm.pid")
        options.wrapper = [
            "unshare", "--mount", "sh", "-c", "mount -t tmpfs -o ro none \(directory) && exec \"$@\"", "sh",
        ]
        let daemon = try Daemon.startInVain(Daemon.poolSection("pm = static\npm.max_children = 1"), options)
        let expected =
            "ERROR: Unable to create the PID file (\(directory)/fpm.pid).: Read-only file system (30); \(directory) is read-only here: with systemd, RuntimeDirectory= makes it and ReadWritePaths= lets fpmd write"
        #expect(daemon.log.lines.contains { $0.hasSuffix(expected) }, "\(daemon.log.lines)")
    }

    /// php-fpm puts its file in the device's place: the end of /dev/null.
    @Test(.needsRoot, .fpmdOnly("removes the device")) func pidFileThatIsADevice() throws {
        let directory = try TestContext.required().makeDirectory("run")
        let path = directory + "/null"
        // Number 1, 3: what /dev/null is.
        try #require(mknod(path, S_IFCHR | 0o666, 1 << 8 | 3) == 0)
        let daemon = try Daemon.startInVain(
            Daemon.poolSection("pm = static\npm.max_children = 1"),
            .init(global: "pid = \(path)")
        )
        let line =
            "ERROR: Unable to create the PID file (\(path)).: it is a device; for no PID file leave pid out"
        #expect(daemon.log.lines.contains { $0.hasSuffix(line) }, "\(daemon.log.lines)")
        #expect(FileManager.default.fileExists(atPath: path))
    }

    // MARK: Logs that nobody takes

    /// Neither journald nor a syslog daemon.
    private static let lonely = [
        "unshare", "--mount", "sh", "-c",
        """
        [ ! -d /run/systemd ] || mount -t tmpfs none /run/systemd
        [ ! -S /dev/log ] || mount --bind /dev/null /dev/log
        exec "$@"
        """, "sh",
    ]

    @Test(.needsRoot, .fpmdOnly("has no journal")) func noJournal() throws {
        var options = Daemon.Options(global: "error_log = journald")
        options.mode = ["-F", "-R"]
        options.wrapper = Self.lonely
        let daemon = try Daemon.startInVain(Daemon.poolSection("pm = static\npm.max_children = 1"), options)
        let lines = daemon.log.lines
        let expected =
            "ERROR: failed to open error_log (journald): No such file or directory (2); nobody listens on /run/systemd/journal/socket: start systemd-journald, or name a file"
        #expect(lines.first?.hasSuffix(expected) == true, "\(lines)")
    }

    @Test(.needsRoot, .fpmdOnly("says nothing")) func noSyslog() throws {
        var options = Daemon.Options(global: "error_log = syslog")
        options.mode = ["-F", "-R"]
        options.wrapper = Self.lonely
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1", options)
        daemon.allowLog(/error_log = syslog: nobody listens/)
        try daemon.waitForLog(
            /WARNING: error_log = syslog: nobody listens on \/dev\/log: .* \(\d+\); lines are lost until a syslog daemon does, or set error_log to a file$/
        )
        try wait(for: "an answer") { (try? daemon.get("/hello.php"))?.isComplete == true }
    }
}
