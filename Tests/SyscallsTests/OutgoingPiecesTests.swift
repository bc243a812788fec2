import CEpoll
import Foundation
import Syscalls
import SystemPackage
import Testing

/// Bytes from several places, through a socket that takes them in portions.
@Suite struct OutgoingPiecesTests {
    private static func bytes(_ count: Int, seed: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ ($0 >> 8) &+ seed) }
    }

    private static func receiveAll(_ socket: CInt) -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 10_007)
        while true {
            let count = recv(socket, &buffer, buffer.count, CInt(MSG_DONTWAIT))
            guard count > 0 else { return all }
            all += buffer[..<count]
        }
    }

    @Test(arguments: [
        [1], [8, 65_528], [100, 8, 65_528, 8, 65_528], [0, 5, 0], [], [400_000, 1, 400_000],
        Array(repeating: 7, count: 33),
    ])
    func arriveInOrder(lengths: [Int]) throws {
        let (near, far) = try makeStream()
        let parts = lengths.enumerated().map { Self.bytes($1, seed: $0) }
        let pieces = OutgoingPieces(capacity: 33)
        let memory = parts.map { part in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: part.count, alignment: 1)
            copy.copyBytes(from: part)
            return copy
        }
        defer { memory.forEach { $0.deallocate() } }
        for part in memory { pieces.append(UnsafeRawBufferPointer(part)) }
        var received: [UInt8] = []
        var sent = 0
        while !pieces.isEmpty {
            switch try pieces.send(to: near.rawValue) {
            case .bytes(let count): sent += count
            case .wouldBlock: received += Self.receiveAll(far.rawValue)
            case .endOfStream: Issue.record("an end while sending")
            }
        }
        received += Self.receiveAll(far.rawValue)
        #expect(sent == lengths.reduce(0, +))
        let isSame = received == parts.flatMap { $0 }
        #expect(isSame)
    }

    /// Whoever takes the rest over gets what the client has not.
    @Test func restAfterAPortion() throws {
        let (near, far) = try makeStream()
        let part = Self.bytes(1_000_000, seed: 1)
        let pieces = OutgoingPieces(capacity: 3)
        try part.withUnsafeBytes { bytes in
            pieces.append(UnsafeRawBufferPointer(rebasing: bytes[..<10]))
            pieces.append(UnsafeRawBufferPointer(rebasing: bytes[10..<600_000]))
            pieces.append(UnsafeRawBufferPointer(rebasing: bytes[600_000...]))
            while case .bytes = try pieces.send(to: near.rawValue) {}
            var received = Self.receiveAll(far.rawValue)
            #expect(received.count < part.count)
            while let piece = pieces.next() { received += piece }
            let isSame = received == part
            #expect(isSame)
            #expect(pieces.isEmpty)
        }
    }

    @Test func clearedPiecesAreNotSent() throws {
        let (near, far) = try makeStream()
        let pieces = OutgoingPieces(capacity: 2)
        "first".utf8CString.withUnsafeBytes { pieces.append($0) }
        pieces.clear()
        #expect(pieces.isEmpty)
        try "again".utf8CString.withUnsafeBytes {
            pieces.append(UnsafeRawBufferPointer(rebasing: $0[..<5]))
            _ = try pieces.send(to: near.rawValue)
        }
        #expect(Self.receiveAll(far.rawValue) == Array("again".utf8))
    }

    @Test func goneClientIsAnError() throws {
        let (near, far) = try makeStream()
        let pieces = OutgoingPieces(capacity: 2)
        "text".utf8CString.withUnsafeBytes { bytes in
            pieces.append(bytes)
            pieces.append(bytes)
            shutdown(far.rawValue, CInt(SHUT_RDWR))
            #expect(throws: Errno.brokenPipe) { try pieces.send(to: near.rawValue) }
        }
    }
}
