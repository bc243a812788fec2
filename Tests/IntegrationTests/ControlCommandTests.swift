import Foundation
import TestSupport
import Testing

/// What fpmctl shows and does, against the real master and PHP.
@Suite(.daemons, .fpmdOnly("php-fpm has no control socket"))
struct ControlCommandTests {
    private static let two = "pm = static\npm.max_children = 2\n"

    @Test func statusShowsPoolsAndWorkers() throws {
        let daemon = try Control.start(Self.two)
        let held = try daemon.startHolding("one")
        let text = try daemon.ctl("status", "--workers")
        #expect(text.status == .code(0) && text.errors.isEmpty)
        #expect(text.output.contains("fpmd \(daemon.master) serving"))
        #expect(text.output.contains(/www +serving +static +2 +2 +1 +1/))
        #expect(text.output.contains(/Running .* GET \/hold\.php\?dir=/))
        let pool = try daemon.controlPool()
        let workers = try #require(pool["workers"] as? [[String: Any]])
        #expect(Set(workers.compactMap { $0["pid"] as? Int }) == Set(daemon.workers().map { Int($0.pid) }))
        #expect(workers.allSatisfy { ($0["memory"] as? Int ?? 0) > 1 << 20 })
        #expect(workers.contains { $0["uri"] as? String == "/hold.php" })
        #expect(pool["max_children"] as? Int == 2 && pool["active"] as? Int == 1)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    /// Whoever reads it is elsewhere.
    @Test func configurationIsAnAbsolutePath() throws {
        let options = Daemon.Options(global: Control.directive, arguments: ["-y", "fpm.conf"])
        let daemon = try Daemon.startPool(Self.two, options)
        let master = try daemon.ctlJSON("status")["master"] as? [String: Any]
        #expect(master?["configuration"] as? String == daemon.configurationPath)
        #expect(
            try daemon.ctl("doctor", "--web-user", "root").output.hasPrefix(daemon.configurationPath + "\n")
        )
    }

    /// Hosting panels name pools by numbers.
    @Test func numbersMayBeNamesOfPools() throws {
        let number = "2000000001"
        let daemon = try Daemon.start(
            Daemon.poolSection(Self.two).replacing("[www]", with: "[\(number)]"),
            Daemon.Options(global: Control.directive)
        )
        #expect(try daemon.get("/hello.php").isComplete)
        let before = Set(daemon.workers().map(\.pid))
        #expect(try daemon.ctl("trace", number).status == .code(0))
        let recycled = try daemon.ctl("recycle", number)
        #expect(recycled.status == .code(0), "\(recycled.errors)")
        #expect(before.isDisjoint(with: daemon.workers().map(\.pid)))
        // A process that is neither.
        let result = try daemon.ctl("recycle", "2000000002")
        #expect(result.status == .code(64) && result.errors.contains("is not a worker"), "\(result.errors)")
    }

    @Test func wrongNamesAreNamed() throws {
        let daemon = try Control.start(Self.two)
        let result = try daemon.ctl("status", "ww")
        #expect(result.status == .code(64))
        #expect(result.errors == "fpmctl: there is no pool 'ww'; did you mean 'www'?\n")
        let error = try daemon.ctlJSON("drain", "nothing", status: 64)["error"] as? [String: Any]
        #expect(error?["code"] as? String == "noPool")
        #expect(try daemon.ctl("trace", "1").status == .code(64))
        #expect(try daemon.ctl("frobnicate").status == .code(64))
        // Options may stand on either side of the command.
        let early = try run([Control.program, "--json", "--socket", daemon.controlSocket, "health", "live"])
        #expect(early.status == .code(0) && early.output.contains(#""live": true"#))
        let nobody = try run([Control.program, "status", "--socket", daemon.directory + "/none.sock"])
        #expect(nobody.status == .code(69))
        #expect(
            nobody.errors.contains(
                "there is no control socket \(daemon.directory)/none.sock: fpmd is not running"
            )
        )
    }

    @Test func reloadWaitsForTheNewGeneration() throws {
        let daemon = try Control.start(Self.two)
        let before = Set(daemon.workers().map(\.pid))
        try daemon.rewriteConfiguration(Daemon.poolSection("pm = static\npm.max_children = 3"))
        let result = try daemon.ctl("reload")
        #expect(result.status == .code(0), "\(result.errors)")
        #expect(result.output == "reloaded: 1 pool(s) serve\n")
        #expect(try daemon.controlPool()["max_children"] as? Int == 3)
        #expect(before.isDisjoint(with: Set(try daemon.waitForWorkers(3).map(\.pid))))
        #expect(try daemon.ctl("reload", "www").output == "pool www reloaded\n")
        try daemon.waitForWorkers(3)
    }

    @Test func refusedReloadSaysWhy() throws {
        let daemon = try Control.start(Self.two)
        daemon.allowLog(/.*/)
        let before = daemon.workers().map(\.pid)
        try daemon.rewriteConfiguration(Daemon.poolSection("pm = static\npm.max_children = 0"))
        let result = try daemon.ctl("reload")
        #expect(result.status == .code(78))
        #expect(result.errors.contains("reload refused: the new configuration is not valid"))
        #expect(result.errors.contains("pm.max_children must be a positive value"))
        #expect(result.errors.count { $0 == "\n" } == 2, "what follows from it is left out: \(result.errors)")
        #expect(try daemon.ctl("reload", "www").status == .code(78))
        #expect(daemon.workers().map(\.pid) == before)
        // A PHP that does not start is another reason.
        try daemon.rewriteConfiguration(
            Daemon.poolSection("\(Self.two)php_admin_value[opcache.preload] = /nonexistent.php")
        )
        let second = try daemon.ctlJSON("reload", status: 78)["error"] as? [String: Any]
        #expect((second?["message"] as? String)?.contains("pool www cannot start") == true)
        #expect((second?["details"] as? [String])?.isEmpty == false)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func traceShowsTheStackOfARunningWorker() throws {
        let daemon = try Control.start(Self.two)
        #expect(try daemon.ctl("trace", "www").output == "no worker of pool www serves a request\n")
        let held = try daemon.startHolding("one")
        let text = try daemon.ctl("trace", "www")
        #expect(text.output.contains(#/worker \d+, pool www: Running, GET /hold\.php.* since /#))
        #expect(text.output.contains(/(usleep|file_exists|microtime|clearstatcache)\(\) .*\/hold\.php:\d+/))
        let worker = try #require(try daemon.ctlJSON("trace", "www")["workers"] as? [[String: Any]]).first
        let pid = try #require(worker?["pid"] as? Int)
        #expect(daemon.workers().contains { Int($0.pid) == pid })
        let one = try daemon.ctl("trace", "\(pid)")
        #expect(one.output.contains("/hold.php:"), "\(one)")
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    /// A loop in the script itself: no function has been called.
    @Test func traceShowsWhereAScriptIsThatCallsNothing() throws {
        let daemon = try Control.start(Self.two)
        daemon.allowLog(/Maximum execution time/)
        let connection = try FastCGIConnection(daemon.endpoint())
        try connection.send(daemon.makeRequest("/time-limit.php"))
        try wait(for: "the script in a trace") {
            try daemon.ctl("trace", "www").output.contains(/\[0x[0-9a-f]{16}\] .*\/time-limit\.php:\d\n/)
        }
        _ = try connection.readToEnd()
    }

    @Test func recycleReplacesWorkersWithoutLosingARequest() throws {
        let daemon = try Control.start(Self.two)
        let before = Set(daemon.workers().map(\.pid))
        let held = try daemon.startHolding("one")
        daemon.allowLog(/.*/)
        let busy = try #require(
            (try daemon.controlPool()["workers"] as? [[String: Any]])?.first {
                $0["stage"] as? String == "Running"
            }
        )
        let busyPID = try #require(busy["pid"] as? Int)
        let idle = try #require(before.map { Int($0) }.first { $0 != busyPID })
        #expect(try daemon.ctl("recycle", "\(idle)").output == "pool www: 1 of 1 workers replaced\n")
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
        #expect(try daemon.ctl("recycle", "www").output == "pool www: 2 of 2 workers replaced\n")
        let after = try daemon.waitForWorkers(2).map(\.pid)
        #expect(before.isDisjoint(with: after))
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func scaleChangesTheNumberOfWorkers() throws {
        let daemon = try Control.start(Self.two)
        let grown = try daemon.ctl("scale", "www", "5")
        #expect(
            grown.output.contains(
                "pool www: 2 -> 5 workers at most, until the next reload (1 to 6 are possible"
            )
        )
        try daemon.waitForWorkers(5)
        #expect(try daemon.ctl("scale", "www", "1").status == .code(0))
        try daemon.waitForWorkers(1)
        let refused = try daemon.ctl("scale", "www", "7")
        #expect(refused.status == .code(64))
        #expect(
            refused.errors.contains(
                "pool www can have 1 to 6 workers until the next reload (pm.max_children = 2)"
            )
        )
        // A scaled pool stays as it is; a reload gives it what is configured.
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(try daemon.ctlJSON("scale", "www", "2")["max_children"] as? Int == 2)
        try daemon.waitForWorkers(2)
        #expect(try daemon.ctl("reload").status == .code(0))
        try daemon.waitForWorkers(2)
    }

    @Test func drainedPoolFinishesAndKeepsRequestsWaiting() throws {
        let daemon = try Control.start(Self.two)
        let held = try daemon.startHolding("one")
        #expect(try daemon.ctl("drain", "www").output == "pool www is drained; 1 request(s) still run\n")
        #expect(try daemon.ctl("health").status == .code(75))
        let waiting = try daemon.begin("/hello.php")
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
        #expect(try daemon.ctl("drain", "www", "--wait").output == "pool www is drained\n")
        try daemon.waitForWorkers(0)
        #expect(try daemon.controlPool()["state"] as? String == "drained")
        #expect(try daemon.ctl("undrain", "www").output == "pool www serves again\n")
        #expect(try waiting.finalResponse().text == "hello, world\n")
        try daemon.waitForWorkers(2)
        #expect(try daemon.ctl("health").output == "live, ready\n")
        #expect(try daemon.ctlJSON("undrain", "www")["was_drained"] as? Bool == false)
    }

    /// Its missing spare workers are no reason to advise more of them each second.
    @Test func drainedDynamicPoolIsNotBusy() throws {
        let daemon = try Daemon.startPool(
            "pm = dynamic\npm.max_children = 6\npm.start_servers = 2\npm.min_spare_servers = 1\n"
                + "pm.max_spare_servers = 3\n",
            .init(global: Control.directive + "log_level = debug\n")
        )
        #expect(try daemon.ctl("drain", "www", "--wait").output == "pool www is drained\n")
        // A pool that grew would be at the rate of a busy one in the fourth second.
        let second = /currently 0 active children, 0 spare children, 0 running children/
        try wait(for: "six seconds without workers") {
            daemon.log.lines.count { $0.contains(second) } >= 6
        }
        #expect(!daemon.log.lines.contains { $0.contains("seems busy") })
        #expect(try daemon.ctl("undrain", "www").output == "pool www serves again\n")
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// Whoever waits for the end of the requests learns that the pool serves again, and does not take it for drained.
    @Test(arguments: [["undrain", "www"], ["reload"]])
    func waitForADrainEndsWithTheDrain(by command: [String]) throws {
        let daemon = try Control.start(Self.two)
        let held = try daemon.startHolding("one")
        let waiting = try ChildProcess(
            [Control.program, "drain", "www", "--wait", "--timeout", "60", "--socket", daemon.controlSocket],
            environment: [:],
            output: daemon.directory + "/drain.out",
            errors: daemon.directory + "/drain.err"
        )
        try wait(for: "the drain") { try daemon.controlPool()["state"] as? String == "drained" }
        #expect(
            try run([Control.program] + command + ["--socket", daemon.controlSocket]).status
                == .code(0)
        )
        #expect(try waiting.wait() == .code(75))
        let errors = try String(contentsOfFile: daemon.directory + "/drain.err", encoding: .utf8)
        #expect(errors == "fpmctl: pool www serves again: a reload or undrain has ended the drain\n")
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    /// The new generation's workers serve already: the pool would not be drained, they would keep what they have compiled.
    @Test func nothingIsSetDuringAReload() throws {
        let daemon = try Control.start(Self.two)
        let (preload, release) = (daemon.directory + "/preload.php", daemon.directory + "/release")
        // Opened when somebody writes.
        try #require(mkfifo(release, 0o644) == 0)
        try "<?php fopen('\(release)', 'r');"
            .write(toFile: preload, atomically: false, encoding: .utf8)
        let slow = "[slow]\nuser = www-data\nlisten = {{SOCKET:slow}}\npm = static\npm.max_children = 1\n"
        try daemon.rewriteConfiguration(
            Daemon.poolSection(Self.two) + slow + "php_admin_value[opcache.preload] = \(preload)\n"
        )
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: reloading: new generation/)
        for command in [["drain", "www", "--wait"], ["scale", "www", "4"], ["opcache", "reset", "www"]] {
            let refused = try run([Control.program] + command + ["--socket", daemon.controlSocket])
            #expect(refused.status == .code(75))
            #expect(refused.errors == "fpmctl: the service is reloading: try again after that\n")
        }
        let writer = open(release, O_RDWR | O_CLOEXEC)
        defer { close(writer) }
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        #expect(try daemon.ctl("drain", "www", "--wait").status == .code(0))
    }

    @Test func drainedPoolRefusesWhatTheQueueDoesNotTake() throws {
        let daemon = try Control.start(Self.two + "pm.max_queue = 1\n")
        try daemon.ctl("drain", "www", "--wait")
        let waiting = try daemon.begin("/hello.php")
        try wait(for: "a request to wait") { try daemon.controlPool()["queued"] as? Int == 1 }
        #expect(try daemon.get("/hello.php").status == 503)
        try daemon.ctl("undrain", "www")
        #expect(try waiting.finalResponse().text == "hello, world\n")
        daemon.allowLog(/.*/)
    }

    @Test func restartKeepsProcessConnectionsAndRequests() throws {
        let daemon = try Control.start(Self.two)
        let before = Set(daemon.workers().map(\.pid))
        let held = try daemon.startHolding("one")
        let instance = { (try daemon.ctlJSON("status")["master"] as? [String: Any])?["instance"] as? Int }
        let first = try instance()
        let result = try daemon.ctl("restart")
        #expect(result.status == .code(0), "\(result.errors)")
        #expect(result.output == "restarted: process \(daemon.master) serves\n")
        #expect(try instance() != first)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
        #expect(before.isDisjoint(with: Set(try daemon.waitForWorkers(2).map(\.pid))))
        #expect(try daemon.ctl("restart").status == .code(0))
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
    }

    @Test func refusedReloadOfOnePoolIsLogged() throws {
        let daemon = try Control.start(Self.two)
        daemon.allowLog(/ERROR/)
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.two + "pm.max_children = x\n"))
        let refused = try daemon.ctl("reload", "www")
        #expect(refused.status == .code(78))
        try daemon.waitForLog(/ERROR: .*unable to parse value for entry 'pm.max_children'/)
        try daemon.waitForLog(
            /ERROR: reload refused: the new configuration of pool www is not valid; the old configuration goes on serving$/
        )
        #expect(try daemon.get("/hello.php").isComplete)
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.two))
        #expect(try daemon.ctl("reload", "www").status == .code(0))
    }

    @Test(arguments: ["[global]\nlog_limit = 5", "[api]\nlisten = {{SOCKET:api}}"])
    func reloadOfOnePoolSaysThatTheRestIsNotValid(rest: String) throws {
        let daemon = try Control.start(Self.two)
        let warning =
            /WARNING: pool www is reloaded, but the configuration as a whole is not valid, the next start or reload would fail: .+/
        daemon.allowLog(warning)
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.two) + rest + "\n")
        let result = try daemon.ctl("reload", "www")
        #expect(result.status == .code(0))
        #expect(result.output == "pool www reloaded\n")
        #expect(result.errors.contains("the configuration as a whole is not valid"), "\(result.errors)")
        try daemon.waitForLog(warning)
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.two))
        #expect(try daemon.ctl("reload", "www").errors.isEmpty)
    }

    /// A pool that has no process gets its new settings, and no process.
    @Test func reloadOfAnIdlePoolStartsNothing() throws {
        func pools(_ limit: String) -> String {
            """
            [one]
            user = www-data
            listen = {{SOCKET:one}}
            pm = ondemand
            pm.max_children = 2
            env[LIMIT] = \(limit)
            [two]
            user = www-data
            listen = {{SOCKET:two}}
            pm = static
            pm.max_children = 1

            """
        }
        let daemon = try Daemon.start(
            pools("first"),
            .init(global: Control.directive + "process.idle_zygotes = 0\n")
        )
        func children() throws -> Int {
            let path = "/proc/\(daemon.master)/task/\(daemon.master)/children"
            return try String(contentsOfFile: path, encoding: .utf8).split(separator: " ").count
        }
        // The zygote that has shown at the start that PHP starts is told to end.
        try wait(for: "the zygote and worker of the other pool alone") { try children() == 2 }
        try daemon.rewriteConfiguration(pools("second"))
        #expect(try daemon.ctl("reload", "one").output == "pool one reloaded\n")
        #expect(try children() == 2)
        let answer = try daemon.begin("/environment.php", from: "one").finalResponse()
        #expect(answer.text.contains("second"))
        // With another PHP to start, it is tried first.
        daemon.allowLog(/./)
        try daemon.rewriteConfiguration(pools("third\nphp_admin_value[opcache.preload] = /no/such/file"))
        let refused = try daemon.ctl("reload", "one")
        #expect(refused.status == .code(78), "\(refused.output)")
    }

    /// No process of another pool is touched.
    @Test func reloadOfOnePoolLeavesTheOthers() throws {
        func pool(_ name: String) -> String {
            "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\npm = static\npm.max_children = 2\n"
        }
        let daemon = try Daemon.start(pool("one") + pool("two"), .init(global: Control.directive))
        func pids(_ name: String) -> [Int32] { daemon.workers(pool: name).map(\.pid) }
        try wait(for: "all workers") { pids("one").count == 2 && pids("two").count == 2 }
        let (one, two) = (pids("one"), pids("two"))
        for _ in 1...3 { #expect(try daemon.ctl("reload", "one").output == "pool one reloaded\n") }
        try wait(for: "the old workers to leave") {
            pids("one").count == 2 && Set(pids("one")).isDisjoint(with: one)
        }
        #expect(pids("two") == two)
        #expect(try daemon.begin("/hello.php", from: "two").finalResponse().isComplete)
    }
}
