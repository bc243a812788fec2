internal import Glibc
public import SystemPackage

/// What is left to send of some bytes that lie in several places.
///
/// Nothing is copied: the places must stay as they are until everything has been sent, or ``clear()`` was called.
public final class OutgoingPieces {
    private let pieces: UnsafeMutableBufferPointer<iovec>
    /// Where the rest begins, and where it ends.
    private var first = 0
    private var end = 0

    /// - Parameter capacity: Most pieces at a time.
    public init(capacity: Int) {
        pieces = .allocate(capacity: capacity)
        pieces.initialize(repeating: iovec())
    }

    deinit { pieces.deallocate() }

    /// Whether everything has been sent.
    public var isEmpty: Bool { first == end }

    /// Forgets what is left.
    public func clear() { (first, end) = (0, 0) }

    /// Adds bytes behind the others; there must be room for one more piece.
    public func append(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        pieces[end] = iovec(
            iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress),
            iov_len: bytes.count
        )
        end += 1
    }

    /// Takes the first piece away; nil if there is none.
    public func next() -> UnsafeRawBufferPointer? {
        guard !isEmpty else { return nil }
        defer { first += 1 }
        return UnsafeRawBufferPointer(start: pieces[first].iov_base, count: pieces[first].iov_len)
    }

    /// Sends as much as the client takes now, in one system call; that is no longer here then.
    ///
    /// - Returns: How much that was, or that the client takes nothing now.
    /// - Throws: What `sendmsg(2)` says, as EPIPE or ECONNRESET.
    public func send(to socket: CInt) throws(Errno) -> Transfer {
        let rest = UnsafeBufferPointer(rebasing: pieces[first..<end])
        let transfer =
            rest.count == 1
            ? try Syscalls.send(
                socket,
                UnsafeRawBufferPointer(start: rest[0].iov_base, count: rest[0].iov_len)
            )
            : try Self.send(socket, rest)
        if case .bytes(let count) = transfer { drop(count) }
        return transfer
    }

    /// `sendmsg(2)` without blocking and without SIGPIPE.
    private static func send(_ socket: CInt, _ pieces: UnsafeBufferPointer<iovec>) throws(Errno) -> Transfer {
        var message = msghdr()
        message.msg_iov = UnsafeMutablePointer(mutating: pieces.baseAddress)
        message.msg_iovlen = pieces.count
        let flags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)
        do {
            return .bytes(try retryingOnInterrupt { sendmsg(socket, &message, flags) })
        } catch .wouldBlock { return .wouldBlock }
    }

    private func drop(_ count: Int) {
        var left = count
        while left > 0, first < end {
            guard left < pieces[first].iov_len else {
                left -= pieces[first].iov_len
                first += 1
                continue
            }
            pieces[first].iov_base += left
            pieces[first].iov_len -= left
            left = 0
        }
    }
}

@available(*, unavailable)
extension OutgoingPieces: Sendable {}
