import CEpoll
import Channel
import Configuration
import Foundation
import Reactor
import Syscalls
import Testing

@testable import Master

@Suite struct WaitingConnectionsTests {
    private let reactor: Reactor
    private let connections: WaitingConnections

    init() throws {
        reactor = try Reactor()
        let queue = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero)
        connections = WaitingConnections(reactor: reactor, queue: queue, quota: 2)
    }

    /// Parks a kept connection under this number, which must be free: in a process of the test's own.
    private func park(as number: CInt) throws -> Peers {
        let peers = try Peers()
        try #require(cepoll_replace(peers.server, number) == number)
        closeDescriptor(peers.server)
        connections.park(Connection(adopting: number), flags: .keptAlive, acceptedTime: 1, bytes: [])
        return peers
    }

    /// Numbers of descriptors come again: a connection does not take the place of one that has gone.
    @Test func theOldestIsClosedFirst() async {
        await #expect(processExitsWith: .success) { try WaitingConnectionsTests().closeTheOldestFirst() }
    }

    private func closeTheOldestFirst() throws {
        var gone: Peers? = try park(as: 900)
        #expect(connections.parkedCount == 1)
        withExtendedLifetime(gone) {}
        gone = nil
        try reactor.turn(until: { connections.parkedCount == 0 })
        let oldest = try park(as: 901)
        let second = try park(as: 900)
        #expect(connections.handedOver.map(\.descriptor) == [901, 900])
        let third = try park(as: 902)
        try reactor.turn(until: { oldest.read() == nil })
        #expect(second.read() == [])
        #expect(third.read() == [])
        #expect(connections.handedOver.map(\.descriptor) == [900, 902])
    }

    /// Gathers what goes to the workers.
    private final class Taken {
        var sizes: [Int] = []
    }

    /// Connections that assemble up to 1 MiB, beside others that take `used` bytes of `limit`.
    private func large(_ taken: Taken, limit: Int, used: Int = 0) -> WaitingConnections {
        let memory = RequestMemory(limit: limit)
        memory.add(used)
        let queue = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero, memory: memory)
        let large = WaitingConnections(
            reactor: reactor,
            queue: queue,
            quota: 10,
            requestBuffer: 1 << 20,
            memory: memory
        )
        large.admits = {
            taken.sizes.append($0.bytes.count)
            return false
        }
        return large
    }

    /// The beginning of a request with a body of 900,000 bytes, of which `count` are there.
    private func beginning(_ count: Int, hasParameters: Bool = true) -> [UInt8] {
        func record(_ kind: UInt8, _ content: [UInt8]) -> [UInt8] {
            [1, kind, 0, 1, UInt8(content.count >> 8), UInt8(content.count & 0xff), 0, 0] + content
        }
        let pair = [14, 6] + Array("CONTENT_LENGTH900000".utf8)
        var bytes = record(1, [0, 1, 0, 0, 0, 0, 0, 0])
        let kind: UInt8 = hasParameters ? 5 : 4
        if hasParameters { bytes += record(4, pair) + record(4, []) }
        for _ in 0..<(count / 50_000) { bytes += record(kind, [UInt8](repeating: 0, count: 50_000)) }
        return bytes
    }

    private func park(_ bytes: [UInt8], in connections: WaitingConnections) throws -> Peers {
        let peers = try Peers()
        connections.park(Connection(adopting: peers.server), flags: [], acceptedTime: 1, bytes: bytes)
        return peers
    }

    @Test func assemblesUpToTheBuffer() throws {
        let taken = Taken()
        let large = large(taken, limit: 100 << 20)
        let peers = try [100_000, 300_000, 850_000].map { try park(beginning($0), in: large) }
        #expect(taken.sizes.isEmpty && large.parkedCount == 3)
        let complete = try park(beginning(900_000), in: large)
        #expect(taken.sizes == [beginning(900_000).count])
        withExtendedLifetime((peers, complete)) {}
    }

    /// What is large is no longer waited for, what is ordinary still is.
    @Test func hasNoMemoryForLargeRequests() throws {
        let taken = Taken()
        let large = large(taken, limit: 10 << 20, used: 10 << 20)
        let peers = try [100_000, 300_000].map { try park(beginning($0), in: large) }
        #expect(taken.sizes == [beginning(300_000).count])
        #expect(large.parkedCount == 1)
        withExtendedLifetime(peers) {}
    }

    /// Parameters that do not end are a worker's to judge.
    @Test func largeParametersGoToAWorker() throws {
        let taken = Taken()
        let large = large(taken, limit: 100 << 20)
        let peers = try park(beginning(150_000, hasParameters: false), in: large)
        #expect(taken.sizes == [beginning(150_000, hasParameters: false).count])
        withExtendedLifetime(peers) {}
    }

    /// What is counted goes with what it was counted for.
    @Test func countsItsMemory() throws {
        let memory = RequestMemory(limit: 100 << 20)
        let bytes = beginning(300_000)
        func use() throws {
            let queue = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero, memory: memory)
            let some = WaitingConnections(
                reactor: reactor,
                queue: queue,
                quota: 10,
                requestBuffer: 1 << 20,
                memory: memory
            )
            let first = try park(bytes, in: some)
            #expect(memory.used == bytes.count)
            let second = try park(beginning(900_000), in: some)
            #expect(memory.used == bytes.count + beginning(900_000).count)
            withExtendedLifetime((first, second)) {}
        }
        try use()
        #expect(memory.used == 0)
    }

    // MARK: - Bounds

    /// A worker gives back so many connections, each with what has come on it; their clients.
    private func giveBack(_ count: Int, _ bytes: [UInt8], to connections: WaitingConnections) throws
        -> [Peers]
    {
        try (1...count).map { _ in
            let peers = try Peers()
            let connection = Connection(adopting: peers.server)
            connections.park(connection, flags: .keptAlive, acceptedTime: 1, bytes: bytes)
            return peers
        }
    }

    /// Not a request: for a worker to say.
    private func nonsense(_ count: Int) -> [UInt8] { [UInt8](repeating: 0xff, count: count) }

    /// Workers may give back as many complete requests as they like; what others have of the share counts, too.
    @Test(arguments: [0, 2]) func requestsThatAreGivenBackCount(others: Int) throws {
        let queue = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero)
        let bounded = WaitingConnections(reactor: reactor, queue: queue, quota: 3)
        bounded.otherDescriptors = { others }
        let clients = try giveBack(10, nonsense(8), to: bounded)
        #expect(queue.count == 3 - others)
        // Not at once: the child of a test beside this one has a copy of a descriptor for a moment.
        for client in clients.dropFirst(3 - others) { try reactor.turn(until: { client.read() == nil }) }
        for client in clients.prefix(3 - others) { #expect(client.read() == []) }
    }

    @Test func bytesThatAreGivenBackCount() throws {
        let memory = RequestMemory(limit: 1 << 30)
        let queue = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero, memory: memory)
        let bounded = WaitingConnections(reactor: reactor, queue: queue, quota: 10_000, memory: memory)
        var clients = try giveBack(200, beginning(120_000), to: bounded)
        #expect(memory.used <= WaitingConnections.ordinaryMemory)
        for bytes in [nonsense(1 << 20), beginning(120_000)] {
            clients += try giveBack(200, bytes, to: bounded)
            #expect(memory.used <= 3 * WaitingConnections.ordinaryMemory)
        }
        withExtendedLifetime(clients) {}
    }

    /// The end of a body may follow the answer: a connection that is kept waits for the next request after it, without limit.
    @Test func theEndOfTheRequestBeforeIsNoRequest() throws {
        let queue = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero)
        let bounded = WaitingConnections(reactor: reactor, queue: queue, quota: 10)
        let end: [UInt8] = [1, 5, 0, 1, 0, 0, 4, 0, 0, 0, 0, 0]
        let late = try #require(try giveBack(1, [], to: bounded).first)
        for (piece, purpose) in [
            (end[..<10], TakeoverState.Connection.Purpose.assembling), (end[10...], .idle),
        ] {
            #expect(send(late.client.rawValue, Array(piece), piece.count, 0) == piece.count)
            try reactor.turn(until: { bounded.handedOver.first?.purpose == purpose })
        }
        let early = try giveBack(1, end, to: bounded)
        #expect(bounded.handedOver.map(\.purpose) == [.idle, .idle])
        #expect(bounded.handedOver.allSatisfy { $0.bytes.isEmpty })
        withExtendedLifetime(early) {}
        bounded.closesIdle = true
        #expect(bounded.parkedCount == 0)
    }

    /// There is no memory for what an idle connection has sent: a worker reads it.
    @Test func anIdleConnectionIsNotReadWithoutMemory() throws {
        let queue = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero)
        let bounded = WaitingConnections(reactor: reactor, queue: queue, quota: 10)
        let idle = try #require(try giveBack(1, [], to: bounded).first)
        let full = try giveBack(1, nonsense(WaitingConnections.ordinaryMemory), to: bounded)
        #expect(send(idle.client.rawValue, nonsense(8), 8, 0) == 8)
        try withExtendedLifetime(full) { try reactor.turn(until: { queue.count == 2 }) }
        #expect(queue.handedOver.map(\.bytes.count) == [WaitingConnections.ordinaryMemory, 0])
    }

    /// A client that has sent nothing is none that waits for a worker, also where there is no memory to read what it sends.
    @Test func silentClientsAreNoRequestsWithoutMemory() throws {
        let queue = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero)
        let bounded = WaitingConnections(reactor: reactor, queue: queue, quota: 10)
        let full = try giveBack(1, nonsense(WaitingConnections.ordinaryMemory), to: bounded)
        let (silent, gone, late, early) = try (Peers(), Peers(), Peers(), Peers())
        #expect(send(early.client.rawValue, nonsense(8), 8, 0) == 8)
        for peers in [silent, gone, late, early] { bounded.arrive(Connection(adopting: peers.server)) }
        #expect(queue.count == 2)
        #expect(send(late.client.rawValue, nonsense(8), 8, 0) == 8)
        #expect(shutdown(gone.client.rawValue, CInt(SHUT_WR)) == 0)
        try withExtendedLifetime((full, silent)) {
            try reactor.turn(until: { queue.count == 3 && bounded.parkedCount == 1 })
        }
        #expect(queue.handedOver.map(\.bytes.count) == [WaitingConnections.ordinaryMemory, 0, 0])
    }

    /// A socket whose error queue nobody reads is reported all the time.
    @Test func anErrorQueueKeepsNobodyBusy() throws {
        let (mine, theirs) = try connectedByTCP()
        // SOF_TIMESTAMPING_TX_SOFTWARE and SOF_TIMESTAMPING_SOFTWARE.
        var option: CInt = 1 << 1 | 1 << 4
        let size = socklen_t(MemoryLayout<CInt>.size)
        try #require(setsockopt(mine, SOL_SOCKET, SO_TIMESTAMPING, &option, size) == 0)
        #expect(send(mine, [1], 1, 0) == 1)
        var wait = pollfd(fd: mine, events: 0, revents: 0)
        #expect(poll(&wait, 1, 10_000) == 1)
        connections.park(
            Connection(adopting: mine),
            flags: .keptAlive,
            acceptedTime: 1,
            bytes: []
        )
        try reactor.turn(until: { connections.parkedCount == 0 })
        withExtendedLifetime(theirs) {}
    }
}
