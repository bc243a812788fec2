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
}
