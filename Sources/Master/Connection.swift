internal import CEpoll
internal import Configuration
internal import Syscalls
internal import SystemPackage

/// A client's connection in the master.
///
/// Whoever shares the open file could make close(2) wait (SO_LINGER), and whoever can send to it could put a socket
/// into it that does so when it is received, or closed unread: the master never waits for either.
final class Connection {
    let rawValue: CInt
    /// A Unix socket for certain, which does not linger.
    private let isLocal: Bool

    init(adopting rawValue: CInt, isLocal: Bool = false) {
        self.rawValue = rawValue
        self.isLocal = isLocal
    }

    /// Owns what somebody says is a client's connection; nil, and the descriptor remains the caller's, if it is no connected
    /// stream socket.
    convenience init?(checking rawValue: CInt) {
        let stream = cepoll_stream(rawValue)
        guard stream != CEPOLL_NO_STREAM else { return nil }
        self.init(adopting: rawValue, isLocal: stream == CEPOLL_LOCAL_STREAM)
    }

    deinit { if isLocal { cepoll_close_bounded(rawValue) } else { cepoll_close_connection(rawValue) } }

    /// `recv(2)` without blocking.
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Transfer {
        guard let base = buffer.baseAddress else { return .bytes(0) }
        let count = cepoll_receive_bounded(rawValue, base, buffer.count)
        if count > 0 { return .bytes(count) }
        if count == 0 { return .endOfStream }
        let error = currentErrno
        if error == .wouldBlock { return .wouldBlock }
        throw error
    }

    /// Whether the client has sent something that nobody has received.
    var hasUnread: Bool { Syscalls.hasUnread(rawValue) }
}

@available(*, unavailable)
extension Connection: Sendable {}
