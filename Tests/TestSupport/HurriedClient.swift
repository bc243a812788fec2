import Foundation

extension Endpoint {
    /// Sends the same request again and again, each on a connection of its own, as fast as one client can that waits for
    /// each answer.
    ///
    /// - Parameters:
    ///   - request: All its bytes.
    ///   - times: How often.
    ///   - beforeLastClose: Called after the last answer, with its connection open.
    /// - Throws: ``TestFailure`` when there is no connection or no answer, and what is thrown by `beforeLastClose`.
    package func hurry(_ request: [UInt8], times: Int, beforeLastClose: () throws -> Void) throws {
        let (family, address) = try socketAddress()
        var piece = [UInt8](repeating: 0, count: 4096)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        try address.withUnsafeBytes { raw in
            try raw.withMemoryRebound(to: sockaddr.self) { pointer in
                for number in 1...times {
                    let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
                    guard descriptor >= 0 else { throw TestFailure.systemCall("socket") }
                    defer { Foundation.close(descriptor) }
                    let size = socklen_t(MemoryLayout<timeval>.size)
                    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
                    guard connect(descriptor, pointer.baseAddress, socklen_t(raw.count)) == 0 else {
                        throw TestFailure.systemCall("connect to \(self)")
                    }
                    guard write(descriptor, request, request.count) == request.count,
                        read(descriptor, &piece, piece.count) > 0
                    else { throw TestFailure.systemCall("ask \(self)") }
                    if number == times { try beforeLastClose() }
                }
            }
        }
    }
}
