import Foundation
import TestSupport
import Testing

/// What a reload takes over, what it refuses, and that it loses nothing.
@Suite(.daemons, .fpmdOnly("executes itself, and loses requests"))
struct ReloadTests {
    private static let pool = "pm = static\npm.max_children = 2"

    private func reload(_ daemon: Daemon, within limit: Duration = patience) throws {
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: Reloading in progress \.\.\.$/, within: limit)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/, within: limit)
    }

    // MARK: Everything applies

    private func mode(_ path: String) -> (mode: mode_t, user: uid_t, inode: ino_t) {
        var info = stat()
        #expect(stat(path, &info) == 0)
        return (info.st_mode & 0o777, info.st_uid, info.st_ino)
    }

    @Test(.needsRoot) func keptSocketGetsItsNewOwnerModeAndBacklog() throws {
        let status = "\npm.status_path = /status"
        let daemon = try Daemon.startPool(Self.pool + status + "\nlisten.backlog = 5\nlisten.mode = 0600")
        #expect(try queueLimit(daemon) == 5)
        let path = try #require(daemon.socketPaths.first)
        let before = mode(path)
        #expect(before.mode == 0o600 && before.user == 0)
        try daemon.rewriteConfiguration(
            Daemon.poolSection(
                Self.pool + status + "\nlisten.owner = www-data\nlisten.mode = 0666\nlisten.backlog = 9"
            )
        )
        try reload(daemon)
        let after = mode(path)
        #expect(after.mode == 0o666)
        #expect(after.user == getpwnam("www-data").pointee.pw_uid)
        #expect(after.inode == before.inode, "the same socket")
        #expect(try backlog(of: path) == 9 && queueLimit(daemon) == 9)
        // And back, with an ACL in between.
        try daemon.rewriteConfiguration(
            Daemon.poolSection(Self.pool + "\nlisten.acl_users = www-data\nlisten.mode = 0600")
        )
        try reload(daemon)
        #expect(mode(path).user == 0)
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.pool + "\nlisten.mode = 0640"))
        try reload(daemon)
        #expect(mode(path).mode == 0o640 && mode(path).inode == before.inode)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// The kernel finds a Unix socket by looking at all there are: thousands of pools would look for seconds.
    @Test func newSocketsAreNotLookedForAmongAll() throws {
        func pools(_ count: Int, _ lines: String) -> String {
            (0..<count).map {
                "[p\($0)]\nuser = www-data\nlisten = {{DIR}}/p\($0)\npm = ondemand\npm.max_children = 2\n\(lines)\n"
            }.joined()
        }
        let daemon = try Daemon.start(Daemon.poolSection(Self.pool) + pools(3, "listen.backlog = 7"))
        let calls = daemon.directory + "/calls"
        let trace = try daemon.record("network", of: #require(ProcessSnapshot(pid: daemon.master)), to: calls)
        defer { trace.send(SIGTERM) }
        try daemon.rewriteConfiguration(
            Daemon.poolSection(Self.pool + "\npm.status_path = /status") + pools(6, "listen.backlog = 9")
        )
        try reload(daemon)
        trace.send(SIGTERM)
        _ = try trace.wait(within: patience)
        let written = readText(calls)
        #expect(written.ranges(of: "/p5\"").count > 0 && written.contains("listen("))
        #expect(!written.contains("SOCK_DIAG"))
        let most = Int(
            readText("/proc/sys/net/core/somaxconn").trimmingCharacters(in: .whitespacesAndNewlines)
        )
        #expect(try queueLimit(daemon) == most)
    }

    /// What the status page says of the most that may wait.
    private func queueLimit(_ daemon: Daemon) throws -> Int? {
        try daemon.get("/status", query: "json").json["listen queue len"] as? Int
    }

    /// The Send-Q column of a listening socket.
    private func backlog(of path: String) -> Int? {
        let output = daemonOutput(["/usr/bin/ss", "-lxH", "src", path])
        return output.split(separator: " ", omittingEmptySubsequences: true).dropFirst(3).first.flatMap {
            Int($0)
        }
    }

    private func daemonOutput(_ command: [String]) -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        let pipe = Pipe()
        process.standardOutput = pipe
        guard (try? process.run()) != nil else { return "" }
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    @Test func unknownOwnerIsRefusedBeforeAnythingChanges() throws {
        let daemon = try Daemon.startPool(Self.pool + "\nlisten.mode = 0600")
        daemon.allowLog(/ERROR/)
        let path = try #require(daemon.socketPaths.first)
        try daemon.rewriteConfiguration(
            Daemon.poolSection(Self.pool + "\nlisten.mode = 0666\nlisten.owner = nobody-of-this-name")
        )
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ERROR: \[pool www\] cannot get uid for user 'nobody-of-this-name'/)
        try daemon.waitForLog(/ERROR: reload refused/)
        #expect(mode(path).mode == 0o600)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// php-fpm reads its settings as root: whoever comes from it may have files that nobody else can read.
    @Test func settingsThatThePoolMayNotReadAreNamed() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let ini = daemon.directory + "/ini/php.ini"
        daemon.allowLog(/WARNING: .*cannot be read/)
        #expect(!daemon.log.lines.contains { $0.contains("cannot be read") })
        try #require(chmod(ini, 0o600) == 0)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(
            /WARNING: \[pool www\] .*\/ini\/php\.ini cannot be read as the pool's user: its settings are not in force/
        )
        try daemon.waitForLog(/NOTICE: ready to handle connections/)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func fileCacheThatThePoolMayNotWriteIsNamed() throws {
        let directory = try TestContext.required().makeDirectory("cache")
        try #require(chmod(directory, 0o755) == 0)
        let daemon = try Daemon.startPool(
            Self.pool,
            .init(arguments: ["-d", "opcache.file_cache=\(directory)"])
        )
        daemon.allowLog(/WARNING: .*opcache\.file_cache is not in use/)
        #expect(
            daemon.log.lines.contains {
                $0.contains("opcache.file_cache is not in use: the pool's user cannot write to \(directory)")
            }
        )
    }

    /// What PHP cannot read to its end would take settings away, such as those behind the error.
    @Test(arguments: ["pm = static\npm.max_children = 2", "pm = ondemand\npm.max_children = 2"])
    func brokenPHPIniIsRefused(pool: String) throws {
        let daemon = try Daemon.startPool(pool)
        daemon.allowLog(/ERROR: .*(syntax error|reload refused)/)
        let ini = daemon.directory + "/ini/php.ini"
        try (Daemon.neutralIni + "[broken\nmemory_limit = 64M\n").write(
            toFile: ini,
            atomically: true,
            encoding: .utf8
        )
        #expect(try daemon.get("/hello.php").isComplete)
        let before = daemon.workers().map(\.pid)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(
            /ERROR: \[pool www\] cannot start: PHP: +syntax error.* in .*php\.ini on line \d+/
        )
        try daemon.waitForLog(/ERROR: reload refused: pool www cannot start/)
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(daemon.workers().map(\.pid) == before)
        try Daemon.neutralIni.write(toFile: ini, atomically: true, encoding: .utf8)
        try reload(daemon)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// As in php-fpm, a service starts with such a file; what it had from the start is no reason to refuse a reload.
    @Test func brokenPHPIniFromTheStart() throws {
        let daemon = try Daemon.startPool(Self.pool, Daemon.Options(ini: .neutral("[broken")))
        daemon.allowLog(/ERROR: \[pool www\] PHP: +syntax error/)
        #expect(daemon.log.count(of: /ERROR: \[pool www\] PHP: +syntax error/) == 1)
        try reload(daemon)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func refusalNamesWhatCannotBeSetUp() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let taken = try Daemon.start("[www]\nuser = www-data\nlisten = 127.0.0.1:{{PORT}}\n\(Self.pool)\n")
        daemon.allowLog(/ERROR/)
        let address = "127.0.0.1:\(try taken.port())"
        let api = "\n[api]\nuser = www-data\n\(Self.pool)\n"
        let good = Daemon.poolSection(Self.pool)
        for (pools, global, what) in [
            (good + api + "listen = \(address)\n", "", "listen = \(address) of pool api"),
            (
                good + "pm.status_path = /s\npm.status_listen = \(address)\n", "",
                "pm.status_listen = \(address) of pool www"
            ),
            (good, "metrics.listen = \(address)", "metrics.listen = \(address)"),
        ] {
            try daemon.rewriteConfiguration(pools, global: global)
            daemon.signal(SIGUSR2)
            let line = try daemon.waitForLog(/ERROR: reload refused: .*/)
            #expect(
                line.hasSuffix(
                    "reload refused: \(what) cannot be set up; the old configuration goes on serving"
                ),
                "\(line)"
            )
        }
        try daemon.rewriteConfiguration(good + "pm = nonsense\n")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ERROR: reload refused: the new configuration is not valid/)
        #expect(daemon.log.count(of: /FPM initialization failed/) == 0)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// All addresses of a port and one of them exclude each other, also within a service.
    @Test func refusalNamesTheServiceItself() throws {
        let daemon = try Daemon.start("[www]\nuser = www-data\nlisten = 127.0.0.1:{{PORT}}\n\(Self.pool)\n")
        daemon.allowLog(/ERROR|Failed implicitly binding/)
        let port = try daemon.port()
        try daemon.rewriteConfiguration("[www]\nuser = www-data\nlisten = \(port)\n\(Self.pool)\n")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ERROR: reload refused: .*/)
        #expect(
            readText(daemon.log.path).contains(
                "ERROR: this service itself listens at '127.0.0.1:\(port)': only a restart makes that '\(port)'"
            )
        )
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func pidFileAndErrorLogMove() throws {
        var options = Daemon.Options()
        options.mode = ["-F", "-R"]
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool(Self.pool, options)
        let log = LogFile(path: daemon.directory + "/error.log")
        try log.wait(for: /ready to handle connections/)
        let pools = Daemon.poolSection(Self.pool)
        try daemon.rewriteConfiguration(
            pools,
            global: "pid = {{DIR}}/other.pid\nerror_log = {{DIR}}/other.log\nlog_level = debug"
        )
        daemon.signal(SIGUSR2)
        let other = LogFile(path: daemon.directory + "/other.log")
        try other.wait(for: /ready to handle connections/)
        #expect(readText(daemon.directory + "/other.pid") == "\(daemon.master)")
        #expect(!FileManager.default.fileExists(atPath: daemon.directory + "/fpm.pid"))
        #expect(try daemon.get("/hello.php").isComplete)
        try daemon.stop()
        #expect(!FileManager.default.fileExists(atPath: daemon.directory + "/other.pid"))
    }

    /// Another name of the same file.
    @Test func pidFileGetsAnotherName() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let file = daemon.directory + "/fpm.pid"
        #expect(symlink(daemon.directory, daemon.directory + "/run") == 0)
        try daemon.rewriteConfiguration(
            Daemon.poolSection(Self.pool),
            global: "pid = {{DIR}}/run/fpm.pid"
        )
        try reload(daemon)
        #expect(readText(file) == "\(daemon.master)")
    }

    @Test func pidFileThatCannotBeWritten() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.allowLog(/ERROR: pid stays/)
        let file = daemon.directory + "/fpm.pid"
        for _ in 1...2 {
            try daemon.rewriteConfiguration(
                Daemon.poolSection(Self.pool),
                global: "pid = {{DIR}}/none/fpm.pid"
            )
            daemon.signal(SIGUSR2)
            try daemon.waitForLog(
                /ERROR: pid stays: Unable to create the PID file \(\/.*\/none\/fpm.pid\).: No such file or directory \(2\); make the directory \/.*\/none, or correct the path$/
            )
            try daemon.waitForLog(/NOTICE: ready to handle connections$/)
            #expect(readText(file) == "\(daemon.master)")
        }
        try daemon.stop()
        #expect(!FileManager.default.fileExists(atPath: file))
    }

    /// Its address is taken until the last worker of the pool that had it has gone.
    @Test func poolOfAPortComesBack() throws {
        let others = Daemon.poolSection(Self.pool)
        let api = "\n[api]\nuser = www-data\nlisten = 127.0.0.1:{{PORT:api}}\n\(Self.pool)"
        let daemon = try Daemon.start(others + api)
        let held = try daemon.startHolding("x", from: "api")
        for pools in [others, others + api, others, others + api] {
            try daemon.rewriteConfiguration(pools)
            try reload(daemon)
        }
        #expect(try daemon.get("/hello.php", from: "api").status == 200)
        try daemon.releaseHeld()
        #expect(try held.readResponse().status == 200)
    }

    /// Only the master has it: a busy worker of the pool that had it keeps no address taken.
    @Test func statusAddressComesBack() throws {
        let plain = Daemon.poolSection(Self.pool)
        let status = "\npm.status_path = /status\npm.status_listen = 127.0.0.1:{{PORT:status}}"
        let daemon = try Daemon.start(Daemon.poolSection(Self.pool + status))
        let held = try daemon.startHolding("x")
        let begun = try daemon.connect("status")
        let request = daemon.makeRequest("/status").bytes
        try begun.send(Array(request[..<20]))
        // Once it is answered, the one before has been accepted.
        #expect(try daemon.get("/status", from: "status").status == 200)
        try daemon.rewriteConfiguration(plain)
        try reload(daemon)
        #expect(throws: TestFailure.self) { try daemon.connect("status") }
        try begun.send(Array(request[20...]))
        #expect(try begun.readResponse().status == 200)
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.pool + status))
        try reload(daemon)
        #expect(try daemon.get("/status", from: "status").status == 200)
        try daemon.releaseHeld()
        #expect(try held.readResponse().status == 200)
    }

    // MARK: What PHP refuses

    /// More pools than zygotes start at a time: those that wait when the reload is given up take no place for ever.
    @Test func oneOfManyPoolsFails() throws {
        func pools(_ first: String) -> String {
            (0..<24).map { index in
                "[p\(index)]\nuser = www-data\nlisten = {{SOCKET:\(index)}}\npm = static\npm.max_children = 1\n"
                    + (index == 0 ? first : "")
            }.joined(separator: "\n")
        }
        let daemon = try Daemon.start(pools(""))
        daemon.allowLog(/ERROR|WARNING/)
        for _ in 1...3 {
            try daemon.rewriteConfiguration(pools("php_admin_value[opcache.preload] = /nonexistent.php\n"))
            daemon.signal(SIGUSR2)
            try daemon.waitForLog(/ERROR: reload refused: pool p0 cannot start/)
            try daemon.rewriteConfiguration(pools(""))
            try reload(daemon)
        }
        #expect(try daemon.get("/hello.php", from: "23").status == 200)
    }

    /// The next reload follows the one that is given up, with what that had bound.
    @Test func correctedWhileItFails() throws {
        let good = Daemon.poolSection(Self.pool)
        let api = "\n[api]\nuser = www-data\nlisten = 127.0.0.1:{{PORT:api}}\n\(Self.pool)"
        let bad = "\n[bad]\nuser = www-data\nlisten = {{SOCKET:bad}}\n\(Self.pool)\n"
        let daemon = try Daemon.start(good)
        daemon.allowLog(/ERROR|WARNING/)
        let preload = "php_admin_value[opcache.preload] = /nonexistent.php\n"
        try daemon.rewriteConfiguration(good + api + bad + preload)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: reloading: new generation/)
        try daemon.rewriteConfiguration(good + api + bad)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ERROR: reload refused: pool bad cannot start/)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        #expect(try daemon.get("/hello.php", from: "api").status == 200)
    }

    @Test func ondemandPoolTriesItsPHPBeforeItIsSwitchedTo() throws {
        let pool = "pm = ondemand\npm.max_children = 2\nenv[GENERATION] = "
        let daemon = try Daemon.startPool(pool + "one")
        daemon.allowLog(/ERROR|WARNING/)
        #expect(try daemon.get("/server.php").json["GENERATION"] as? String == "one")
        try daemon.rewriteConfiguration(
            Daemon.poolSection(pool + "two\nphp_admin_value[opcache.preload] = /nonexistent.php")
        )
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ERROR: \[pool www\] cannot start: its zygote exited with code/)
        try daemon.waitForLog(/ERROR: reload refused: pool www cannot start; the old configuration goes on/)
        #expect(try daemon.get("/server.php").json["GENERATION"] as? String == "one")
    }

    @Test func ondemandServiceDoesNotStartWithoutPHP() throws {
        let daemon = try Daemon.startInVain(
            Daemon.poolSection(
                "pm = ondemand\npm.max_children = 1\nphp_admin_value[opcache.preload] = /nonexistent.php"
            ),
            status: 70
        )
        #expect(readText(daemon.log.path).contains("cannot start"))
    }

    // MARK: The status listener

    @Test func statusListenerAnswersThroughoutReloads() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "\npm.status_path = /status\nping.path = /ping\npm.status_listen = {{SOCKET:status}}"
        )
        for _ in 1...5 {
            // One connection begun before the switch, others around it.
            let early = try daemon.connect("status")
            daemon.signal(SIGUSR2)
            for _ in 1...30 {
                #expect(
                    try daemon.get("/status", query: "json", from: "status").json["pool"] as? String == "www"
                )
            }
            try daemon.waitForLog(/NOTICE: ready to handle connections$/)
            try early.send(daemon.makeRequest("/ping"))
            #expect(try early.finalResponse().text == "pong")
        }
    }

    /// What was the address of requests is that of status now, and the other way round.
    @Test func statusAndRequestsChangePlaces() throws {
        func pool(_ requests: String, _ status: String) -> String {
            "[www]\nuser = www-data\nlisten = {{SOCKET:\(requests)}}\n\(Self.pool)\npm.status_path = /status\n"
                + "pm.status_listen = {{SOCKET:\(status)}}\n"
        }
        let daemon = try Daemon.start(pool("one", "two"))
        for (requests, status) in [("two", "one"), ("one", "two")] {
            let former = daemon.workers().map(\.pid)
            // Workers have some of these, and the master the others.
            let silent = try (1...8).map { _ in try daemon.connect(status) }
            try daemon.rewriteConfiguration(pool(requests, status))
            try reload(daemon)
            for connection in silent {
                try connection.send(daemon.makeRequest("/status", query: "json"))
                #expect(try connection.finalResponse().json["pool"] as? String == "www")
            }
            try wait(for: "the former workers to leave the address") {
                Set(daemon.workers().map(\.pid)).isDisjoint(with: former)
            }
            #expect(try daemon.get("/status", query: "json", from: status).json["pool"] as? String == "www")
            #expect(try daemon.get("/hello.php", from: requests).isComplete)
            #expect(try daemon.get("/hello.php", from: status).status == 404)
        }
        #expect(daemon.log.count(of: /cannot be watched/) == 0)
    }

    // MARK: Nothing is lost

    /// How many; set `FPMD_RELOADS=1000` for a long run.
    private static let count = ProcessInfo.processInfo.environment["FPMD_RELOADS"].flatMap { Int($0) } ?? 30

    /// In each round one request of each kind is under way when the signal comes: a quick one, one of 100 ms, an upload
    /// of which half is sent, a large answer that is read late, one on a connection kept alive; and now and then one
    /// that takes seconds, over several reloads.
    @Test func nothingIsLostUnderMixedLoad() throws {
        let daemon = try Daemon.startPool(
            "pm = dynamic\npm.max_children = 8\npm.start_servers = 3\npm.min_spare_servers = 2\npm.max_spare_servers = 4"
        )
        daemon.allowLog(/WARNING: .*(seems busy|server reached|saturated)/)
        let kept = try daemon.connect()
        let body = [UInt8]("a=".utf8) + [UInt8](repeating: 120, count: 300_000)
        let upload = daemon.makeRequest(
            "/input.php",
            body: body,
            contentType: "application/x-www-form-urlencoded"
        ).bytes
        var long: [FastCGIConnection] = []
        for round in 1...Self.count {
            let pause = try daemon.begin("/pause.php", query: "ms=100")
            let half = try daemon.connect()
            try half.send(Array(upload[..<(upload.count / 2)]))
            let large = try daemon.begin("/large.php", query: "bytes=1000000")
            let quick = try daemon.begin("/hello.php")
            if round % 10 == 1 { long.append(try daemon.begin("/pause.php", query: "ms=3000")) }
            daemon.signal(SIGUSR2)
            var request = daemon.makeRequest("/hello.php")
            request.keepsConnection = true
            try kept.send(request)
            #expect(try kept.readResponse().text == "hello, world\n", "round \(round)")
            #expect(try quick.finalResponse().text == "hello, world\n", "round \(round)")
            try half.send(Array(upload[(upload.count / 2)...]))
            #expect(try half.finalResponse().json["length"] as? Int == body.count, "round \(round)")
            #expect(try pause.finalResponse().text == "paused\n", "round \(round)")
            #expect(try large.finalResponse().body.count == 1_000_000, "round \(round)")
            try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        }
        for connection in long { #expect(try connection.finalResponse().text == "paused\n") }
    }

    // MARK: Many pools

    /// How many; more need a higher limit of open files.
    private static let poolCount = 2000

    @Test func thousandsOfPools() throws {
        let pools = (0..<Self.poolCount).map {
            "[p\($0)]\nuser = www-data\nlisten = {{DIR}}/p\($0).sock\npm = ondemand\npm.max_children = 2\n"
        }
        let limit = Duration.seconds(120)
        var options = Daemon.Options()
        options.waitsUntilReady = false
        let daemon = try Daemon.start(pools.joined(), options)
        try daemon.waitUntilReady(within: limit)
        func ask(_ number: Int) throws {
            let connection = try FastCGIConnection(
                .unix("\(daemon.directory)/p\(number).sock"),
                within: limit
            )
            try connection.send(daemon.makeRequest("/hello.php"))
            #expect(try connection.finalResponse(within: limit).text == "hello, world\n")
        }
        for number in [0, Self.poolCount / 2, Self.poolCount - 1] { try ask(number) }
        let master = try #require(ProcessSnapshot(pid: daemon.master))
        let resident = try #require(Int(master.statusField("VmRSS")?.split(separator: " ").first ?? ""))
        #expect(resident < 100 << 10, "kB, the debug build included")
        try reload(daemon, within: limit)
        for number in [0, 1, Self.poolCount - 1] { try ask(number) }
        #expect(try daemon.stop(SIGQUIT, within: limit) == .code(0))
        #expect(!FileManager.default.fileExists(atPath: "\(daemon.directory)/p7.sock"))
    }
}
