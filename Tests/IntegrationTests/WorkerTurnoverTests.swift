import Foundation
import TestSupport
import Testing

/// Workers that make room: surplus ones, and those that are replaced by others.
@Suite(.daemons, .fpmdOnly("one a second; and the replacement comes when the worker has gone"))
struct WorkerTurnoverTests {
    @Test func surplusWorkersLeaveTogether() throws {
        let daemon = try Daemon.startPool(
            """
            pm = dynamic
            pm.max_children = 24
            pm.start_servers = 1
            pm.min_spare_servers = 1
            pm.max_spare_servers = 2
            pm.process_idle_timeout = 1s
            """
        )
        daemon.allowLog(/seems busy|server reached pm.max_children/)
        let names = (1...22).map(String.init)
        let connections = try names.map { try daemon.hold($0) }
        try daemon.waitUntilStarted(names)
        try daemon.releaseHeld()
        for connection in connections { #expect(try connection.finalResponse().isComplete) }
        // One a second would take more than twenty seconds.
        try daemon.waitForWorkers(2, within: .seconds(12))
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// Which of the lines "started" and "exited" there are, in order.
    private func events(_ daemon: Daemon) -> [Substring] {
        daemon.log.lines.compactMap { $0.firstMatch(of: /child \d+ (started|exited)/)?.1 }
    }

    @Test func replacementIsReadyBeforeItsPredecessorLeaves() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1\npm.max_requests = 60")
        try "<?php usleep(1000 * $_GET['ms']); echo getmypid();"
            .write(toFile: daemon.documentRoot + "/later.php", atomically: true, encoding: .utf8)
        var requests: [String: Int] = [:]
        var latest = ""
        for _ in 1...480 {
            // From the announcement on, after the 49th request at the earliest, they take longer than the other one's start.
            let milliseconds = requests[latest, default: 0] >= 49 ? 60 : 1
            latest = try daemon.get("/later.php", query: "ms=\(milliseconds)").text
            requests[latest, default: 0] += 1
        }
        #expect(requests.values.allSatisfy { $0 <= 60 }, "\(requests)")
        #expect(requests.count >= 8)
        let events = events(daemon)
        #expect(events.count { $0 == "exited" } >= 6)
        // One after the other they would alternate from "exited" on; a machine with much else to do may have a case of it.
        let late = zip(events, events.dropFirst()).count { $0 == "exited" && $1 == "started" }
        let early = zip(events, events.dropFirst()).count { $0 == "started" && $1 == "exited" }
        #expect(early > late, "another one starts, then one leaves: \(events)")
    }

    /// No signal: it would end a sleep early, or a wait for a lock.
    @Test func theirRequestsAreNotInterrupted() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1\npm.max_requests = 10")
        for _ in 1...30 {
            let slept = try daemon.get("/slept.php", query: "ms=80").text
            #expect(Int(slept).map { $0 >= 80 } == true, "\(slept) ms")
        }
        #expect(daemon.log.count(of: /exited with code 0/) >= 1)
        // Nor does a reload.
        let connection = try daemon.begin("/slept.php", query: "ms=1500&dir=\(daemon.scratch)&name=x")
        try daemon.waitUntilStarted(["x"])
        try daemon.rewriteConfiguration(Daemon.poolSection("pm = static\npm.max_children = 1"))
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: Reloading in progress/)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        let slept = try connection.finalResponse().text
        #expect(Int(slept).map { $0 >= 1500 } == true, "\(slept) ms")
    }

    /// PHP's own clock of the pool's limit is none of the zygote's: it would end by SIGPROF.
    @Test func zygoteOutlivesTheTimeLimit() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\npm.max_requests = 1\nphp_admin_value[max_execution_time] = 1"
        )
        func zygote() throws -> ProcessSnapshot {
            try wait(for: "a zygote") { daemon.zygotes().first }
        }
        let before = try zygote()
        let limit = ContinuousClock.now + .seconds(100)
        while let now = ProcessSnapshot(pid: before.pid), now.processorTime ?? .zero < .milliseconds(1500) {
            try #require(ContinuousClock.now < limit)
            _ = try daemon.get("/hello.php")
        }
        #expect(try zygote().pid == before.pid)
    }

    @Test func leakingWorkerIsReplaced() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2\npm.max_memory = 64K")
        var pids: Set<String> = []
        // A worker that has served a request has more than 64 KiB of its own: each leaves as soon as another is ready.
        try wait(for: "the tenth worker") {
            pids.insert(try daemon.get("/pid.php").text)
            return pids.count >= 10
        }
        try wait(for: "their ends") { daemon.log.count(of: /exited with code 0/) >= 8 }
        try daemon.waitForWorkers(2)
    }

    @Test(arguments: ["", "chroot = {{DIR}}/www\n"]) func memoryLimitInAChroot(_ lines: String) throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1\npm.max_memory = 64K\n\(lines)")
        let path = lines.isEmpty ? daemon.documentRoot : ""
        func pid() throws -> String {
            try daemon.send(FastCGIRequest("/pid.php", root: path)).text
        }
        let first = try pid()
        try wait(for: "another worker") { try pid() != first }
    }

    @Test func idleWorkerGivesMemoryBack() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        try
            "<?php $all = array_map(fn ($i) => [$i, $i], range(1, 10000)); echo str_repeat('x', 60000), getmypid();"
            .write(toFile: daemon.documentRoot + "/large.php", atomically: true, encoding: .utf8)
        func request() throws -> String { String(try daemon.get("/large.php").text.drop { $0 == "x" }) }
        let pid = try #require(pid_t(try request()))
        for _ in 1...2 {
            let used = try privateKilobytes(of: pid)
            try wait(for: "its memory to be given back") { try privateKilobytes(of: pid) < used - 1000 }
            #expect(try request() == "\(pid)")
        }
    }

    /// It does not wait for two idle seconds: there is a request all the time.
    @Test func largeResponseLeavesNothing() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        try "<?php echo str_repeat('x', 60000), file_get_contents('/proc/self/smaps_rollup');"
            .write(toFile: daemon.documentRoot + "/large.php", atomically: true, encoding: .utf8)
        let pid = try #require(pid_t(try daemon.get("/pid.php").text))
        let used = try privateKilobytes(in: try daemon.get("/large.php").text)
        try wait(for: "the buffer's pages to be given back") {
            #expect(try daemon.get("/pid.php").text == "\(pid)")
            return try privateKilobytes(of: pid) < used - 40
        }
    }

    private func privateKilobytes(of process: pid_t) throws -> Int {
        try privateKilobytes(in: String(contentsOfFile: "/proc/\(process)/smaps_rollup", encoding: .utf8))
    }

    private func privateKilobytes(in text: String) throws -> Int {
        try #require(text.firstMatch(of: /Private_Dirty: +([0-9]+) kB/).flatMap { Int($0.1) })
    }

    @Test func workerWithinItsLimitStays() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1\npm.max_memory = 1G")
        let pids = Set(try (1...50).map { _ in try daemon.get("/pid.php").text })
        #expect(pids.count == 1)
    }
}
