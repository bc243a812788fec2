import Foundation
import TestSupport
import Testing

/// While requests are short, no more workers wait at the listener than there are processors.
@Suite(.daemons, .fpmdOnly("all workers wait at the listener"))
struct ListenerWidthTests {
    /// Four workers on one processor.
    private static func start(_ lines: String = "") throws -> Daemon {
        var options = Daemon.Options()
        options.wrapper = ["nice", "-n", "-10", "taskset", "-c", "0"]
        return try Daemon.startPool("pm = static\npm.max_children = 4\n\(lines)", options)
    }

    private static func load(_ daemon: Daemon, _ script: String, _ text: String, clients: Int) throws -> Load
    {
        Load(daemon.makeRequest(script), to: try daemon.endpoint(), expecting: text, clients: clients)
    }

    /// The same, under load until one alone takes connections.
    private static func narrow(
        _ script: String = "/hello.php",
        _ text: String = "hello, world",
        clients: Int = 8
    )
        throws -> (Daemon, Load)
    {
        let daemon = try start()
        #expect(try listening(daemon).count == 4)
        let load = try load(daemon, script, text, clients: clients)
        try wait(for: "surplus workers to rest", within: .seconds(60)) { try listening(daemon).count == 1 }
        return (daemon, load)
    }

    /// Workers whose epoll set has two members that are watched exclusively: the pool's queue and its listener.
    private static func listening(_ daemon: Daemon) throws -> [ProcessSnapshot] {
        daemon.workers().filter { worker in
            let sets = "/proc/\(worker.pid)/fdinfo"
            let names = (try? FileManager.default.contentsOfDirectory(atPath: sets)) ?? []
            return names.contains { name in
                let lines = (try? String(contentsOfFile: "\(sets)/\(name)", encoding: .utf8)) ?? ""
                let exclusive = lines.split(separator: "\n").filter { line in
                    guard line.hasPrefix("tfd:"), let events = line.firstMatch(of: /events:\s*([0-9a-f]+)/)
                    else {
                        return false
                    }
                    return (UInt32(events.1, radix: 16) ?? 0) & 1 << 28 != 0
                }
                return exclusive.count == 2
            }
        }
    }

    @Test func requestsThatLastWakeTheOthers() throws {
        let (daemon, load) = try Self.narrow()
        let held = try ["a", "b", "c"].map { try daemon.startHolding($0) }
        try load.waitForGood(100)
        try daemon.releaseHeld()
        for connection in held { #expect(try connection.finalResponse().text.hasPrefix("held ")) }
        #expect(try load.stop().failed == 0)
        try wait(for: "all workers to listen again") { try Self.listening(daemon).count == 4 }
    }

    @Test func workerThatListensIsKilled() throws {
        let (daemon, load) = try Self.narrow()
        daemon.allowLog(/(exited|cut off) on signal 9|started/)
        let killed = try Self.listening(daemon)
        for worker in killed { kill(worker.pid, SIGKILL) }
        try load.waitForGood(500)
        // Its own request may be lost, and no other.
        #expect(try load.stop().failed <= killed.count)
        #expect(try daemon.waitForWorkers(4).count == 4)
    }

    @Test func reloadAndUpgrade() throws {
        let (daemon, load) = try Self.narrow()
        daemon.allowLog(/[Rr]eload|ready|running|started|using inherited|upgrade/)
        for _ in 1...3 {
            daemon.signal(SIGUSR2)
            try daemon.waitForLog(/ready to handle connections/)
            try load.waitForGood(300)
        }
        #expect(try load.stop().failed == 0)
        try wait(for: "all workers to listen again") { try Self.listening(daemon).count == 4 }
    }

    /// The depth of the queue is to be known at once.
    @Test func limitedQueueIsNotNarrowed() throws {
        let daemon = try Self.start("pm.max_queue = 100")
        let load = try Self.load(daemon, "/hello.php", "hello, world", clients: 8)
        for _ in 1...5 {
            try load.waitForGood(300)
            #expect(try Self.listening(daemon).count == 4)
        }
        #expect(try load.stop().failed == 0)
    }

    /// Pages that only compute are served one after the other, as long as there are workers for all that wait.
    @Test func pagesThatCompute() throws {
        let (daemon, load) = try Self.narrow("/compute.php", "computed\n", clients: 4)
        try load.waitForGood(100)
        let held = try daemon.startHolding("a")
        try load.waitForGood(100)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().text.hasPrefix("held "))
        #expect(try load.stop().failed == 0)
        try wait(for: "all workers to listen again") { try Self.listening(daemon).count == 4 }
    }

    /// Where the master is to answer at once, pages do not wait for each other in the kernel.
    @Test func pagesBesideAPing() throws {
        let daemon = try Self.start("ping.path = /ping")
        let load = try Self.load(daemon, "/compute.php", "computed\n", clients: 4)
        for _ in 1...20 {
            try load.waitForGood(20)
            #expect(try daemon.get("/ping").text == "pong")
            #expect(try Self.listening(daemon).count == 4)
        }
        #expect(try load.stop().failed == 0)
    }

    /// More than there are workers for: the master takes them, and says so; they are served one after the other still.
    @Test func morePagesThanWorkers() throws {
        let (daemon, load) = try Self.narrow("/compute.php", "computed\n", clients: 32)
        daemon.allowLog(/saturated/)
        try daemon.waitForLog(/saturated: 1 worker is busy, \d\d requests wait/)
        let held = try daemon.startHolding("a")
        try load.waitForGood(100)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().text.hasPrefix("held "))
        #expect(try load.stop().failed == 0)
        try wait(for: "all workers to listen again") { try Self.listening(daemon).count == 4 }
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// The only worker that takes requests is killed: another one takes what waits.
    @Test func workerOfASaturatedPoolIsKilled() throws {
        let (daemon, load) = try Self.narrow("/compute.php", "computed\n", clients: 32)
        daemon.allowLog(/(exited|cut off) on signal 9|started|saturated/)
        for _ in 1...3 {
            let killed = try #require(try Self.listening(daemon).first).pid
            kill(killed, SIGKILL)
            try load.waitForGood(50)
            try wait(for: "one worker to take requests") {
                let listening = try Self.listening(daemon)
                return listening.count == 1 && listening[0].pid != killed
            }
        }
        #expect(try load.stop().failed <= 3)
    }
}
