internal import CEpoll
internal import Channel
internal import Configuration
internal import Glibc
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Responses of one pool that the master sends to clients which do not take them at once: what a worker had left, in a
/// sealed memory file, and the master's own answers.
///
///     sending ── all sent ──► kept, lingering or closed
///        └── client gone, no progress for too long, too many bytes ──► closed
///
/// Nothing here waits: the file is read into a buffer, and sent as far as the socket takes it (sendfile(2) would wait
/// for a socket that another process has made blocking). Bounded in number and bytes; beyond either the oldest is dropped.
final class OutgoingResponses {
    /// Where the bytes are.
    enum Source {
        /// A sealed file, from `offset` to `end`.
        case file(SharedDescriptor, offset: Int, end: Int)
        case memory([UInt8])
    }

    /// What becomes of the connection.
    enum Next {
        case close
        /// What the client still sends is read, and thrown away.
        case linger
        /// It is kept alive; the bytes are those of the next request that have come already.
        case keep([UInt8])
    }

    private static let chunk = 128 << 10
    /// A client that takes nothing for so long is given up, as by workers.
    private static let patience = Duration.seconds(120)

    private final class Response {
        let connection: Connection
        let source: Source
        let next: Next
        var position: Int
        let end: Int
        var registration: Reactor.Registration?
        var deadline: Reactor.Deadline?

        init(_ connection: Connection, _ source: Source, _ next: Next) {
            self.connection = connection
            self.source = source
            self.next = next
            switch source {
            case .file(_, let offset, let end): (position, self.end) = (offset, end)
            case .memory(let bytes): (position, end) = (0, bytes.count)
            }
        }

        var left: Int { end - position }

        /// Bytes of the client's next request.
        var kept: Int {
            if case .keep(let bytes) = next { bytes.count } else { 0 }
        }

        deinit { registration = nil }
    }

    private let reactor: Reactor
    /// Most bytes that may be left to send, and of next requests.
    private let byteQuota: Int
    /// Most responses that may be left to send.
    private let countQuota: Int
    /// By a number that grows: the first is the oldest.
    private var responses: [UInt64: Response] = [:]
    private var nextNumber: UInt64 = 0
    private var oldest: UInt64 = 0
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 16)

    /// Bytes that are left to send.
    private(set) var bytesLeft = 0
    /// Bytes of next requests.
    private var bytesKept = 0
    /// Responses sent to their end.
    private(set) var completed: Int64 = 0
    /// A connection is to be kept, or to be read to its end.
    var onKept: (Connection, [UInt8]) -> Void = { _, _ in }
    var onLinger: (Connection) -> Void = { _ in }
    /// The figures have changed, or nothing is left.
    var onChange: () -> Void = {}

    init(reactor: Reactor, byteQuota: Int, countQuota: Int) {
        self.reactor = reactor
        self.countQuota = countQuota
        self.byteQuota = byteQuota
    }

    deinit { buffer.deallocate() }

    var count: Int { responses.count }

    /// Sends as much as goes now, and the rest as the client takes it.
    func send(_ source: Source, to connection: Connection, then next: Next) {
        let response = Response(connection, source, next)
        switch advance(response) {
        case .done:
            guard case .keep(let bytes) = next, !bytes.isEmpty else { return finish(response) }
            return finishLater(response)
        case .broken: return
        case .blocked: break
        }
        let number = nextNumber
        guard
            let registration = try? reactor.watch(
                connection.rawValue,
                for: .writable,
                handler: { [weak self] state in self?.becameWritable(number, state) }
            )
        else { return }
        response.registration = registration
        keep(response)
        limit(response, number)
    }

    private func keep(_ response: Response) {
        responses[nextNumber] = response
        nextNumber += 1
        bytesLeft += response.left
        bytesKept += response.kept
        while bytesLeft + bytesKept > byteQuota || responses.count > countQuota, responses.count > 1 {
            dropOldest()
        }
        onChange()
    }

    /// What has come after its request may be answered here, too: not from within the answer to this one, and the next.
    private func finishLater(_ response: Response) {
        let number = nextNumber
        response.deadline = reactor.after(.zero) { [weak self] in
            guard let self, remove(number) != nil else { return }
            finish(response)
        }
        keep(response)
    }

    /// All of them, oldest first, for the image of the program that takes over.
    var handedOver: [TakeoverState.Response] {
        responses.sorted { $0.key < $1.key }.map { _, response in
            var state = TakeoverState.Response()
            state.descriptor = Int(response.connection.rawValue)
            switch response.source {
            case .file(let file, _, _):
                state.file = Int(file.rawValue)
                (state.position, state.end) = (response.position, response.end)
            case .memory(let bytes): state.bytes = ByteString(bytes[response.position...])
            }
            switch response.next {
            case .close: state.next = .close
            case .linger: state.next = .linger
            case .keep(let bytes): (state.next, state.nextBytes) = (.keep, ByteString(bytes))
            }
            return state
        }
    }

    /// Closes all connections.
    func dropAll() {
        responses.removeAll()
        (bytesLeft, bytesKept) = (0, 0)
    }

    private func limit(_ response: Response, _ number: UInt64) {
        response.deadline = reactor.after(Self.patience) { [weak self] in self?.drop(number) }
    }

    private func becameWritable(_ number: UInt64, _ state: Reactor.Readiness) {
        guard let response = responses[number] else { return }
        let before = response.left
        let result = advance(response)
        bytesLeft -= before - response.left
        switch result {
        case .blocked:
            if response.left < before {
                limit(response, number)
            } else if !state.isDisjoint(with: .hangup) {
                // What is in a socket's error queue is never read, and reported all the time.
                drop(number)
            }
        case .broken: drop(number)
        case .done:
            _ = remove(number)
            response.deadline = nil
            // Says that something has changed, after which nobody may need this any more.
            finish(response)
        }
    }

    private enum Result { case done, blocked, broken }

    /// A few chunks at a time: others wait too.
    private func advance(_ response: Response) -> Result {
        for _ in 0..<4 {
            guard response.left > 0 else { return .done }
            let size = min(response.left, Self.chunk)
            var transfer: Transfer?
            switch response.source {
            case .memory(let bytes):
                bytes.withUnsafeBytes {
                    let window = $0[response.position..<(response.position + size)]
                    transfer = try? Syscalls.send(
                        response.connection.rawValue,
                        UnsafeRawBufferPointer(rebasing: window)
                    )
                }
            case .file(let file, _, _):
                let count = pread(file.rawValue, buffer.baseAddress, size, off_t(response.position))
                guard count > 0 else { return .broken }
                transfer = try? Syscalls.send(
                    response.connection.rawValue,
                    UnsafeRawBufferPointer(rebasing: buffer[0..<count])
                )
            }
            switch transfer {
            case .bytes(let count): response.position += count
            case .wouldBlock: return .blocked
            case .endOfStream, nil: return .broken
            }
        }
        return response.left > 0 ? .blocked : .done
    }

    private func finish(_ response: Response) {
        response.registration = nil
        completed += 1
        switch response.next {
        // Closed with something unread a TCP connection is reset, and what is in its buffer is lost.
        case .close where !response.connection.hasUnread: break
        case .close, .linger:
            _ = shutdown(response.connection.rawValue, CInt(SHUT_WR))
            onLinger(response.connection)
        case .keep(let bytes): onKept(response.connection, bytes)
        }
        onChange()
    }

    private func drop(_ number: UInt64) {
        guard let response = remove(number) else { return }
        response.registration = nil
        response.deadline = nil
        onChange()
    }

    private func remove(_ number: UInt64) -> Response? {
        guard let response = responses.removeValue(forKey: number) else { return nil }
        bytesLeft -= response.left
        bytesKept -= response.kept
        return response
    }

    private func dropOldest() {
        while oldest < nextNumber, responses[oldest] == nil { oldest += 1 }
        drop(oldest)
    }
}

@available(*, unavailable)
extension OutgoingResponses: Sendable {}
