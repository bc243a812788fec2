import Foundation
import TestSupport
import Testing

/// While requests are short, no more workers wait at the listener than there are processors.
@Suite(.daemons, .fpmdOnly("all workers wait at the listener"))
struct ListenerWidthTests {
    /// Four workers on one processor, under load until one alone takes connections.
    private static func narrow(_ lines: String = "") throws -> (Daemon, Load) {
        var options = Daemon.Options()
        options.wrapper = ["nice", "-n", "-10", "taskset", "-c", "0"]
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 4\n\(lines)", options)
        #expect(try listening(daemon).count == 4)
        let load = Load(
            daemon.makeRequest("/hello.php"),
            to: try daemon.endpoint(),
            expecting: "hello, world",
            clients: 8
        )
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
        daemon.allowLog(/exited on signal 9|started/)
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
        var options = Daemon.Options()
        options.wrapper = ["nice", "-n", "-10", "taskset", "-c", "0"]
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 4\npm.max_queue = 100", options)
        let load = Load(
            daemon.makeRequest("/hello.php"),
            to: try daemon.endpoint(),
            expecting: "hello, world",
            clients: 8
        )
        for _ in 1...5 {
            try load.waitForGood(300)
            #expect(try Self.listening(daemon).count == 4)
        }
        #expect(try load.stop().failed == 0)
    }
}
