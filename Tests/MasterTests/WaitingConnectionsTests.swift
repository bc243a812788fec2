import CEpoll
import Channel
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

    /// Parks a kept connection under a number that no other test uses.
    private func park(as number: CInt) throws -> Peers {
        let peers = try Peers()
        try #require(cepoll_replace(peers.server, number) == number)
        closeDescriptor(peers.server)
        connections.park(Connection(adopting: number), flags: .keptAlive, acceptedTime: 1, bytes: [])
        return peers
    }

    /// Numbers of descriptors come again: a connection does not take the place of one that has gone.
    @Test func theOldestIsClosedFirst() throws {
        var gone: Peers? = try park(as: 900)
        #expect(connections.parkedCount == 1)
        withExtendedLifetime(gone) {}
        gone = nil
        try reactor.turn(until: { connections.parkedCount == 0 })
        let oldest = try park(as: 901)
        let second = try park(as: 900)
        #expect(connections.handedOver.map(\.descriptor) == [901, 900])
        let third = try park(as: 902)
        #expect(oldest.read() == nil)
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
}
