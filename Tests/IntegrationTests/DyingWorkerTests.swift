import Foundation
import TestSupport
import Testing

/// What clients see of workers that are killed, and scripts that are ended.
@Suite(.daemons, .fpmdOnly("the client of a killed worker sees a reset"))
struct DyingWorkerTests {
    private static func start(_ lines: String = "") throws -> Daemon {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1\n\(lines)")
        daemon.allowLog(/(exited|cut off) on signal (9|15)/)
        daemon.allowLog(/execution timed out/)
        return daemon
    }

    static func descriptors(_ daemon: Daemon) -> Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(daemon.master)/fd").count) ?? 0
    }

    /// Begins a request whose connection the master keeps: the worker, which has just served short ones, does not do that
    /// itself.
    ///
    /// - Parameters:
    ///   - daemon: The master of one worker.
    ///   - script: What it runs.
    ///   - name: What the script calls its file when it has started.
    ///   - keep: Whether the connection is to be kept.
    /// - Returns: The connection, with the request's response to come.
    /// - Throws: When the master has kept none.
    private static func beginKept(
        _ daemon: Daemon,
        _ script: String = "/hold.php",
        _ name: String = "x",
        keep: Bool = false
    ) throws -> FastCGIConnection {
        let before = descriptors(daemon)
        var short = daemon.makeRequest("/hello.php")
        short.keepsConnection = true
        var request = daemon.makeRequest(script, query: "dir=\(daemon.scratch)&name=\(name)")
        request.keepsConnection = keep
        // On a busy machine the short ones may take long.
        for _ in 1...20 {
            let client = try daemon.connect()
            try client.send((1...16).flatMap { _ in short.bytes } + request.bytes)
            for _ in 1...16 { #expect(try client.readResponse().isComplete) }
            try daemon.waitUntilStarted([name])
            let isKept: ()? = try? wait(for: "the master to keep it", within: .seconds(1)) {
                descriptors(daemon) > before
            }
            if isKept != nil { return client }
            let files = ["answer", "release", "started.\(name)"]
            for name in files { try Data().write(to: URL(fileURLWithPath: "\(daemon.scratch)/\(name)")) }
            #expect(try client.readResponse().isComplete)
            for name in files {
                try FileManager.default.removeItem(atPath: "\(daemon.scratch)/\(name)")
            }
            let released = ContinuousClock.now
            try wait(for: "the long request to be forgotten") {
                ContinuousClock.now - released > .seconds(1)
            }
        }
        throw TestFailure("the master has kept no connection")
    }

    private static func worker(_ daemon: Daemon) throws -> Int32 {
        try #require(try daemon.waitForWorkers(1).first).pid
    }

    @Test(arguments: [true, false]) func killedWorkerIsAnsweredFor(_ keep: Bool) throws {
        let daemon = try Self.start()
        daemon.markDescriptors()
        let pid = try Self.worker(daemon)
        let client = try Self.beginKept(daemon, keep: keep)
        kill(pid, SIGKILL)
        let answer = try client.finalResponse()
        #expect(answer.status == 500 && answer.isComplete)
        #expect(answer.text == "The script ended unexpectedly.\n")
        #expect(try daemon.get("/hello.php").isComplete)
        try daemon.waitForLog(
            try Regex(
                "WARNING: \\[pool www\\] child \(pid), script '.*/hold\\.php' "
                    + "\\(request: \"GET /hold\\.php\\?.*\"\\) cut off on signal 9 \\(SIGKILL\\)$"
            )
        )
    }

    /// However its worker dies, a request has a line in the access log, and only one.
    @Test(arguments: ["{{SOCKET}}", "127.0.0.1:{{PORT}}"])
    func accessLogOfLostRequests(_ listen: String) throws {
        let lines =
            "pm = static\npm.max_children = 1\naccess.log = {{DIR}}/access.log\naccess.format = \"%R %m %r%Q%q %s %f %p\"\n"
            + "request_terminate_timeout = 1"
        let daemon = try Daemon.start(
            "[www]\nuser = www-data\ngroup = www-data\nlisten = \(listen)\n\(lines)\n"
        )
        daemon.allowLog(
            /(exited|cut off|crashed) on signal|execution timed out|call stack|exited with code 9/
        )
        let log = LogFile(path: daemon.directory + "/access.log")
        let client = listen.contains("SOCKET") ? "-" : "127.0.0.1"
        var expected: [String] = []
        func expectLine(_ pid: pid_t, _ script: String, _ query: String, _ status: Int, of peer: String)
            throws
        {
            let path = "\(daemon.documentRoot)/\(script)"
            expected.append(
                "\(peer) GET /\(script)\(query.isEmpty ? "" : "?")\(query) \(status) \(path) \(pid)"
            )
            #expect(try log.waitForLines(expected.count) == expected)
        }
        // By nobody's fault, by its own, and by taking too long.
        let query = "dir=\(daemon.scratch)&name=killed"
        var pid = try Self.worker(daemon)
        let killed = try daemon.begin("/hold.php", query: query)
        try daemon.waitUntilStarted(["killed"])
        kill(pid, SIGKILL)
        #expect(try killed.readResponse().status == 500)
        try expectLine(pid, "hold.php", query, 500, of: client)
        try wait(for: "another worker") { daemon.workers().contains { $0.pid != pid } }
        pid = try Self.worker(daemon)
        #expect(try daemon.get("/crash.php").status == 500)
        try expectLine(pid, "crash.php", "", 500, of: "-")
        try wait(for: "another worker") { daemon.workers().contains { $0.pid != pid } }
        pid = try Self.worker(daemon)
        #expect(try daemon.get("/pause.php", query: "ms=60000").status == 504)
        try expectLine(pid, "pause.php", "ms=60000", 504, of: "-")
    }

    /// What a worker does before the request in which it is killed.
    enum Past: CaseIterable {
        case idleness, longRequest
        /// On the same connection.
        case longRequestAndManyShortOnes
    }

    /// When a worker's requests are long, or some of the pool's, or it has been idle, the next one's client is answered
    /// whenever the worker is killed.
    @Test(arguments: [true, false], Past.allCases) func killedAtTheBegin(_ keep: Bool, after past: Past)
        throws
    {
        let daemon = try Self.start()
        for number in 1...8 {
            var before: [FastCGIRequest] = []
            switch past {
            case .longRequest: _ = try daemon.get("/pause.php", query: "ms=20")
            case .longRequestAndManyShortOnes:
                before = [daemon.makeRequest("/pause.php", query: "ms=20")]
                before += (1...24).map { _ in daemon.makeRequest("/hello.php") }
                for index in before.indices { before[index].keepsConnection = true }
            case .idleness:
                for _ in 1...16 { _ = try daemon.get("/hello.php") }
                let served = ContinuousClock.now
                try wait(for: "the worker to have been idle") {
                    ContinuousClock.now - served > .milliseconds(5)
                }
            }
            let pid = try Self.worker(daemon)
            let client = try daemon.connect()
            var request = daemon.makeRequest("/hold.php", query: "dir=\(daemon.scratch)&name=x\(number)")
            request.keepsConnection = keep
            try client.send((before + [request]).flatMap(\.bytes))
            for _ in before { #expect(try client.readResponse().isComplete) }
            try daemon.waitUntilStarted(["x\(number)"])
            kill(pid, SIGKILL)
            let answer = try client.finalResponse()
            #expect(answer.status == 500 && answer.isComplete)
            try wait(for: "the worker's end") { daemon.workers().allSatisfy { $0.pid != pid } }
        }
    }

    /// A worker that was stopped (by a debugger, a cgroup) when it was killed.
    @Test func stoppedAndKilled() throws {
        let daemon = try Self.start()
        let pid = try Self.worker(daemon)
        let client = try Self.beginKept(daemon)
        kill(pid, SIGSTOP)
        kill(pid, SIGKILL)
        #expect(try client.finalResponse().status == 500)
    }

    @Test func nothingIsAddedToHalfAnAnswer() throws {
        let daemon = try Self.start()
        let pid = try Self.worker(daemon)
        let client = try daemon.begin("/half-and-hold.php", query: "dir=\(daemon.scratch)")
        try daemon.waitUntilStarted(["half"])
        kill(pid, SIGKILL)
        let answer = try client.readResponse()
        #expect(answer.text == "half\n" && !answer.isComplete)
    }

    /// The duplicate does not keep a connection open that the worker has closed.
    @Test func endOfAConnectionIsSeenAtOnce() throws {
        let daemon = try Self.start()
        let before = Self.descriptors(daemon)
        for number in 1...5 {
            // The others are left for it.
            let client = try number == 1 ? Self.beginKept(daemon) : daemon.startHolding("x\(number)")
            try daemon.releaseHeld()
            #expect(try client.finalResponse(within: .seconds(10)).isComplete)
            try wait(for: "the duplicate to be closed") { Self.descriptors(daemon) == before }
            try FileManager.default.removeItem(atPath: daemon.scratch + "/release")
        }
    }

    @Test func endOfAFinishedRequestIsSeenAtOnce() throws {
        let daemon = try Self.start()
        let client = try Self.beginKept(daemon, "/finish-late.php", "late")
        try Data().write(to: URL(fileURLWithPath: daemon.scratch + "/answer"))
        #expect(try client.finalResponse(within: .seconds(10)).text == "answer\n")
        #expect(!FileManager.default.fileExists(atPath: daemon.scratch + "/ended.late"))
        try daemon.releaseHeld()
    }

    /// Of a request whose answer is on its way nothing is to be kept: the master sleeps, however long it goes on.
    @Test func finishedRequestIsNotLookedAfter() throws {
        let daemon = try Self.start()
        let client = try Self.beginKept(daemon, "/finish-late.php", "late")
        try Data().write(to: URL(fileURLWithPath: daemon.scratch + "/answer"))
        #expect(try client.finalResponse(within: .seconds(10)).text == "answer\n")
        func wakes() throws -> Int {
            let field = ProcessSnapshot(pid: daemon.master)?.statusField("voluntary_ctxt_switches")
            return try #require(field.flatMap { Int($0) })
        }
        try wait(for: "the master to sleep for a third of a second") {
            let before = try wakes()
            poll(nil, 0, 333)
            return try wakes() - before <= 3
        }
        #expect(!FileManager.default.fileExists(atPath: daemon.scratch + "/ended.late"))
        try daemon.releaseHeld()
    }

    /// Nobody but SIGKILL ends a worker that is stopped: its client is told why.
    @Test func terminateTimeoutOfAStoppedWorker() throws {
        let daemon = try Self.start("request_terminate_timeout = 1")
        let client = try daemon.startHolding("x")
        kill(try Self.worker(daemon), SIGSTOP)
        let answer = try client.finalResponse()
        #expect(answer.status == 504 && answer.text == "The script took too long.\n")
    }

    @Test func terminateTimeoutLogsTheStack() throws {
        let daemon = try Self.start("request_terminate_timeout = 1")
        let client = try daemon.begin("/slow.php", query: "seconds=30")
        #expect(try client.finalResponse().status == 504)
        try daemon.waitForLog(/child \d+, script '.*slow\.php'.*execution timed out .*terminating/)
        try daemon.waitForLog(
            /NOTICE: \[pool www\] child \d+ is at \[0x[0-9a-f]{16}\] sleep\(\) \/.*slow\.php:4/
        )
        try daemon.waitForLog(/is at \[0x[0-9a-f]{16}\] slow_function\(\) \/.*slow\.php:6/)
    }

    /// The log's lines about a worker that has crashed and whose call stack could be read.
    ///
    /// A dying worker waits for its reader a fifth of a second at most: a busy machine may be late.
    private static func crash(_ daemon: Daemon, by provoke: () throws -> Void) throws -> [String] {
        daemon.allowLog(/(exited|cut off) on signal|crashed on signal|cannot be read/)
        var seen: [String] = []
        for _ in 1...5 {
            let count = daemon.log.lines.count
            try provoke()
            try daemon.waitForLog(/exited on signal/)
            seen = Array(daemon.log.lines.dropFirst(count))
            // What comes late of another's stack is not this one's.
            let crash = seen.lazy.compactMap { $0.firstMatch(of: /child (\d+), script .* crashed on signal/) }
                .first
            guard let process = crash?.1 else { continue }
            let lines = seen.filter { $0.contains("child \(process),") || $0.contains("child \(process) ") }
            let isEnd = { (line: String) in line.contains("exited on signal") }
            let trace = lines.prefix { !isEnd($0) }.filter { $0.contains("child \(process) is at [") }
            if !trace.isEmpty, lines.contains(where: isEnd),
                !lines.contains(where: { $0.contains("cannot be read") })
            {
                return lines
            }
        }
        throw TestFailure("no call stack of five could be read; the last:\n\(seen.joined(separator: "\n"))")
    }

    @Test(arguments: [(11, "11 (SIGSEGV)"), (7, "7 (SIGBUS)"), (6, "6 (SIGABRT)")])
    func crashLogsTheStack(_ signal: Int, _ name: String) throws {
        let daemon = try Self.start()
        let lines = try Self.crash(daemon) {
            let answer = try daemon.begin("/crash.php", query: "signal=\(signal)").finalResponse()
            #expect(answer.status == 500 && answer.isComplete)
        }
        func line(_ text: String) -> Int? { lines.firstIndex { $0.contains(text) } }
        let crash = try #require(
            line("crash.php' (request: \"GET /crash.php?signal=\(signal)\") crashed on signal \(name)")
        )
        let innermost = try #require(line("] posix_kill() "))
        let outer = try #require(line("] make() "))
        let end = try #require(line("exited on signal"))
        #expect(crash < innermost && innermost < outer && outer < end)
        #expect(
            lines[innermost].contains(
                /NOTICE: \[pool www\] child \d+ is at \[0x[0-9a-f]{16}\] posix_kill\(\) \/.*crash\.php:9$/
            )
        )
        #expect(lines[outer].contains(/is at \[0x[0-9a-f]{16}\] make\(\) \/.*crash\.php:13$/))
    }

    /// Between two calls the script's own position is what tells.
    @Test func crashOfPlainCodeLogsItsLine() throws {
        let daemon = try Self.start()
        let lines = try Self.crash(daemon) {
            let pid = try Self.worker(daemon)
            let client = try daemon.begin("/crash.php", query: "loop=1&dir=\(daemon.scratch)")
            _ = try daemon.waitForScratch("started")
            kill(pid, SIGSEGV)
            #expect(try client.finalResponse().status == 500)
            try FileManager.default.removeItem(atPath: daemon.scratch + "/started")
        }
        let position = try #require(
            lines.firstIndex { $0.contains(/is at \[0x[0-9a-f]{16}\] \/.*crash\.php:[67]$/) }
        )
        let outer = try #require(
            lines.firstIndex { $0.contains(/is at \[0x[0-9a-f]{16}\] make\(\) \/.*crash\.php:13/) }
        )
        #expect(position < outer)
    }

    /// The pool gets few helpers; everything else goes on as before.
    @Test func manyCrashesLogFewStacks() throws {
        let daemon = try Self.start()
        daemon.allowLog(/(exited|cut off) on signal|crashed on signal|cannot be read/)
        let begin = ContinuousClock.now
        for _ in 1...12 {
            #expect(try daemon.begin("/crash.php").finalResponse().status == 500)
        }
        try wait(for: "all ends in the log") {
            daemon.log.lines.count { $0.contains("exited on signal 11") } == 12
        }
        // Five at once, and one more every two seconds.
        let most = 5 + Int((ContinuousClock.now - begin) / .seconds(2)) + 1
        let crashes = daemon.log.count(of: /crashed on signal/)
        #expect(crashes >= 5 && crashes <= most, "\(crashes), at most \(most)")
        // A dying worker waits for its reader a fifth of a second at most: a busy machine may be late.
        let stacks = daemon.log.lines.count { $0.contains("posix_kill()") }
        #expect(stacks <= crashes)
    }

    /// A master that does not look holds the dying worker for a moment only.
    @Test func crashBesideAStoppedMaster() throws {
        let daemon = try Self.start()
        daemon.allowLog(/(exited|cut off) on signal|crashed on signal|cannot be read/)
        let pid = try Self.worker(daemon)
        kill(daemon.master, SIGSTOP)
        defer { kill(daemon.master, SIGCONT) }
        #expect(try daemon.begin("/crash.php").finalResponse().status == 500)
        try wait(for: "the worker to die") {
            (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8))?.contains(") Z ") == true
        }
        kill(daemon.master, SIGCONT)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test(arguments: ["", "&sleep=1"]) func softTimeoutRunsShutdownFunctions(_ way: String) throws {
        let daemon = try Self.start("request_soft_timeout = 1")
        let pid = try Self.worker(daemon)
        for _ in 1...2 {
            let answer = try daemon.get("/soft.php", query: "dir=\(daemon.scratch)\(way)")
            #expect(answer.status == 500 && answer.text == "from the shutdown function" && answer.isComplete)
            #expect(try daemon.waitForScratch("shutdown") == "request_soft_timeout exceeded")
            try daemon.waitForLog(/script '.*soft\.php'.*execution timed out .*ending the script/)
            try FileManager.default.removeItem(atPath: daemon.scratch + "/shutdown")
        }
        // The worker goes on.
        #expect(try daemon.get("/pid.php").text.contains(String(pid)))
    }

    @Test func terminateTimeoutAfterTheSoftOne() throws {
        let daemon = try Self.start("request_soft_timeout = 1\nrequest_terminate_timeout = 2")
        let answer = try daemon.get("/soft.php", query: "dir=\(daemon.scratch)&stay=1")
        #expect(answer.status == 504)
        #expect(try daemon.waitForScratch("shutdown") == "request_soft_timeout exceeded")
        #expect(try daemon.get("/hello.php").isComplete)
    }
}
