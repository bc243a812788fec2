import Foundation
import TestSupport
import Testing

/// How many workers there are, when they come and when they go.
@Suite(.daemons)
struct ProcessManagerTests {
    @Test func staticPoolKeepsItsNumber() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 3")
        let workers = try daemon.waitForWorkers(3, pool: "www")
        daemon.markDescriptors()
        let victim = try #require(workers.first)
        daemon.allowLog(/WARNING: \[pool www\] child \d+.* (exited|cut off) on signal 9/)
        kill(victim.pid, SIGKILL)
        let pool = "\\[pool www\\] child"
        try daemon.waitForLog(
            try Regex(
                "WARNING: \(pool) \(victim.pid) exited on signal 9 \\(SIGKILL\\) after \\d+\\.\\d{6} seconds from start"
            )
        )
        try daemon.waitForLog(try Regex("NOTICE: \(pool) \\d+ started"))
        let after = try daemon.waitForWorkers(3, pool: "www")
        #expect(!after.contains(victim))
        #expect(Set(after).intersection(workers).count == 2)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func staticPoolRunsAllItsWorkersAtOnce() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 4")
        let names = (1...4).map(String.init)
        let connections = try names.map { try daemon.hold($0) }
        try daemon.waitUntilStarted(names)
        let waiting = try daemon.hold("waiting")
        #expect(!waiting.isReadable(within: .milliseconds(100)))
        #expect(!daemon.hasStarted("waiting"))
        try daemon.releaseHeld()
        for (name, connection) in zip(names, connections) {
            #expect(try connection.finalResponse().text == "held \(name)")
        }
        #expect(try waiting.finalResponse().text == "held waiting")
        #expect(daemon.workers().count == 4)
    }

    private static let dynamicPool = """
        pm = dynamic
        pm.max_children = 6
        pm.start_servers = 1
        pm.min_spare_servers = 1
        pm.max_spare_servers = 2
        """

    @Test func dynamicPoolGrowsAndShrinks() throws {
        let daemon = try Daemon.startPool(Self.dynamicPool)
        daemon.allowLog(/seems busy|server reached pm.max_children/)
        try daemon.waitForWorkers(1)
        let names = (1...5).map(String.init)
        let connections = try names.map { try daemon.hold($0) }
        try daemon.waitUntilStarted(names)
        try daemon.waitForWorkers(6)
        try daemon.releaseHeld()
        for connection in connections { #expect(try connection.finalResponse().isComplete) }
        try daemon.waitForWorkers(2)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func dynamicPoolComputesItsStart() throws {
        let daemon = try Daemon.startPool(
            "pm = dynamic\npm.max_children = 6\npm.min_spare_servers = 2\npm.max_spare_servers = 4"
        )
        #expect(
            daemon.log.count(of: /NOTICE: \[pool www\] pm.start_servers is not set. It's been set to 3./) == 1
        )
        try daemon.waitForWorkers(3)
    }

    @Test(.fpmdOnly("grows once a second"))
    func dynamicPoolGrowsWhenAConnectionWaits() throws {
        let daemon = try Daemon.startPool(
            """
            pm = dynamic
            pm.max_children = 16
            pm.start_servers = 1
            pm.min_spare_servers = 1
            pm.max_spare_servers = 2
            """
        )
        daemon.allowLog(/seems busy|server reached pm.max_children/)
        #expect(try daemon.get("/hello.php").isComplete)
        let names = (1...12).map(String.init)
        let connections = try names.map { try daemon.hold($0) }
        try daemon.waitUntilStarted(names, within: .seconds(3))
        try daemon.releaseHeld()
        for connection in connections { #expect(try connection.finalResponse().isComplete) }
    }

    @Test func limitIsReported() throws {
        let daemon = try Daemon.startPool(
            """
            pm = dynamic
            pm.max_children = 1
            pm.start_servers = 1
            pm.min_spare_servers = 1
            pm.max_spare_servers = 1
            pm.status_path = /status
            """
        )
        let limit =
            /WARNING: \[pool www\] server reached pm.max_children setting \(1\), consider raising it/
        daemon.allowLog(limit)
        let connection = try daemon.startHolding("1")
        let second = try daemon.hold("2")
        try daemon.waitForLog(limit)
        try daemon.releaseHeld()
        #expect(try connection.finalResponse().isComplete)
        #expect(try second.finalResponse().isComplete)
        let status = try daemon.get("/status", query: "json").json
        #expect(status["max children reached"] as? Int == 1)
        #expect(status["total processes"] as? Int == 1)
    }

    @Test func ondemandPoolFollowsDemand() throws {
        let daemon = try Daemon.startPool("pm = ondemand\npm.max_children = 4\npm.process_idle_timeout = 1s")
        #expect(daemon.workers().isEmpty)
        let names = (1...3).map(String.init)
        let connections = try names.map { try daemon.startHolding($0) }
        #expect(daemon.workers().count == 3)
        try daemon.releaseHeld()
        for connection in connections { #expect(try connection.finalResponse().isComplete) }
        try daemon.waitForWorkers(0)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func ondemandLimitIsReported() throws {
        let daemon = try Daemon.startPool("pm = ondemand\npm.max_children = 1")
        let limit = /WARNING: \[pool www\] server reached max_children setting \(1\), consider raising it/
        daemon.allowLog(limit)
        let connection = try daemon.startHolding("1")
        let second = try daemon.hold("2")
        try daemon.waitForLog(limit)
        try daemon.releaseHeld()
        #expect(try connection.finalResponse().isComplete)
        #expect(try second.finalResponse().isComplete)
    }

    @Test(.fpmdOnly("one edge of the listener may stand for several connections"))
    func ondemandPoolTakesABurst() throws {
        let daemon = try Daemon.startPool("pm = ondemand\npm.max_children = 8\npm.process_idle_timeout = 1s")
        // All eight are needed, and the last request may be seen waiting for the last worker.
        daemon.allowLog(/server reached max_children setting \(8\)/)
        // With one worker a second, when the master looks anyway, it would take seven. A busy machine may need as long,
        // but not each time.
        var times: [Duration] = []
        while times.count < 3, !times.contains(where: { $0 < .seconds(5) }) {
            try daemon.waitForWorkers(0)
            let names = (1...8).map { "\(times.count)-\($0)" }
            let begin = ContinuousClock.now
            let connections = try names.map { try daemon.hold($0) }
            try daemon.waitUntilStarted(names)
            times.append(ContinuousClock.now - begin)
            try daemon.releaseHeld()
            for connection in connections { #expect(try connection.finalResponse().isComplete) }
            try FileManager.default.removeItem(atPath: daemon.scratch + "/release")
        }
        #expect(times.contains { $0 < .seconds(5) }, "\(times)")
    }

    @Test func workersRetireAfterMaxRequests() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1\npm.max_requests = 3")
        daemon.markDescriptors()
        let answers = try (1...9).map { _ in try daemon.get("/pid.php").text }
        #expect(Set(answers).count == 3, "\(answers)")
        for start in stride(from: 0, to: 9, by: 3) {
            #expect(Set(answers[start..<(start + 3)]).count == 1, "\(answers)")
        }
        try daemon.waitForLog(
            /NOTICE: \[pool www\] child \d+ exited with code 0 after \d+\.\d{6} seconds from start/
        )
        try daemon.waitForLog(/NOTICE: \[pool www\] child \d+ started/)
    }

    /// A client that sends its next request does not find the connection closed.
    @Test(.fpmdOnly("closes it with its worker")) func keptConnectionOutlivesItsWorkers() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1\npm.max_requests = 3")
        let connection = try daemon.connect()
        var workers: Set<String> = []
        for _ in 1...10 {
            var request = daemon.makeRequest("/pid.php")
            request.keepsConnection = true
            try connection.send(request)
            workers.insert(try connection.readResponse().text)
        }
        #expect(workers.count == 4)
    }

    @Test func noRequestIsLostToMaxRequests() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2\npm.max_requests = 1")
        for _ in 1...100 { #expect(try daemon.get("/hello.php").text == "hello, world\n") }
    }

    @Test func processMaxHoldsForAllPools() throws {
        let pools = ["one", "two"].map {
            "[\($0)]\nuser = www-data\nlisten = {{SOCKET:\($0)}}\npm = ondemand\npm.max_children = 3\n"
        }
        let daemon = try Daemon.start(pools.joined(), .init(global: "process.max = 3"))
        let limit = /WARNING: The maximum number of processes has been reached/
        daemon.allowLog(limit)
        let connections = try [("one", "1"), ("one", "2"), ("two", "3")].map { pool, name in
            try daemon.startHolding(name, from: pool)
        }
        let fourth = try daemon.hold("4", from: "two")
        try daemon.waitForLog(limit)
        #expect(daemon.workers().count == 3)
        #expect(!daemon.hasStarted("4"))
        try daemon.releaseHeld()
        for connection in connections { #expect(try connection.finalResponse().isComplete) }
        #expect(try fourth.finalResponse().text == "held 4")
    }

    @Test func crashLoopDoesNotSlowAnotherPool() throws {
        let pools = ["good", "bad"].map {
            "[\($0)]\nuser = www-data\nlisten = {{SOCKET:\($0)}}\npm = static\npm.max_children = 2\n"
        }
        let daemon = try Daemon.start(pools.joined())
        daemon.allowLog(/WARNING: \[pool bad\] child \d+.* (exited|cut off) on signal 9/)
        let goodWorkers = try daemon.waitForWorkers(2, pool: "good")
        for _ in 1...20 {
            let crashing = try (1...4).map { _ in try daemon.begin("/die.php", from: "bad") }
            for _ in 1...10 {
                #expect(try daemon.get("/hello.php", from: "good", within: .seconds(2)).isComplete)
            }
            for connection in crashing { _ = try connection.readToEnd() }
        }
        #expect(daemon.workers(pool: "good") == goodWorkers)
        #expect(try daemon.get("/hello.php", from: "bad").isComplete)
    }
}
