import Foundation
import TestSupport
import Testing

/// Clients that take their answers slowly, or not at all.
@Suite(.daemons, .fpmdOnly("a slow reader holds a worker"))
struct SlowReaderTests {
    /// More than a connection's buffers take, less than `response_buffer`.
    private static let size = 900_000
    private static let page: String = {
        var text = ""
        for offset in stride(from: 0, to: size, by: 64) {
            text += String(repeating: "0", count: 63 - String(offset).count) + "\(offset)\n"
        }
        return String(text.prefix(size))
    }()

    private static func start(_ lines: String = "", global: String = "", listen: String = "{{SOCKET}}") throws
        -> Daemon
    {
        try Daemon.start(
            "[www]\nuser = www-data\ngroup = www-data\nlisten = \(listen)\npm = static\npm.max_children = 1\n\(lines)\n",
            Daemon.Options(global: global)
        )
    }

    /// Asks for the large page, and does not read.
    private static func ask(_ daemon: Daemon, keep: Bool = false, whole: Bool = false) throws
        -> FastCGIConnection
    {
        let connection = try daemon.connect()
        var request = daemon.makeRequest("/large.php", query: "bytes=\(size)\(whole ? "&whole" : "")")
        request.keepsConnection = keep
        try connection.send(request)
        return connection
    }

    /// Answered by the pool's only worker: it has nothing else to do.
    private static func expectFreeWorker(_ daemon: Daemon) throws {
        #expect(try daemon.get("/hello.php", within: .seconds(10)).text == "hello, world\n")
    }

    @Test(arguments: ["{{SOCKET}}", "127.0.0.1:{{PORT}}"])
    func holdNoWorker(_ listen: String) throws {
        let daemon = try Self.start(listen: listen)
        daemon.markDescriptors()
        let slow = try (1...20).map { number in try Self.ask(daemon, whole: number % 2 == 0) }
        try Self.expectFreeWorker(daemon)
        for connection in slow { #expect(try connection.finalResponse().text == Self.page) }
    }

    /// What follows the request is read, or the connection would be reset, and with it what is under way of the answer.
    @Test(arguments: ["0", "1M"]) func surplusCutsNoAnswer(_ buffer: String) throws {
        let daemon = try Self.start("response_buffer = \(buffer)", listen: "127.0.0.1:{{PORT}}")
        daemon.markDescriptors()
        let connection = try daemon.connect()
        let request = daemon.makeRequest("/large.php", query: "bytes=\(Self.size)")
        // More than a worker has received when it begins.
        let ends = [[UInt8]](repeating: Record(RecordKind.stdin, id: 1).encoded(), count: 10_000)
        try connection.send(request.bytes + ends.joined())
        if buffer != "0" { try Self.expectFreeWorker(daemon) }
        #expect(try connection.finalResponse().text == Self.page)
    }

    @Test func keepTheirConnection() throws {
        let daemon = try Self.start()
        let slow = try Self.ask(daemon, keep: true)
        // Sent ahead, before anything has been read.
        try slow.send(daemon.makeRequest("/hello.php", query: "second"))
        try Self.expectFreeWorker(daemon)
        #expect(try slow.readResponse().text == Self.page)
        #expect(try slow.finalResponse().text == "hello, world\n")
    }

    @Test func mayVanish() throws {
        let daemon = try Self.start()
        daemon.markDescriptors()
        let slow = try (1...20).map { number in try Self.ask(daemon, whole: number % 2 == 0) }
        try Self.expectFreeWorker(daemon)
        for (index, connection) in slow.enumerated() {
            if index % 2 == 0 { connection.close() } else { connection.abort() }
        }
        try Self.expectFreeWorker(daemon)
    }

    /// What does not fit the buffer is waited for, as without one.
    @Test(arguments: ["64K", "0"]) func moreThanTheBuffer(_ buffer: String) throws {
        let daemon = try Self.start("response_buffer = \(buffer)\npm.status_path = /status")
        let slow = try Self.ask(daemon)
        let other = try daemon.begin("/hello.php")
        #expect(!other.isReadable(within: .milliseconds(300)))
        #expect(try slow.finalResponse().text == Self.page)
        #expect(try other.finalResponse().text == "hello, world\n")
    }

    @Test func gracefulStopWaitsForThem() throws {
        let daemon = try Self.start(global: "process_control_timeout = 20")
        let slow = try Self.ask(daemon)
        try Self.expectFreeWorker(daemon)
        daemon.signal(SIGQUIT)
        try daemon.waitForLog(/Finishing/)
        try wait(for: "the worker to leave") { daemon.workers().isEmpty }
        #expect(daemon.process.isRunning)
        #expect(try slow.finalResponse().text == Self.page)
        try daemon.process.wait()
    }

    @Test func stopDoesNotWait() throws {
        let daemon = try Self.start(global: "process_control_timeout = 20")
        let slow = try Self.ask(daemon)
        try Self.expectFreeWorker(daemon)
        try daemon.stop(SIGTERM, within: .seconds(10))
        #expect(try !slow.readResponse().isComplete)
    }

    @Test func surviveAReload() throws {
        let daemon = try Self.start()
        let slow = try Self.ask(daemon, keep: true)
        try Self.expectFreeWorker(daemon)
        let old = Set(daemon.workers().map(\.pid))
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ready to handle connections/)
        try wait(for: "the old worker to leave") { old.isDisjoint(with: daemon.workers().map(\.pid)) }
        #expect(try slow.readResponse().text == Self.page)
        // The connection is the new generation's.
        try slow.send(daemon.makeRequest("/hello.php"))
        #expect(try slow.finalResponse().text == "hello, world\n")
    }

    /// What its socket has got of the kept bytes, and it has not read: the rest reaches it all the same, and from the master.
    @Test(arguments: ["{{SOCKET}}", "127.0.0.1:{{PORT}}"])
    func pausesAfterAPartOfWhatIsKept(_ listen: String) throws {
        let daemon = try Self.start(listen: listen)
        let slow = try daemon.begin("/spill-twice.php", query: "dir=\(daemon.scratch)")
        try daemon.waitUntilStarted(["spill"])
        // The socket has room again for what the script's next output sends.
        var received: [Record] = []
        while received.reduce(0, { $0 + $1.content.count }) < 150_000 {
            received.append(try #require(try slow.readRecord()))
        }
        try daemon.releaseHeld()
        try Self.expectFreeWorker(daemon)
        let answer = try slow.finalResponse()
        let isComplete = answer.isComplete
        #expect(isComplete)
        let text = String(decoding: received.flatMap(\.content) + answer.output, as: UTF8.self)
        let isWhole = text.hasSuffix(String(repeating: "0123456789abcdef\n", count: 56_000) + "end\n")
        #expect(isWhole)
    }

    /// After fastcgi_finish_request() the client gets everything while the script goes on.
    @Test(arguments: [true, false]) func finishedRequest(_ keep: Bool) throws {
        let daemon = try Self.start()
        let slow = try daemon.connect()
        var request = daemon.makeRequest("/finish-large.php", query: "dir=\(daemon.scratch)")
        request.keepsConnection = keep
        try slow.send(request)
        try daemon.waitUntilStarted(["finish"])
        let answer = try slow.readResponse()
        #expect(answer.isComplete && answer.body.count == 17 * 40_000)
        #expect(!FileManager.default.fileExists(atPath: daemon.scratch + "/ended.finish"))
        try daemon.releaseHeld()
        if keep {
            try slow.send(daemon.makeRequest("/hello.php"))
            #expect(try slow.finalResponse().text == "hello, world\n")
        }
        try wait(for: "the script to end") {
            FileManager.default.fileExists(atPath: daemon.scratch + "/ended.finish")
        }
    }

    /// Its client sees the end of a connection that the master has got while the script goes on, although the
    /// worker was idle before.
    @Test func endOfAFinishedRequestIsSeenAtOnce() throws {
        let daemon = try Self.start()
        try Self.expectFreeWorker(daemon)
        // From then on it leaves a duplicate of the connection, in case that it is killed.
        let served = ContinuousClock.now
        try wait(for: "the worker to have been idle") { ContinuousClock.now - served > .milliseconds(5) }
        let slow = try daemon.begin("/finish-large.php", query: "dir=\(daemon.scratch)")
        try daemon.waitUntilStarted(["finish"])
        #expect(try slow.readToEnd(within: .seconds(10)).count > 17 * 40_000)
        #expect(!FileManager.default.fileExists(atPath: daemon.scratch + "/ended.finish"))
        try daemon.releaseHeld()
        try wait(for: "the script to end") {
            FileManager.default.fileExists(atPath: daemon.scratch + "/ended.finish")
        }
    }

    /// A master that does not answer for a while: the worker goes on sending itself, or waits for it.
    @Test func stoppedMaster() throws {
        let daemon = try Self.start()
        daemon.signal(SIGSTOP)
        let slow = try Self.ask(daemon)
        try Self.expectFreeWorker(daemon)
        daemon.signal(SIGCONT)
        #expect(try slow.finalResponse().text == Self.page)
    }
}
