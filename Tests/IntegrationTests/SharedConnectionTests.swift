import Foundation
import Glibc
import TestSupport
import Testing

/// More kept connections than workers: each worker holds several, and the master a duplicate of each.
@Suite(.daemons, .fpmdOnly("a kept connection holds a worker"))
struct SharedConnectionTests {
    private static let count = 12
    private static let pool = "pm = static\npm.max_children = 2"

    /// Connections that workers have served so often that they hold all of them.
    struct Kept {
        let daemon: Daemon
        let connections: [FastCGIConnection]
        let workers: [pid_t]
        /// How many the master had open before.
        private let descriptors: Int

        init(_ daemon: Daemon, workers count: Int = 2, settles: Bool = true) throws {
            self.daemon = daemon
            workers = try daemon.waitForWorkers(count).map(\.pid)
            descriptors = DyingWorkerTests.descriptors(daemon)
            connections = try (1...SharedConnectionTests.count).map { _ in try daemon.connect() }
            if settles { try settle() }
        }

        func ask(_ connection: FastCGIConnection, _ script: String = "/hello.php") throws {
            try send(connection, script)
            #expect(try connection.readResponse(within: .seconds(10)).text == "hello, world\n")
        }

        func send(_ connection: FastCGIConnection, _ script: String, query: String = "") throws {
            var request = daemon.makeRequest(script, query: query)
            request.keepsConnection = true
            try connection.send(request)
        }

        /// How many of them answer no more.
        func countClosed(_ connections: [FastCGIConnection]) -> Int {
            connections.count { connection in (try? ask(connection)) == nil }
        }

        /// Until no connection is with the master alone, and nearly none with a worker alone: who has several shares them.
        func settle() throws {
            // A worker takes one more only after thousands of short requests that nothing disturbs.
            try wait(for: "workers to hold all connections", within: .seconds(120)) {
                for connection in connections { try ask(connection) }
                return held().reduce(0, +) >= connections.count && areShared(butFor: workers.count - 1)
            }
        }

        /// Whether the master has a duplicate of each.
        func areShared(butFor few: Int = 0) -> Bool {
            DyingWorkerTests.descriptors(daemon) >= descriptors + connections.count - few
        }

        /// How many clients' connections each worker has.
        func held() -> [Int] {
            workers.map { process in
                let directory = "/proc/\(process)/fd"
                let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
                let sockets = names.filter { name in
                    let target = try? FileManager.default.destinationOfSymbolicLink(
                        atPath: "\(directory)/\(name)"
                    )
                    return target?.hasPrefix("socket:") == true
                }
                return max(0, sockets.count - 5)  // listener, queue, channel, and the pair for connections
            }
        }
    }

    @Test func workersHoldThem() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.markDescriptors()
        let kept = try Kept(daemon)
        for _ in 1...20 { for connection in kept.connections.shuffled() { try kept.ask(connection) } }
        // A moment's pause of the machine may have parted some from their worker.
        try kept.settle()
        for connection in kept.connections { connection.close() }
        try wait(for: "workers to have closed them") { kept.held().reduce(0, +) == 0 }
    }

    @Test func aLongRequestKeepsNobodyWaiting() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.markDescriptors()
        let kept = try Kept(daemon)
        try kept.send(kept.connections[0], "/pause.php", query: "ms=5000")
        let begin = ContinuousClock.now
        for connection in kept.connections.dropFirst() { try kept.ask(connection) }
        #expect(ContinuousClock.now - begin < .seconds(4))
        #expect(try kept.connections[0].readResponse(within: .seconds(10)).text == "paused\n")
        try kept.settle()
    }

    /// Those that have served one request, a moment ago: the master has no duplicate yet.
    @Test(arguments: [false, true]) func newOnesAreTakenAsWell(isStopped: Bool) throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.markDescriptors()
        let kept = try Kept(daemon)
        let before = kept.held()
        let new = try (1...6).map { _ in try daemon.connect() }
        for connection in new { try kept.ask(connection) }
        if isStopped {
            let gained = zip(kept.held(), before).map { $0 - $1 }
            let worker = try #require(zip(kept.workers, gained).max { $0.1 < $1.1 }).0
            kill(worker, SIGSTOP)
            defer { kill(worker, SIGCONT) }
            for connection in new { try kept.send(connection, "/hello.php") }
            // But for one that it may hold alone.
            try wait(for: "answers of the other worker") {
                new.count { $0.isReadable(within: .zero) } >= new.count - 1
            }
            kill(worker, SIGCONT)
            for connection in new { #expect(try connection.readResponse().text == "hello, world\n") }
        } else {
            try kept.send(new[5], "/pause.php", query: "ms=5000")
            let begin = ContinuousClock.now
            for connection in new.dropLast() { try kept.ask(connection) }
            #expect(ContinuousClock.now - begin < .seconds(4))
            #expect(try new[5].readResponse(within: .seconds(10)).text == "paused\n")
        }
        for connection in new + kept.connections { try kept.ask(connection) }
    }

    /// Clients that ask for a connection to be kept, and close it after the answer.
    @Test func thoseThatAreClosedAtOnceLeaveNothing() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.markDescriptors()
        let kept = try Kept(daemon)
        for _ in 1...50 {
            let new = try (1...8).map { _ in try daemon.connect() }
            for connection in new { try kept.send(connection, "/hello.php") }
            for connection in new { #expect(try connection.readResponse().text == "hello, world\n") }
            for connection in new { connection.close() }
        }
        for connection in kept.connections {
            try kept.ask(connection)
            connection.close()
        }
        try wait(for: "workers to have closed all") { kept.held().reduce(0, +) == 0 }
    }

    @Test(arguments: [false, true]) func nothingIsLostWithAWorker(isBusy: Bool) throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        daemon.allowLog(/WARNING: .*(exited|cut off) on signal 9/)
        daemon.markDescriptors()
        let kept = try Kept(daemon, workers: 1)
        var others = kept.connections
        if isBusy {
            try kept.send(others.removeFirst(), "/hold.php", query: "dir=\(daemon.scratch)&name=x")
            try daemon.waitUntilStarted(["x"])
        }
        kill(try #require(kept.workers.first), SIGKILL)
        // One that the worker held alone, with no request in it, may be closed.
        #expect(kept.countClosed(others) <= (isBusy ? 0 : 1))
        if isBusy { #expect(try kept.connections[0].readResponse(within: .seconds(10)).status == 500) }
    }

    /// A worker in which PHP cannot go on ends by itself: its other connections go back, also those that the master has no
    /// duplicate of.
    @Test func nothingIsLostWhenPHPCannotGoOn() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\nphp_admin_value[memory_limit] = 2M"
        )
        daemon.allowLog(/WARNING: .*exited with code 70/)
        daemon.markDescriptors()
        let kept = try Kept(daemon, workers: 1)
        let new = try (1...3).map { _ in try daemon.connect() }
        let fatal = FailureTests.tooLarge(daemon).bytes
        for connection in new { try kept.ask(connection) }
        let last = try daemon.connect()
        try last.send(fatal)
        #expect(try last.readResponse().status == 500)
        #expect(kept.countClosed(new + kept.connections) == 0)
    }

    @Test func aStoppedWorkerKeepsNobodyWaiting() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.markDescriptors()
        let kept = try Kept(daemon)
        let (stopped, held) = try #require(zip(kept.workers, kept.held()).max { $0.1 < $1.1 })
        try #require(held > 2)
        kill(stopped, SIGSTOP)
        defer { kill(stopped, SIGCONT) }
        for connection in kept.connections { try kept.send(connection, "/hello.php") }
        // But for one that it may hold alone.
        try wait(for: "answers of the other worker") {
            kept.connections.count { $0.isReadable(within: .zero) } >= Self.count - 1
        }
        kill(stopped, SIGCONT)
        for connection in kept.connections { #expect(try connection.readResponse().text == "hello, world\n") }
    }

    /// On one processor a second worker that is awake would only interrupt the first.
    ///
    /// Others that are used once take no room from those that are used.
    @Test(arguments: [0, 60]) func oneWorkerHoldsAllOnOneProcessor(others: Int) throws {
        var options = Daemon.Options()
        options.wrapper = ["nice", "-n", "-10", "taskset", "-c", "0"]
        let daemon = try Daemon.startPool(Self.pool, options)
        daemon.allowLog(/WARNING: .*(exited|cut off) on signal 9/)
        daemon.markDescriptors()
        let kept = try Kept(daemon)
        let once = try (0..<others).map { _ in try daemon.connect() }
        for connection in once { try kept.ask(connection) }
        try wait(for: "one worker to hold all connections", within: .seconds(60)) {
            for connection in kept.connections { try kept.send(connection, "/hello.php") }
            for connection in kept.connections {
                #expect(try connection.readResponse().text == "hello, world\n")
            }
            // One that is used no more may stay with a worker that has nothing else to do.
            let held = kept.held().sorted()
            return held[0] <= min(others, 1) && held[1] >= Self.count && kept.areShared(butFor: 1 - others)
        }
        // Those that the master has put into its hands go on without it, as the others do.
        let holder = try #require(zip(kept.workers, kept.held()).max { $0.1 < $1.1 }).0
        kill(holder, SIGKILL)
        #expect(kept.countClosed(kept.connections + once) <= 1)
    }

    /// What has come is to be counted, and so in the master's hands.
    @Test func limitsOnTheQueueForbidIt() throws {
        let daemon = try Daemon.startPool("\(Self.pool)\npm.max_queue = 100")
        let kept = try Kept(daemon, settles: false)
        for _ in 1...20 { for connection in kept.connections { try kept.ask(connection) } }
        #expect(kept.held().reduce(0, +) <= 2)
    }

    /// More connections than a worker has places for, most of them used once.
    @Test func thoseThatAreUsedOnceMakeRoom() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        daemon.markDescriptors()
        let kept = try Kept(daemon, workers: 1)
        let once = try (1...60).map { _ in try daemon.connect() }
        for connection in once { try kept.ask(connection) }
        let used = try (1...4).map { _ in try daemon.connect() }
        try wait(for: "the worker to hold those that are used") {
            for connection in used { try kept.ask(connection) }
            kill(daemon.master, SIGSTOP)
            defer { kill(daemon.master, SIGCONT) }
            for connection in used { try kept.send(connection, "/hello.php") }
            let answered = used.count { $0.isReadable(within: .milliseconds(200)) }
            kill(daemon.master, SIGCONT)
            for connection in used { #expect(try connection.readResponse().text == "hello, world\n") }
            return answered == used.count
        }
        for connection in once { try kept.ask(connection) }
        // Those in the places are idle for long enough now, also the one that is asked after the one that is held.
        let begin = ContinuousClock.now
        try wait(for: "some time to pass") { ContinuousClock.now - begin > .milliseconds(150) }
        for connection in [once[59]] + used + once + kept.connections { try kept.ask(connection) }
    }

    @Test func aReloadMovesThem() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.markDescriptors()
        let kept = try Kept(daemon)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        for _ in 1...3 { for connection in kept.connections { try kept.ask(connection) } }
    }

    /// The worker leaves with a request of one connection unserved: that is not another's.
    @Test func whatWasSentAheadStaysWithItsConnection() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        let kept = try Kept(daemon, workers: 1)
        let last = try daemon.connect()
        try kept.ask(last)
        // A pause that takes the worker's short requests for granted no more, and a setting that spoils it.
        var first = daemon.makeRequest("/pause.php", query: "ms=40")
        first.set("PHP_ADMIN_VALUE", "disable_functions=phpinfo")
        first.keepsConnection = true
        var second = daemon.makeRequest("/hello.php")
        second.keepsConnection = true
        // Or it takes the others from a worker that sleeps.
        kill(daemon.master, SIGSTOP)
        defer { kill(daemon.master, SIGCONT) }
        try last.send(first.bytes + second.bytes)
        #expect(try last.readResponse().text == "paused\n")
        try wait(for: "the worker to leave") { ProcessSnapshot(pid: kept.workers[0])?.state ?? "Z" == "Z" }
        kill(daemon.master, SIGCONT)
        #expect(try last.readResponse().text == "hello, world\n")
        #expect(kept.connections.allSatisfy { !$0.isReadable(within: .zero) })
        for connection in kept.connections { try kept.ask(connection) }
    }

    @Test func requestsSentAheadAreServedInOrder() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let kept = try Kept(daemon)
        for connection in kept.connections {
            for _ in 1...5 { try kept.send(connection, "/hello.php") }
        }
        for connection in kept.connections {
            for _ in 1...5 { #expect(try connection.readResponse().text == "hello, world\n") }
        }
    }
}
