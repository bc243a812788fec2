internal import CEpoll
internal import Glibc
internal import HTTP
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// One connection to the metrics listener.
///
///     receiving ── request ──► sending ── kept alive ──► receiving (idle)
///         │                       └── else ──► lingering ──► ended
///         ├── malformed, too large, too slow: a 4xx or 505, then lingering
///         └── silent, closed ──► ended
///
/// Bounded: the parser's limit of unread input, one piece of an answer, and a deadline in each state.
final class HTTPConnection: ListenerConnection {
    /// A request must be complete after this time.
    private static let requestPatience = Duration.seconds(5)
    /// A connection that is kept alive may be idle for so long.
    private static let idlePatience = Duration.seconds(75)
    /// Something of an answer must be taken in this time.
    private static let answerPatience = Duration.seconds(10)
    /// After the last answer the client may send for so long, so that it sees the answer and not a reset.
    private static let lingerPatience = Duration.seconds(2)
    private static let lingerLimit = 256 << 10

    private enum State { case receiving, sending, lingering, ended }

    private let descriptor: Connection
    private let answer: (HTTPRequest) -> HTTPAnswer
    private let reactor: Reactor
    private let share: TurnShare
    private let onEnd: () -> Void
    private var registration: Reactor.Registration?
    private var deadline: Reactor.Deadline?

    private var state = State.receiving
    private var input: [UInt8] = []
    /// Bytes of the input that have been looked at.
    private var examined = 0
    private var output: [UInt8] = []
    private var sent = 0
    /// Makes the rest of an answer; nil if there is none.
    private var pieces: (() -> HTTPAnswer.Piece)?
    /// Waits not for the client, but for the loop's next turn.
    private var awaitsTurn = false
    private var isChunked = false
    private var keepsConnection = false
    private var lingered = 0

    /// Takes a non-blocking connection; `onEnd` is called once when there is nothing more to do, and is to drop this.
    init(
        _ descriptor: Connection,
        reactor: Reactor,
        share: TurnShare,
        answer: @escaping (HTTPRequest) -> HTTPAnswer,
        onEnd: @escaping () -> Void
    ) {
        self.descriptor = descriptor
        self.reactor = reactor
        self.share = share
        self.answer = answer
        self.onEnd = onEnd
    }

    deinit {
        // Before the descriptor is closed.
        registration = nil
    }

    /// Whether it waits for its next request, or has been answered for good.
    var isIdle: Bool {
        switch state {
        case .receiving: input.isEmpty
        case .sending: false
        case .lingering, .ended: true
        }
    }

    /// Waits for a request.
    func begin() throws(Errno) {
        registration = try reactor.watch(descriptor.rawValue, for: .readable) { [weak self] _ in
            self?.proceed()
        }
        limit(to: Self.requestPatience)
    }

    private func limit(to patience: Duration) {
        deadline = reactor.after(patience) { [weak self] in self?.timeIsUp() }
    }

    private func timeIsUp() {
        // That is not the client's fault.
        if awaitsTurn { return limit(to: Self.answerPatience) }
        guard state == .receiving, !input.isEmpty else { return end() }
        refuse(.timeout)
        send()
    }

    private func end() {
        guard state != .ended else { return }
        state = .ended
        registration = nil
        deadline = nil
        onEnd()
    }

    private func watch(for interest: Reactor.Readiness) {
        if (try? registration?.watch(for: interest)) == nil { end() }
    }

    private func proceed() {
        switch state {
        case .receiving:
            if awaitsTurn { takeRequests() } else { receive() }
        case .sending:
            send()
            // Requests sent ahead are in the input already.
            if state == .receiving { takeRequests() }
        case .lingering: linger()
        case .ended: break
        }
    }

    // MARK: - In

    private func receive() {
        let room = HTTPRequestParser.requestLimit + 1024 - input.count
        withUnsafeTemporaryAllocation(byteCount: max(1, room), alignment: 8) { buffer in
            switch try? descriptor.receive(into: buffer) {
            case .bytes(let count):
                if input.isEmpty { limit(to: Self.requestPatience) }
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[0..<count])
                input.append(contentsOf: bytes)
                // A client that sends byte by byte does not have all of it read again for each.
                guard
                    bytes.contains(where: { $0 < 0x20 }) || input.count - examined >= 512 || input.count < 32
                else { return }
                takeRequests()
            case .wouldBlock: break
            case .endOfStream, nil: end()
            }
        }
    }

    /// Answers what has come, up to an answer that the client does not take at once.
    private func takeRequests() {
        awaitsTurn = false
        var isFirst = true
        while state == .receiving {
            let bytes = input
            examined = bytes.count
            switch HTTPRequestParser.parse(bytes.span) {
            case .needMore: return watch(for: .readable)
            case .refused(let refusal): refuse(refusal)
            case .request(let request, let consumed):
                // What has been sent ahead waits for its turn.
                guard isFirst || share.takeStep() else {
                    awaitsTurn = true
                    return watch(for: .writable)
                }
                isFirst = false
                input.removeFirst(consumed)
                examined = 0
                prepare(answer(request), for: request)
            }
            send()
        }
    }

    private func refuse(_ refusal: HTTPRefusal) {
        let status: StaticString =
            switch refusal {
            case .badRequest: "400 Bad Request"
            case .methodNotAllowed: "405 Method Not Allowed"
            case .timeout: "408 Request Timeout"
            case .contentTooLarge: "413 Content Too Large"
            case .targetTooLong: "414 URI Too Long"
            case .headerTooLarge: "431 Request Header Fields Too Large"
            case .versionNotSupported: "505 HTTP Version Not Supported"
            }
        let body = Array("\(status)\n".utf8)
        var head = HTTPResponseHead(
            status,
            contentType: "text/plain; charset=utf-8",
            body: .length(body.count),
            keepsConnection: false
        )
        if refusal == .methodNotAllowed { head.fields = ["Allow: GET, HEAD"] }
        input = []
        keepsConnection = false
        isChunked = false
        pieces = nil
        startSending(head.bytes(at: wallClockSeconds()) + body)
    }

    // MARK: - Out

    /// Makes head and beginning of an answer, with its length if it has but one piece.
    private func prepare(_ answer: HTTPAnswer, for request: HTTPRequest) {
        keepsConnection = request.keepsConnection
        var begun: [[UInt8]] = []
        var body: HTTPResponseHead.Body = request.minorVersion == 0 ? .untilClosed : .chunked
        pieces = answer.pieces
        // The second only tells whether there is one.
        loop: while begun.count < 2, answer.isMade || !begun.isEmpty || share.takeStep() {
            switch answer.pieces() {
            case .bytes(let piece): if !piece.isEmpty { begun.append(piece) }
            case .later: break loop
            case .broken: return end()
            case .over:
                body = .length(begun.first?.count ?? 0)
                pieces = nil
                break loop
            }
        }
        var head = HTTPResponseHead(
            answer.status,
            contentType: answer.contentType,
            body: body,
            keepsConnection: keepsConnection
        )
        head.fields = answer.fields
        keepsConnection = head.keepsConnection
        isChunked = body == .chunked && !request.isHead
        var bytes = head.bytes(at: wallClockSeconds())
        if request.isHead {
            pieces = nil
        } else {
            for piece in begun { bytes += isChunked ? HTTPResponseHead.chunk(piece) : piece }
        }
        startSending(bytes)
    }

    private func startSending(_ bytes: [UInt8]) {
        state = .sending
        output = bytes
        sent = 0
        limit(to: Self.answerPatience)
    }

    /// Sends as much as the client takes, within the turn's share.
    private func send() {
        awaitsTurn = false
        while state == .sending {
            if sent == output.count {
                switch refill() {
                case .bytes: break
                case .later:
                    // The client can take more, so the loop comes back in its next turn.
                    awaitsTurn = true
                    return watch(for: .writable)
                case .over: return answered()
                case .broken: return end()
                }
            }
            let transfer = output.withUnsafeBytes { bytes in
                try? Syscalls.send(descriptor.rawValue, UnsafeRawBufferPointer(rebasing: bytes[sent...]))
            }
            switch transfer {
            case .bytes(let count):
                sent += count
                limit(to: Self.answerPatience)
            case .wouldBlock: return watch(for: .writable)
            case .endOfStream, nil: return end()
            }
        }
    }

    /// Makes what is sent next; `bytes` stand in the output.
    private func refill() -> HTTPAnswer.Piece {
        sent = 0
        output = []
        while let pieces {
            guard share.takeStep() else { return .later }
            switch pieces() {
            case .bytes(let piece):
                guard !piece.isEmpty else { continue }
                output = isChunked ? HTTPResponseHead.chunk(piece) : piece
                return .bytes([])
            case .later: return .later
            case .broken: return .broken
            case .over: self.pieces = nil
            }
        }
        guard isChunked else { return .over }
        isChunked = false
        output = HTTPResponseHead.lastChunk
        return .bytes([])
    }

    private func answered() {
        if keepsConnection {
            state = .receiving
            limit(to: input.isEmpty ? Self.idlePatience : Self.requestPatience)
            return watch(for: .readable)
        }
        state = .lingering
        _ = shutdown(descriptor.rawValue, CInt(SHUT_WR))
        limit(to: Self.lingerPatience)
        watch(for: .readable)
    }

    /// Reads what the client still sends, and throws it away.
    private func linger() {
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            switch try? descriptor.receive(into: buffer) {
            case .bytes(let count):
                lingered += count
                if lingered > Self.lingerLimit { end() }
            case .wouldBlock: break
            case .endOfStream, nil: end()
            }
        }
    }
}

@available(*, unavailable)
extension HTTPConnection: Sendable {}
