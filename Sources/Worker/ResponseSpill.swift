internal import CEpoll
internal import Glibc
internal import Syscalls

/// What a slow client has not taken yet of a response: kept in an anonymous file, which the master can take over.
///
///     empty ── append ──► holding ── all sent ──► empty
///                            └── sealed, clear ──► empty: the file is the master's
final class ResponseSpill {
    /// Result of sending without waiting.
    enum Progress { case done, blocked, broken }

    /// Bytes that are sent at once.
    private static let piece = 64 << 10

    /// Most bytes that may be unsent.
    private let limit: Int
    private var file: SharedDescriptor?
    private var written = 0
    private var sent = 0

    init(limit: Int) { self.limit = limit }

    /// Whether everything that was kept has been sent, or given away.
    var isEmpty: Bool { sent == written }

    /// Whether as many bytes more may be kept.
    func hasRoom(for count: Int) -> Bool { written - sent + count <= limit && written + count <= 2 * limit }

    /// Keeps bytes behind those that are here.
    ///
    /// False: there is no memory, and nothing of them has been kept.
    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if file == nil {
            let descriptor = cepoll_sealable_memory("fpmd-response")
            guard descriptor >= 0 else { return false }
            file = SharedDescriptor(adopting: descriptor)
        }
        guard let file else { return false }
        var position = 0
        while position < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
            let count = pwrite(file.rawValue, rest.baseAddress, rest.count, off_t(written + position))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            position += count
        }
        written += position
        return true
    }

    /// Sends what is here, as far as the client takes it now.
    ///
    /// Not with sendfile(2): that lends the socket the file's pages, and as long as the client has not read them the kernel
    /// refuses to seal the file (F_SEAL_WRITE, EBUSY).
    func send(to socket: CInt) -> Progress {
        guard let file else { return .done }
        return withUnsafeTemporaryAllocation(byteCount: Self.piece, alignment: 16) { buffer in
            while sent < written {
                let count = pread(
                    file.rawValue,
                    buffer.baseAddress,
                    min(buffer.count, written - sent),
                    off_t(sent)
                )
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return .broken }
                switch try? Syscalls.send(socket, UnsafeRawBufferPointer(rebasing: buffer[..<count])) {
                case .bytes(let taken): sent += taken
                case .wouldBlock: return .blocked
                default: return .broken
                }
            }
            clear()
            return .done
        }
    }

    /// Sends all that is here, waiting for the client up to two minutes between any two pieces; false when it is gone.
    func sendWaiting(to socket: CInt) -> Bool {
        while true {
            switch send(to: socket) {
            case .done: return true
            case .broken: return false
            case .blocked:
                guard waitUntilReady(socket, for: UInt32(CEPOLL_OUT), milliseconds: 120_000) else {
                    return false
                }
            }
        }
    }

    /// The file, sealed, and where in it the unsent bytes begin; nil if there are none, or it cannot be sealed.
    ///
    /// They are still here until ``clear()``.
    func sealed() -> (file: CInt, offset: Int)? {
        guard !isEmpty, let file, ftruncate(file.rawValue, off_t(written)) == 0,
            cepoll_seal(file.rawValue) == 0
        else { return nil }
        return (file.rawValue, sent)
    }

    /// Forgets what is here.
    func clear() {
        file = nil
        written = 0
        sent = 0
    }
}

@available(*, unavailable)
extension ResponseSpill: Sendable {}
