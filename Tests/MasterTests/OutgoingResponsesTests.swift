import CEpoll
import Foundation
import Reactor
import Syscalls
import Testing

@testable import Master

@Suite struct OutgoingResponsesTests {
    private let reactor: Reactor
    private let responses: OutgoingResponses

    init() throws {
        reactor = try Reactor()
        responses = OutgoingResponses(reactor: reactor, byteQuota: 10 << 20, countQuota: 100)
    }

    private func sealedFile(_ bytes: [UInt8]) throws -> SharedDescriptor {
        let file = cepoll_sealable_memory("test")
        try #require(file >= 0)
        #expect(bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) } == bytes.count)
        #expect(cepoll_seal(file) == 0)
        #expect(cepoll_sealed_size(file) == Int64(bytes.count))
        return SharedDescriptor(adopting: file)
    }

    @Test(arguments: [true, false]) func sendsAsTheClientReads(_ fromFile: Bool) throws {
        let peers = try Peers()
        let bytes = pattern(2_000_000)
        let source: OutgoingResponses.Source =
            fromFile
            ? .file(try sealedFile(bytes), offset: 1000, end: bytes.count) : .memory(Array(bytes[1000...]))
        responses.send(source, to: Connection(adopting: peers.server), then: .close)
        #expect(responses.count == 1 && responses.bytesLeft > 1_000_000)
        var received: [UInt8] = []
        try reactor.turn {
            guard let piece = peers.read() else { return true }
            received += piece
            return false
        }
        #expect(received == Array(bytes[1000...]))
        #expect(responses.count == 0 && responses.bytesLeft == 0 && responses.completed == 1)
    }

    @Test func handsKeptConnectionsOn() throws {
        let peers = try Peers()
        var kept: [(CInt, [UInt8])] = []
        var holders: [Connection] = []
        responses.onKept = {
            kept.append(($0.rawValue, $1))
            holders.append($0)
        }
        responses.send(
            .memory(pattern(500_000)),
            to: Connection(adopting: peers.server),
            then: .keep([1, 2])
        )
        #expect(kept.isEmpty)
        try reactor.turn {
            _ = peers.read()
            return !kept.isEmpty
        }
        #expect(kept.first?.0 == peers.server && kept.first?.1 == [1, 2])
        #expect(peers.read() == [])
    }

    @Test func lingersAfterwards() throws {
        let peers = try Peers()
        var lingering: Connection?
        responses.onLinger = { lingering = $0 }
        responses.send(.memory([1, 2, 3]), to: Connection(adopting: peers.server), then: .linger)
        #expect(lingering?.rawValue == peers.server)
        #expect(peers.read() == [1, 2, 3])
        #expect(peers.read() == nil)
    }

    @Test func forgetsClientsThatVanish() throws {
        var ends: Peers? = try Peers()
        let server = try #require(ends?.server)
        responses.send(.memory(pattern(500_000)), to: Connection(adopting: server), then: .keep([]))
        #expect(responses.count == 1)
        ends = nil
        try reactor.turn { responses.count == 0 }
        #expect(responses.bytesLeft == 0 && responses.completed == 0)
    }

    @Test func dropsTheOldestBeyondItsQuota() throws {
        let peers = try (0..<6).map { _ in try Peers() }
        for pair in peers {
            responses.send(.memory(pattern(3 << 20)), to: Connection(adopting: pair.server), then: .close)
        }
        #expect(responses.bytesLeft <= 10 << 20)
        #expect(responses.count == 3)
        responses.dropAll()
        #expect(responses.count == 0 && responses.bytesLeft == 0)
    }

    /// What clients have sent ahead takes memory as well.
    @Test func nextRequestsCount() throws {
        let peers = try (0..<6).map { _ in try Peers() }
        for pair in peers {
            responses.send(
                .memory(pattern(500_000)),
                to: Connection(adopting: pair.server),
                then: .keep(pattern(3 << 20))
            )
        }
        #expect(responses.count == 3)
        var kept = 0
        responses.onKept = { _, _ in kept += 1 }
        try reactor.turn {
            for pair in peers { _ = pair.read() }
            return kept == 3
        }
        #expect(responses.count == 0)
        // Their share is free again.
        let others = try (0..<4).map { _ in try Peers() }
        for pair in others {
            responses.send(.memory(pattern(3 << 20)), to: Connection(adopting: pair.server), then: .close)
        }
        #expect(responses.count == 3)
    }

    /// Somebody who shares the socket makes it blocking: the master does not wait for its client.
    @Test func blockingSocketDoesNotBlock() throws {
        let peers = try Peers()
        _ = fcntl(peers.server, F_SETFL, 0)
        responses.send(.memory(pattern(3 << 20)), to: Connection(adopting: peers.server), then: .close)
        #expect(responses.count == 1)
    }

    /// What is no sealed memory file is refused, whatever it is.
    @Test func onlySealedMemoryIsAFile() throws {
        let unsealed = SharedDescriptor(adopting: cepoll_sealable_memory("test"))
        #expect(cepoll_sealed_size(unsealed.rawValue) == -1)
        let partly = SharedDescriptor(adopting: cepoll_sealed_memory("test", 4096))
        #expect(cepoll_sealed_size(partly.rawValue) == -1)
        let peers = try Peers()
        let server = SharedDescriptor(adopting: peers.server)
        #expect(cepoll_sealed_size(server.rawValue) == -1)
        let ordinary = SharedDescriptor(adopting: open("/dev/null", O_RDONLY | O_CLOEXEC))
        #expect(cepoll_sealed_size(ordinary.rawValue) == -1)
        // Nobody can change it any more.
        let sealed = try sealedFile([1, 2, 3])
        #expect(ftruncate(sealed.rawValue, 0) == -1)
        #expect(pwrite(sealed.rawValue, "x", 1, 0) == -1)
    }

    /// Each has a connection and a file, however few bytes are left.
    @Test func theirNumberIsBounded() throws {
        var clients: [Peers] = []
        for _ in 1...300 {
            let peers = try Peers()
            let block = [UInt8](repeating: 0, count: 1 << 16)
            while send(peers.server, block, block.count, CInt(MSG_NOSIGNAL)) > 0 {}
            responses.send(.memory([1]), to: Connection(adopting: peers.server), then: .close)
            clients.append(peers)
        }
        #expect(responses.count == 100)
        #expect(responses.bytesLeft == 100)
    }

    /// Requests that were sent ahead may be answered by the master, each after the answer to the one before.
    @Test func answersDoNotNest() throws {
        let peers = try Peers()
        var depth = 0
        var deepest = 0
        var left = 1000
        responses.onKept = { connection, bytes in
            depth += 1
            deepest = max(deepest, depth)
            left -= 1
            if left > 0 { responses.send(.memory([1]), to: connection, then: .keep(bytes)) }
            depth -= 1
        }
        responses.send(.memory([1]), to: Connection(adopting: peers.server), then: .keep([2]))
        #expect(left == 1000 && responses.count == 1)
        try reactor.turn(until: {
            _ = peers.read()
            return left == 0
        })
        #expect(deepest == 1)
    }
}
