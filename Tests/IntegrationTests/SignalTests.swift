import Foundation
import TestSupport
import Testing

/// Signals to the master: stop, graceful stop, reload, reopen; the pid file; running in the background.
@Suite(.daemons)
struct SignalTests {
    private static let pool = "pm = static\npm.max_children = 2"
    private static let graceful = Daemon.Options(global: "process_control_timeout = 10")

    // MARK: Stop

    @Test(arguments: [SIGTERM, SIGINT]) func stop(signal: Int32) throws {
        let daemon = try Daemon.startPool(Self.pool)
        #expect(try daemon.stop(signal) == .code(0))
        try daemon.waitForLog(/NOTICE: Terminating \.\.\.$/)
        try daemon.waitForLog(/NOTICE: exiting, bye-bye!$/)
        #expect(daemon.log.lines.last?.contains("exiting, bye-bye!") == true)
    }

    @Test func stopOfBusyWorkers() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.startHolding("1")
        #expect(try daemon.stop(SIGTERM) == .code(0))
        _ = try connection.readToEnd()
    }

    @Test func gracefulStopFinishesTheRequest() throws {
        let daemon = try Daemon.startPool(Self.pool, Self.graceful)
        let connection = try daemon.startHolding("1")
        daemon.signal(SIGQUIT)
        try daemon.waitForLog(/NOTICE: Finishing \.\.\.$/)
        #expect(daemon.process.isRunning)
        try daemon.releaseHeld()
        #expect(try connection.finalResponse().text == "held 1")
        #expect(try daemon.process.wait() == .code(0))
        try daemon.waitForLog(/NOTICE: exiting, bye-bye!$/)
    }

    @Test func gracefulStopOfAnIdleDaemonIsQuick() throws {
        let daemon = try Daemon.startPool(Self.pool, Self.graceful)
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(try daemon.stop(SIGQUIT, within: .seconds(5)) == .code(0))
    }

    @Test func gracefulStopLosesPatience() throws {
        let daemon = try Daemon.startPool(Self.pool, .init(global: "process_control_timeout = 1"))
        let connection = try daemon.startHolding("1")
        #expect(try daemon.stop(SIGQUIT, within: .seconds(10)) == .code(0))
        _ = try connection.readToEnd()
        #expect(!FileManager.default.fileExists(atPath: daemon.scratch + "/ended.1"))
    }

    @Test func secondSignalIsHarsher() throws {
        let daemon = try Daemon.startPool(Self.pool, .init(global: "process_control_timeout = 60"))
        let connection = try daemon.startHolding("1")
        daemon.signal(SIGQUIT)
        try daemon.waitForLog(/NOTICE: Finishing \.\.\.$/)
        #expect(try daemon.stop(SIGTERM) == .code(0))
        _ = try connection.readToEnd()
    }

    @Test(.fpmdOnly("resets the connections in the backlog"))
    func gracefulStopServesWhoWaits() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1", Self.graceful)
        let first = try daemon.startHolding("1")
        let others = try (2...6).map { try daemon.hold("\($0)") }
        daemon.signal(SIGQUIT)
        try daemon.waitForLog(/NOTICE: Finishing \.\.\.$/)
        try daemon.releaseHeld()
        #expect(try first.finalResponse().text == "held 1")
        for connection in others { #expect(try connection.finalResponse().isComplete) }
        #expect(try daemon.process.wait() == .code(0))
    }

    // MARK: Reload

    private func waitForReload(_ daemon: Daemon) throws {
        try daemon.waitForLog(/NOTICE: Reloading in progress \.\.\.$/)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
    }

    @Test func reloadReadsTheConfiguration() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2\nenv[GENERATION] = one")
        let before = try daemon.waitForWorkers(2)
        try daemon.rewriteConfiguration(
            Daemon.poolSection("pm = static\npm.max_children = 3\nenv[GENERATION] = two")
        )
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: Reloading in progress \.\.\.$/)
        try daemon.waitForLog(/NOTICE: using inherited socket fd=\d+, "[^"]+"$/)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        #expect(try daemon.get("/server.php").json["GENERATION"] as? String == "two")
        try wait(for: "the new workers only") {
            let now = daemon.workers(pool: "www")
            return now.count == 3 && Set(now).isDisjoint(with: before)
        }
        #expect(readText(daemon.directory + "/fpm.pid") == "\(daemon.master)")
    }

    @Test func reloadReadsPHPIni() throws {
        let daemon = try Daemon.startPool(Self.pool)
        try (Daemon.neutralIni + "precision = 6\n").write(
            toFile: daemon.directory + "/ini/php.ini",
            atomically: true,
            encoding: .utf8
        )
        daemon.signal(SIGUSR2)
        try waitForReload(daemon)
        let before = try daemon.get("/settings.php", query: "names=precision").json["before"]
        #expect(before as? [String: String] == ["precision": "6"])
    }

    @Test func reloadChangesPools() throws {
        func pool(_ name: String) -> String {
            "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\npm = static\npm.max_children = 1\n"
        }
        let daemon = try Daemon.start(pool("stays") + pool("goes"))
        let gone = try daemon.endpoint("goes")
        try daemon.rewriteConfiguration(pool("stays") + pool("comes"))
        daemon.signal(SIGUSR2)
        try waitForReload(daemon)
        #expect(try daemon.get("/hello.php", from: "stays").isComplete)
        #expect(try daemon.get("/hello.php", from: "comes").isComplete)
        try wait(for: "the socket of the old pool to go") {
            guard case .unix(let path) = gone else { return false }
            return !FileManager.default.fileExists(atPath: path)
        }
        try wait(for: "the workers of the old pool to go") { daemon.workers(pool: "goes").isEmpty }
    }

    @Test func runningRequestSurvivesAReload() throws {
        let daemon = try Daemon.startPool(Self.pool, Self.graceful)
        let connection = try daemon.startHolding("1")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: Reloading in progress \.\.\.$/)
        try daemon.releaseHeld()
        #expect(try connection.finalResponse().text == "held 1")
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test(
        .fpmdOnly(
            "kills requests on reload unless process_control_timeout is set, and serves nobody meanwhile"
        )
    )
    func reloadGoesOnServing() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.startHolding("1")
        daemon.signal(SIGUSR2)
        try waitForReload(daemon)
        for _ in 1...10 { #expect(try daemon.get("/hello.php", within: .seconds(5)).isComplete) }
        try daemon.releaseHeld()
        #expect(try connection.finalResponse().text == "held 1")
    }

    @Test(.fpmdOnly("loses some of them")) func noRequestIsLostWhileReloading() throws {
        let daemon = try Daemon.startPool(Self.pool)
        for _ in 1...5 {
            daemon.signal(SIGUSR2)
            for _ in 1...100 { #expect(try daemon.get("/hello.php").text == "hello, world\n") }
            try waitForReload(daemon)
        }
    }

    @Test(.fpmdOnly("loses them")) func keptConnectionsSurviveAReload() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connections = try (1...8).map { _ in try daemon.connect() }
        func askAll() throws {
            for connection in connections {
                var request = daemon.makeRequest("/hello.php")
                request.keepsConnection = true
                try connection.send(request)
                #expect(try connection.readResponse().text == "hello, world\n")
            }
        }
        try askAll()
        daemon.signal(SIGUSR2)
        try waitForReload(daemon)
        try askAll()
    }

    @Test(.fpmdOnly("closes it")) func keptConnectionOutlivesItsRequestsGeneration() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.connect()
        var request = daemon.makeRequest("/hold.php", query: "dir=\(daemon.scratch)&name=1")
        request.keepsConnection = true
        try connection.send(request)
        try daemon.waitUntilStarted(["1"])
        let before = daemon.workers()
        daemon.signal(SIGUSR2)
        try waitForReload(daemon)
        try wait(for: "the other worker to leave") {
            daemon.workers().count { before.contains($0) } == 1
        }
        try daemon.releaseHeld()
        #expect(try connection.readResponse().text == "held 1")
        request = daemon.makeRequest("/hello.php")
        request.keepsConnection = true
        try connection.send(request)
        #expect(try connection.readResponse().text == "hello, world\n")
    }

    /// Of a service that stops, and of a pool that has gone: nobody would serve the next request.
    @Test(.fpmdOnly("does not wait for the request"), arguments: [false, true])
    func keptConnectionEndsWithItsPool(stops: Bool) throws {
        let others = "[other]\nuser = www-data\nlisten = {{SOCKET:other}}\npm = static\npm.max_children = 1\n"
        let daemon = try Daemon.start(
            Daemon.poolSection(Self.pool) + others,
            .init(global: "process_control_timeout = 20")
        )
        let (busy, idle) = (try daemon.connect(), try daemon.connect())
        var request = daemon.makeRequest("/hello.php")
        request.keepsConnection = true
        try idle.send(request)
        #expect(try idle.readResponse().isComplete)
        request = daemon.makeRequest("/hold.php", query: "dir=\(daemon.scratch)&name=1")
        request.keepsConnection = true
        try busy.send(request)
        try daemon.waitUntilStarted(["1"])
        if stops {
            daemon.signal(SIGQUIT)
            try daemon.waitForLog(/NOTICE: Finishing/)
        } else {
            try daemon.rewriteConfiguration(others)
            daemon.signal(SIGUSR2)
            try waitForReload(daemon)
        }
        #expect(try idle.read() == .end)
        try daemon.releaseHeld()
        #expect(try busy.readResponse().text == "held 1")
        #expect(try busy.read() == .end)
    }

    @Test(.fpmdOnly("dies of it")) func brokenConfigurationIsRefused() throws {
        let daemon = try Daemon.startPool(Self.pool + "\nenv[GENERATION] = one")
        daemon.allowLog(/ERROR|ALERT|WARNING/)
        let before = try daemon.waitForWorkers(2)
        try daemon.rewriteConfiguration(Daemon.poolSection("pm = static\npm.max_children = many"))
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: Reloading in progress \.\.\.$/)
        try daemon.waitForLog(/ERROR: .*unable to parse value for entry 'pm.max_children'/)
        for _ in 1...5 { #expect(try daemon.get("/server.php").json["GENERATION"] as? String == "one") }
        #expect(daemon.workers() == before)
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.pool + "\nenv[GENERATION] = two"))
        daemon.signal(SIGUSR2)
        try waitForReload(daemon)
        #expect(try daemon.get("/server.php").json["GENERATION"] as? String == "two")
    }

    @Test(.fpmdOnly("dies of it")) func brokenPHPIsRefused() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.allowLog(/ERROR|ALERT|WARNING|^PHP/)
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.pool) + "chdir = /no/such/directory\n")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/does not exist or is not a directory/)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// Signals that come before there is an event loop.
    @Test func reloadDuringTheStartFollowsIt() throws {
        let directory = try TestContext.required().makeDirectory("include")
        let included = directory + "/pool.conf"
        let pool = "[www]\nuser = www-data\nlisten = \(directory)/s\npm = static\npm.max_children = 1\n"
        try #require(mkfifo(included, 0o600) == 0)
        var options = Daemon.Options()
        options.waitsUntilReady = false
        let daemon = try Daemon.start("include = \(included)\n", options)
        // Opening waits for the reader, which then has the configuration to read.
        let feeder = try ChildProcess(
            ["sh", "-c", "exec 3> pool.conf; : > opened; until [ -e go ]; do sleep 0.01; done; cat go >&3"],
            environment: baseEnvironment,
            output: "/dev/null",
            errors: "/dev/null",
            directory: directory
        )
        try wait(for: "the configuration to be read") {
            FileManager.default.fileExists(atPath: directory + "/opened")
        }
        for signal in [SIGUSR2, SIGPIPE, SIGUSR2] { daemon.signal(signal) }
        // The next to read it finds a file.
        try pool.write(toFile: included, atomically: true, encoding: .utf8)
        try pool.write(toFile: directory + "/go", atomically: true, encoding: .utf8)
        #expect(try feeder.wait() == .code(0))
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        let connection = try FastCGIConnection(.unix(directory + "/s"))
        try connection.send(daemon.makeRequest("/hello.php"))
        #expect(try connection.finalResponse().isComplete)
        #expect(daemon.log.count(of: /NOTICE: Reloading in progress \.\.\.$/) == 1)
        #expect(try daemon.stop() == .code(0))
        #expect(daemon.log.count(of: /ready to handle connections/) == 2)
    }

    @Test func manyReloads() throws {
        let daemon = try Daemon.startPool(Self.pool)
        for _ in 1...4 {
            daemon.signal(SIGUSR2)
            try waitForReload(daemon)
            #expect(try daemon.get("/hello.php").isComplete)
        }
        try daemon.waitForWorkers(2)
    }

    @Test func burstOfReloads() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 10")
        for gap in 0..<25 {
            daemon.signal(SIGUSR2)
            poll(nil, 0, Int32(gap))
        }
        try wait(
            for: "an answer after the reloads",
            until: {
                (try? daemon.get("/hello.php", within: .seconds(5)))?.isComplete == true
                    && daemon.workers().count == 10
            }
        )
        daemon.log.skipToEnd()
        daemon.signal(SIGUSR2)
        try waitForReload(daemon)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func stopWhileReloading() throws {
        let daemon = try Daemon.startPool(Self.pool, .init(global: "process_control_timeout = 60"))
        let connection = try daemon.startHolding("1")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: Reloading in progress \.\.\.$/)
        #expect(try daemon.stop(SIGTERM) == .code(0))
        _ = try connection.readToEnd()
    }

    // MARK: Reopening logs

    @Test func reopenLogs() throws {
        var options = Daemon.Options()
        options.mode = ["-F", "-R"]
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool(Self.pool + "\naccess.log = {{DIR}}/access.log", options)
        let errorLog = LogFile(path: daemon.directory + "/error.log")
        try errorLog.wait(for: /ready to handle connections/)
        #expect(try daemon.get("/hello.php").isComplete)
        let access = daemon.directory + "/access.log"
        #expect(try LogFile(path: access).waitForLines(1).count == 1)
        for path in [access, errorLog.path] {
            try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        }
        daemon.signal(SIGUSR1)
        let newLog = LogFile(path: errorLog.path)
        try newLog.wait(for: /NOTICE: error log file re-opened$/)
        try newLog.wait(for: /NOTICE: access log file re-opened$/)
        #expect(try daemon.get("/pid.php").isComplete)
        #expect(try daemon.get("/pid.php").isComplete)
        try LogFile(path: access).wait(for: /GET \/pid.php/)
        #expect(LogFile(path: access + ".1").lines.first?.contains("GET /hello.php") == true)
        try daemon.stop()
        try newLog.wait(for: /exiting, bye-bye!/)
    }

    @Test(.fpmdOnly("answers nothing any more")) func logsThatCannotBeReopenedAreNamed() throws {
        let daemon = try Daemon.startPool(Self.pool + "\naccess.log = {{DIR}}/access.log")
        daemon.allowLog(/ERROR: failed to open access log \(/)
        daemon.allowLog(/ERROR: unable to re-opened access log file$/)
        let access = daemon.directory + "/access.log"
        try FileManager.default.moveItem(atPath: access, toPath: access + ".1")
        try FileManager.default.createDirectory(atPath: access, withIntermediateDirectories: false)
        daemon.signal(SIGUSR1)
        try daemon.waitForLog(/ERROR: unable to re-opened access log file$/)
        #expect(
            daemon.log.lines.contains {
                $0.hasSuffix("ERROR: failed to open access log (\(access)): Is a directory (21)")
            }
        )
        // The former file is still written to.
        #expect(try daemon.get("/hello.php").isComplete)
        try LogFile(path: access + ".1").wait(for: /GET \/hello.php/)
    }

    @Test(.fpmdOnly("restarts the workers")) func reopeningKeepsTheWorkers() throws {
        let daemon = try Daemon.startPool(Self.pool + "\naccess.log = {{DIR}}/access.log")
        let connection = try daemon.startHolding("1")
        daemon.signal(SIGUSR1)
        try daemon.waitForLog(/access log file re-opened/)
        try daemon.releaseHeld()
        #expect(try connection.finalResponse().isComplete)
    }

    @Test(.fpmdOnly("leaves workers behind that go on serving"), arguments: [false, true])
    func workersLeaveWithAKilledMaster(isBusy: Bool) throws {
        let daemon = try Daemon.startPool(Self.pool + "\ncatch_workers_output = yes")
        daemon.expectEnd(.signal(SIGKILL))
        #expect(try daemon.get("/hello.php").isComplete)
        let held = isBusy ? try daemon.startHolding("1") : nil
        let family = ProcessSnapshot.descendants(of: daemon.master)
        try daemon.stop(SIGKILL)
        try daemon.releaseHeld()
        if let held { _ = try held.readToEnd() }
        try wait(for: "workers to leave") {
            // Orphans come to this process, as zombies in the end.
            family.allSatisfy { [nil, "Z"].contains(ProcessSnapshot(pid: $0.pid)?.state) }
        }
    }

    // MARK: Pid file, background

    @Test func pidFile() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let path = daemon.directory + "/fpm.pid"
        #expect(readText(path) == "\(daemon.master)")
        try daemon.stop()
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func pidFileOfTheCommandLine() throws {
        let daemon = try Daemon.start(
            Daemon.poolSection(Self.pool),
            .init(arguments: ["-g", "/nonexistent/overridden-by-the-directive.pid"])
        )
        #expect(readText(daemon.directory + "/fpm.pid") == "\(daemon.master)")
    }

    @Test func daemonize() throws {
        var options = Daemon.Options()
        options.mode = ["-D", "-R"]
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool(Self.pool, options)
        #expect(try daemon.process.wait() == .code(0))
        // Whoever called may rely on the pid file as soon as the command has returned.
        let pid = try #require(Int32(readText(daemon.directory + "/fpm.pid")))
        let master = try #require(ProcessSnapshot(pid: pid))
        #expect(master.parent == getpid())
        #expect(master.session == pid)
        daemon.adoptMaster(pid)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        // It has let go of the caller's output.
        #expect(!master.descriptors.contains { $0 == daemon.log.path || $0 == daemon.outputPath })
        #expect(readText(daemon.log.path) == "")
        let log = LogFile(path: daemon.directory + "/error.log")
        try log.wait(for: /NOTICE: fpm is running, pid \d+$/)
        #expect(try daemon.stop(SIGQUIT) == .code(0))
        try log.wait(for: /NOTICE: exiting, bye-bye!$/)
    }

    @Test func daemonizeFailure() throws {
        var options = Daemon.Options()
        options.mode = ["-D", "-R"]
        let daemon = try Daemon.startInVain(
            "[www]\nuser = www-data\nlisten = 203.0.113.7:9\npm = static\npm.max_children = 1\n",
            options,
            status: 70
        )
        #expect(
            readText(daemon.log.path).contains("unable to bind listening socket for address '203.0.113.7:9'")
        )
        // Whoever waited was told: there is nothing to add.
        for path in [daemon.log.path, daemon.directory + "/error.log"] {
            let lines = LogFile(path: path).lines
            #expect(lines.last?.hasSuffix("ERROR: FPM initialization failed") == true, "\(path): \(lines)")
        }
    }

    /// Whoever starts a service in the background learns that PHP does not start, as from php-fpm.
    @Test(arguments: ["static", "ondemand"]) func daemonizeWithoutPHP(manager: String) throws {
        var options = Daemon.Options()
        options.mode = ["-D", "-R"]
        let daemon = try Daemon.startInVain(
            Daemon.poolSection(
                "pm = \(manager)\npm.max_children = 1\nphp_admin_value[opcache.preload] = /nonexistent.php"
            ),
            options,
            status: 70
        )
        #expect(
            readText(daemon.log.path).hasSuffix(
                "ERROR: the service has not become ready; its error_log says why\n"
            )
        )
        let log = LogFile(path: daemon.directory + "/error.log")
        #expect(log.lines.contains { $0.contains("[pool www] cannot start: ") })
    }

    @Test func masterIgnoresBrokenPipes() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.signal(SIGPIPE)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func childThatTheMasterDidNotStart() throws {
        // A shell that starts a child and then becomes the daemon: the daemon inherits the child.
        var options = Daemon.Options()
        options.wrapper = ["/bin/sh", "-c", "/bin/true & exec \"$@\"", "sh"]
        let daemon = try Daemon.startPool(Self.pool, options)
        daemon.allowLog(/unknown child \(\d+\) exited/)
        #expect(try daemon.get("/hello.php").isComplete)
    }
}
