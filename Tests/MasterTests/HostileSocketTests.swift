import CEpoll
import Channel
import Foundation
import Reactor
import Syscalls
import Testing

@testable import Master

/// Sockets that linger, sent by somebody hostile: the kernel waits for their peers in whoever lets go of them last.
@Suite struct HostileSocketTests {
    /// How long such a socket would hold the master; tests end long before.
    private static let lingerSeconds: CInt = 300

    /// Fails unless `body` is over soon after it began.
    private func expectQuick(_ body: () throws -> Void) throws {
        // As in the master; the threads that run tests have all signals blocked.
        var alarm = sigset_t()
        var before = sigset_t()
        sigemptyset(&alarm)
        sigaddset(&alarm, SIGALRM)
        pthread_sigmask(SIG_UNBLOCK, &alarm, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let begin = MonotonicTime.now
        try body()
        #expect(MonotonicTime.now - begin < .seconds(60))
    }

    /// A TCP socket with unsent bytes whose close(2) waits, and its peer.
    private func lingering() throws -> (socket: CInt, peer: SharedDescriptor) {
        let (client, peer) = try connectedByTCP()
        let block = [UInt8](repeating: 1, count: 1 << 16)
        while send(client, block, block.count, CInt(MSG_DONTWAIT)) > 0 {}
        var option = linger(l_onoff: 1, l_linger: Self.lingerSeconds)
        try #require(
            setsockopt(client, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size)) == 0
        )
        return (client, peer)
    }

    /// Sends a byte, or a whole message, and with it the last of a socket that lingers.
    private func sendLingering(to socket: CInt, message: Message? = nil, count: Int = 1) throws
        -> SharedDescriptor
    {
        let (lingers, peer) = try lingering()
        let descriptors = [CInt](repeating: lingers, count: count)
        var bytes = [UInt8](repeating: 1, count: message == nil ? 1 : Message.length)
        if let message { bytes.withUnsafeMutableBytes { message.store(in: $0) } }
        // More than a message of ours has: not by way of MessageSocket.
        let space = MemoryLayout<cmsghdr>.size + count * MemoryLayout<CInt>.size
        var control = [Int](repeating: 0, count: (space + 15) / 8)
        let sent = control.withUnsafeMutableBytes { control -> Int in
            control.storeBytes(of: space, as: Int.self)
            control.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: CInt.self)
            control.storeBytes(of: CInt(SCM_RIGHTS), toByteOffset: 12, as: CInt.self)
            for (index, descriptor) in descriptors.enumerated() {
                control.storeBytes(of: descriptor, toByteOffset: 16 + 4 * index, as: CInt.self)
            }
            return bytes.withUnsafeMutableBytes { bytes in
                var part = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &part) { part in
                    var header = msghdr()
                    header.msg_iov = part
                    header.msg_iovlen = 1
                    header.msg_control = control.baseAddress
                    header.msg_controllen = control.count
                    return sendmsg(socket, &header, CInt(MSG_NOSIGNAL))
                }
            }
        }
        close(lingers)
        try #require(sent == bytes.count)
        return peer
    }

    private func makeConnections(_ reactor: Reactor) -> WaitingConnections {
        let queue = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero)
        return WaitingConnections(reactor: reactor, queue: queue, quota: 8)
    }

    @Test func aConnectionBringsOne() throws {
        let reactor = try Reactor()
        let connections = makeConnections(reactor)
        let peers = try Peers()
        connections.park(Connection(adopting: peers.server), flags: .keptAlive, acceptedTime: 1, bytes: [])
        let peer = try sendLingering(to: peers.client.rawValue)
        try withExtendedLifetime((peers, peer)) {
            try expectQuick { try reactor.turn(limit: .seconds(1)) }
        }
        #expect(connections.parkedCount == 1)
    }

    @Test func aConnectionIsClosedWithOneInIt() throws {
        let peers = try Peers()
        let peer = try sendLingering(to: peers.client.rawValue)
        try withExtendedLifetime((peers, peer)) {
            try expectQuick { _ = Connection(adopting: peers.server) }
        }
    }

    @Test func aConnectionLingersItself() throws {
        let (socket, peer) = try lingering()
        try withExtendedLifetime(peer) { try expectQuick { _ = Connection(adopting: socket) } }
    }

    @Test func aChannelIsClosedWithOneInIt() throws {
        var pair: (MessageSocket, MessageSocket)? = try MessageSocket.pair()
        let theirs = try #require(pair?.1)
        var channel = pair?.0
        pair = nil
        channel?.isBounded = true
        let peer = try sendLingering(to: theirs.descriptor, message: Message(.park))
        try withExtendedLifetime((theirs, peer)) {
            #expect(channel != nil)
            try expectQuick { channel = nil }
        }
    }

    /// More descriptors than a message may have: it is the sender's fault, not that of a lack of numbers.
    @Test(arguments: [5, 64, 253]) func aMessageBringsAFlood(count: Int) throws {
        let (mine, theirs) = try MessageSocket.pair()
        mine.isBounded = true
        try mine.passCredentials()
        let peer = try sendLingering(to: theirs.descriptor, message: Message(.park), count: count)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        defer { buffer.deallocate() }
        try withExtendedLifetime((theirs, peer)) {
            var arrival: MessageSocket.Arrival?
            try expectQuick { arrival = try mine.receive(into: buffer) }
            guard case .malformed(let descriptors) = arrival else {
                Issue.record("\(String(describing: arrival))")
                return
            }
            #expect(descriptors.count == 4)
            for descriptor in descriptors { cepoll_close_connection(descriptor) }
        }
    }

    /// What is bounded inside of what is bounded leaves the bound in place.
    @Test func boundsNest() throws {
        var pipe: [CInt] = [-1, -1]
        try #require(Glibc.pipe(&pipe) == 0)
        defer { for end in pipe { close(end) } }
        try expectQuick {
            for _ in 0..<2 {
                cepoll_bound_waiting(1000)
                cepoll_bound_waiting(1_000_000)
                cepoll_unbound_waiting()
                // Nobody will ever write.
                var wait = pollfd(fd: pipe[0], events: Int16(POLLIN), revents: 0)
                #expect(poll(&wait, 1, 70_000) == -1 && errno == EINTR)
                cepoll_unbound_waiting()
            }
        }
    }

    /// Whoever has made the listener blocking does that once.
    @Test func aBlockingListenerIsMadeOrdinary() throws {
        let listener = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let isListening = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sa_family_t>.size)) == 0 && listen(listener, 1) == 0
            }
        }
        try #require(isListening)
        // Nothing waits: it is not even asked.
        let begin = MonotonicTime.now
        for _ in 1...2000 { #expect(cepoll_accept_bounded(listener) == -1 && errno == EAGAIN) }
        // Each accept would take 5 ms.
        #expect(MonotonicTime.now - begin < .seconds(5))
    }
}
