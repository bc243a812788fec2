import CEpoll
import Foundation
import Reactor
import Syscalls
import SystemPackage
import Testing

@testable import Master

/// How long a test waits for what should happen at once, on a slow and busy machine.
let patience: Duration = .seconds(20)

extension Reactor {
    /// Turns until `condition` holds; a test that waits in vain fails instead of hanging.
    func turn(until condition: () -> Bool) throws {
        let end = MonotonicTime.now + patience
        while !condition() {
            try #require(MonotonicTime.now < end, "waited in vain")
            try turn(limit: .milliseconds(200))
        }
    }

    /// Turns for a moment, for what must not happen.
    func turnBriefly() throws {
        for _ in 0..<5 { try turn(limit: .milliseconds(10)) }
    }
}

/// A client and the server's end of its connection.
struct Peers {
    let client: SharedDescriptor
    let server: CInt

    init() throws {
        var ends: [CInt] = [-1, -1]
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw currentErrno }
        client = SharedDescriptor(adopting: ends[0])
        server = ends[1]
    }

    /// What can be read now; nil at the end of the stream.
    func read() -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { recv(client.rawValue, $0.baseAddress, $0.count, 0) }
            if count == 0 { return bytes.isEmpty ? nil : bytes }
            if count < 0 { return bytes }
            bytes += chunk[0..<count]
        }
    }
}

/// Bytes that show where something was lost.
func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) } }

/// Two ends of a TCP connection on the loopback; the first is the caller's to close.
func connectedByTCP() throws -> (socket: CInt, peer: SharedDescriptor) {
    let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let client = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    let isConnected = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(listener, $0, size) == 0 && listen(listener, 1) == 0
                && getsockname(listener, $0, &size) == 0
                && connect(client, $0, size) == 0
        }
    }
    try #require(isConnected)
    return (client, SharedDescriptor(adopting: accept(listener, nil, nil)))
}
