import Foundation
import TestSupport
import Testing

/// Too few descriptors, in the master, in workers, or of a user's under way: the service goes on with what there is, and is
/// whole again when the shortage is over.
@Suite(.daemons, .serialized, .needsRoot)
struct DescriptorShortageTests {
    @Test(.fpmdOnly("holds a worker for each silent connection"))
    func moreConnectionsThanDescriptors() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 2",
            .init(global: "rlimit_files = 80")
        )
        daemon.allowLog(/idle connections are all that the file limit allows/)
        daemon.allowLog(/accept\(\) failed|connections were lost/)
        daemon.allowLog(/file descriptors/)
        daemon.markDescriptors()
        let workers = try daemon.waitForWorkers(2)
        let silent = try (1...200).map { _ in try daemon.connect() }
        for _ in 1...50 { #expect(try daemon.get("/hello.php", within: .seconds(10)).isComplete) }
        let kept = try (1...200).map { _ in
            let connection = try daemon.connect()
            var request = daemon.makeRequest("/hello.php")
            request.keepsConnection = true
            try connection.send(request)
            #expect(try connection.readResponse().isComplete)
            return connection
        }
        for _ in 1...50 { #expect(try daemon.get("/hello.php", within: .seconds(10)).isComplete) }
        for connection in silent + kept { connection.close() }
        for _ in 1...50 { #expect(try daemon.get("/hello.php", within: .seconds(10)).isComplete) }
        #expect(daemon.workers() == workers)
        let complaints = daemon.log.count(of: /descriptors|file limit/)
        #expect(complaints < 20, "\(complaints) lines about it")
    }

    @Test(.fpmdOnly("has no zygote")) func moreWorkersThanDescriptors() throws {
        let daemon = try Daemon.startPool(
            """
            pm = dynamic
            pm.max_children = 50
            pm.start_servers = 30
            pm.min_spare_servers = 30
            pm.max_spare_servers = 50
            catch_workers_output = yes
            """,
            .init(global: "rlimit_files = 64")
        )
        daemon.allowLog(
            /cannot start a worker: Too many open files|accept\(\) failed|seems busy/
        )
        #expect(daemon.log.count(of: /cannot start a worker: Too many open files/) == 1)
        // No more than may wait in the master: one that is connected and has not sent is not dropped.
        let load = Load(
            daemon.makeRequest("/slow.php", query: "seconds=0"),
            to: try daemon.endpoint(),
            expecting: "slow",
            clients: 6
        )
        try load.waitForGood(400)
        let totals = try load.stop()
        #expect(totals.failed == 0, "\(totals)")
        #expect(daemon.log.count(of: /Too many open files/) < 5)
        let names = (1...8).map(String.init)
        let connections = try names.map { try daemon.hold($0) }
        try daemon.waitUntilStarted(names)
        try daemon.releaseHeld()
        for connection in connections { #expect(try connection.finalResponse().isComplete) }
    }

    /// A worker that has no descriptor for another connection leaves it to the next one.
    @Test func workerWithoutDescriptors() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        daemon.allowLog(/accept\(\) failed/)
        #expect(try daemon.get("/hello.php").isComplete)
        let worker = try #require(try daemon.waitForWorkers(1).first)
        // Fewer than it has: the next one is too many.
        try limit(worker.pid, "--nofile=4")
        for _ in 1...20 { #expect(try daemon.get("/hello.php", within: .seconds(10)).isComplete) }
        #expect(try daemon.waitForWorkers(1).first?.pid != worker.pid)
        #expect(daemon.log.count(of: /accept\(\) failed/) <= 2)
    }

    /// Whoever has been given a connection by the master in place of the listener loses it no more than one that accepts.
    @Test(.fpmdOnly("has no queue of its own")) func scriptsThatLeaveNoDescriptors() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 4\npm.max_queue = 100\nrlimit_files = 40\n"
                + "catch_workers_output = yes"
        )
        daemon.allowLog(/no descriptor for a connection|accept\(\) failed/)
        // Kept connections have a number while others come.
        let loads = try [false, true].map { keeps in
            var request = daemon.makeRequest("/leak.php", query: "count=3")
            request.keepsConnection = keeps
            return Load(request, to: try daemon.endpoint(), expecting: "left", clients: 8)
        }
        try wait(for: "a worker that has no descriptor left") {
            daemon.log.count(of: /no descriptor for a connection/) > 3
        }
        for load in loads {
            let totals = try load.stop()
            #expect(totals.failed == 0, "\(totals)")
        }
    }

    /// The kernel lets no user have more descriptors in messages than a process may have open: those that long requests
    /// leave there are not to be all.
    @Test(.fpmdOnly("leaves no descriptors under way"), arguments: ["rlimit_files = 64", ""])
    func moreLongRequestsThanDescriptors(_ limit: String) throws {
        func pool(_ name: String, _ lines: String) -> String {
            "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\n\(lines)\n\(limit)\n"
        }
        var options = Daemon.Options()
        if limit.isEmpty { options.wrapper = ["prlimit", "--nofile=64:4096"] }
        let daemon = try Daemon.start(
            pool("full", "pm = static\npm.max_children = 80")
                + pool("other", "pm = ondemand\npm.max_children = 4"),
            options
        )
        try daemon.waitForWorkers(80)
        let names = (1...79).map(String.init)
        let long = try names.map { try daemon.hold($0, from: "full") }
        try daemon.waitUntilStarted(names)
        // A worker that starts, and one that gives a connection back.
        #expect(try daemon.begin("/hello.php", from: "other").finalResponse().isComplete)
        var request = daemon.makeRequest("/hello.php")
        request.keepsConnection = true
        let kept = try (1...4).map { _ in try daemon.connect("full") }
        for connection in kept + kept {
            try connection.send(request)
            #expect(try connection.readResponse().isComplete)
        }
        try daemon.releaseHeld()
        for connection in long { #expect(try connection.finalResponse().isComplete) }
    }

    /// What is larger than a message travels in a file: without a descriptor for that it is refused, and not dropped.
    @Test(.fpmdOnly("has no queue of its own")) func largeRequestWithoutDescriptors() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\nping.path = /ping\nrequest_buffer = 1M\n"
                + "access.log = {{DIR}}/access.log\naccess.format = \"%s %R\""
        )
        daemon.allowLog(/large requests are refused|saturated/)
        let blocker = try daemon.startHolding("blocker")
        // Answered by the master, which has the connection from then on.
        let connection = try daemon.connect()
        var ping = daemon.makeRequest("/ping")
        ping.keepsConnection = true
        try connection.send(ping)
        #expect(try connection.readResponse().text == "pong")
        let body = [UInt8](repeating: 65, count: 600_000)
        var upload = daemon.makeRequest("/input.php", method: "PUT", body: body, contentType: "a/b")
        upload.keepsConnection = true
        try limit(daemon.master, "--nofile=4:")
        for _ in 1...3 {
            try connection.send(upload)
            let answer = try connection.readResponse()
            #expect(answer.status == 503 && answer.header("Retry-After") != nil)
        }
        try daemon.waitForLog(
            /ERROR: \[pool www\] large requests are refused with 503, .*: Too many open files \(24\), 1 since/
        )
        #expect(daemon.log.count(of: /large requests are refused/) == 1)
        try limit(daemon.master, "--nofile=1024:")
        try connection.send(upload)
        try daemon.releaseHeld()
        #expect(try connection.readResponse().json["length"] as? Int == body.count)
        #expect(try blocker.finalResponse().isComplete)
        let lines = try LogFile(path: daemon.directory + "/access.log").waitForLines(6)
        #expect(lines.count { $0.hasPrefix("503 ") } == 3, "\(lines)")
    }
}
