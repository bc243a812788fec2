import Foundation
import Synchronization

/// Hands out TCP ports that nothing on this machine listens on.
///
/// They lie below the range from which the kernel takes the local ports of outgoing connections.
package enum Ports {
    private static let next = Mutex<UInt16>(UInt16.random(in: 20_000..<31_000))

    /// A port that could be bound just now on every address; never handed out twice in a run.
    package static func unused() throws -> UInt16 {
        try next.withLock { port in
            for _ in 0..<1000 {
                port = port >= 31_999 ? 20_000 : port + 1
                if canBind(port) { return port }
            }
            throw TestFailure("no free TCP port")
        }
    }

    private static func canBind(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0
            }
        }
    }
}
