internal import FastCGI
internal import Glibc
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// One connection of a ``StatusListener``: request after request, each answered when its body is complete.
///
///     receiving ── request complete ──► sending ── kept alive ──► receiving (idle)
///         └── too slow, too much, malformed, closed ──► ended      └── else ──► ended
///
/// Bounded: ``inputLimit`` bytes of unread input, ``parameterLimit`` of parameters, ``bodyLimit`` of body that is
/// thrown away, and one answer.
final class StatusConnection: ListenerConnection {
    private static let inputLimit = 16 << 10
    private static let parameterLimit = 64 << 10
    private static let parameterCount = 512
    private static let bodyLimit = 1 << 20
    /// A request must be complete after this time.
    private static let requestPatience = Duration.seconds(5)
    /// A connection that is kept alive may be idle for so long.
    private static let idlePatience = Duration.seconds(60)
    /// An answer must have been taken after this time.
    private static let answerPatience = Duration.seconds(30)

    private enum Verdict { case goOn, end }

    private let descriptor: Connection
    private let answer: StatusAnswer
    private let reactor: Reactor
    private let onEnd: () -> Void
    private var registration: Reactor.Registration?
    private var deadline: Reactor.Deadline?

    private var decoder = RequestDecoder(maximumParameterBytes: StatusConnection.parameterLimit)
    private var table = ParameterTable(maximumCount: StatusConnection.parameterCount)
    private var input: [UInt8] = []
    private var requestID: UInt16?
    private var keepsConnection = false
    private var bodyBytes = 0
    private var output: [UInt8] = []
    private var sent = 0

    /// Takes a non-blocking connection; `onEnd` is called once when there is nothing more to do, and is to drop this.
    init(_ descriptor: Connection, answer: StatusAnswer, reactor: Reactor, onEnd: @escaping () -> Void) {
        self.descriptor = descriptor
        self.answer = answer
        self.reactor = reactor
        self.onEnd = onEnd
    }

    // The watch ends before the descriptor is closed: a helper process may have a copy.
    deinit { registration = nil }

    /// Whether it waits for its next request.
    var isIdle: Bool { requestID == nil && input.isEmpty && output.isEmpty }

    /// Waits for a request.
    func begin() throws(Errno) {
        registration = try reactor.watch(descriptor.rawValue, for: .readable) { [weak self] _ in
            self?.proceed()
        }
        limit(to: Self.requestPatience)
    }

    private func limit(to patience: Duration) {
        deadline = reactor.after(patience) { [weak self] in self?.onEnd() }
    }

    /// One turn: sends what is left of an answer, else receives once and takes what is complete.
    private func proceed() {
        var verdict = Verdict.goOn
        if output.isEmpty {
            verdict = receive()
        } else {
            verdict = send()
            // Requests sent ahead are in the input already.
            if verdict == .goOn, output.isEmpty { verdict = takeRequests() }
        }
        if verdict == .end { onEnd() }
    }

    // MARK: - In

    private func receive() -> Verdict {
        withUnsafeTemporaryAllocation(byteCount: Self.inputLimit, alignment: 8) { buffer in
            let window = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<(Self.inputLimit - input.count)])
            guard !window.isEmpty, let transfer = try? descriptor.receive(into: window)
            else { return .end }
            switch transfer {
            case .endOfStream: return .end
            case .wouldBlock: return .goOn
            case .bytes(let count):
                if input.isEmpty, requestID == nil { limit(to: Self.requestPatience) }
                input.append(contentsOf: UnsafeRawBufferPointer(rebasing: window[0..<count]))
                return takeRequests()
            }
        }
    }

    /// Decodes what has come, up to an answer that the client does not take at once.
    private func takeRequests() -> Verdict {
        // Taken away once for all of them: a record may have no more than eight bytes.
        var position = 0
        defer { input.removeFirst(position) }
        while output.isEmpty {
            guard let step = try? decoder.next(input.span.extracting(position...)) else { return .end }
            guard handle(step.event, from: position) else { return .end }
            position += step.consumed
            if step.event == .needMore { return .goOn }
            if !output.isEmpty, send() == .end { return .end }
        }
        return .goOn
    }

    /// Acts on an event; its ranges count from `start` in the input.
    ///
    /// False: the connection is to be closed.
    private func handle(_ event: RequestDecoder.Event, from start: Int) -> Bool {
        switch event {
        case .needMore, .skipped: return true
        case .begin(let id, let role, let keep):
            requestID = id
            keepsConnection = keep
            bodyBytes = 0
            table.reset(role: role)
        case .parameters(let range):
            let piece = Array(input[range.offset(by: start)])
            return (try? table.append(piece.span)) != nil
        case .endOfParameters: return (try? table.finish()) != nil
        case .body(let range):
            bodyBytes += range.count
            return bodyBytes <= Self.bodyLimit
        case .endOfBody:
            guard let id = requestID else { return false }
            requestID = nil
            output = answer.response(to: &table, requestID: id)
            limit(to: Self.answerPatience)
        case .getValues(let range):
            let content = Array(input[range.offset(by: start)])
            guard let result = StatusAnswer.valuesResult(content.span) else { return false }
            output = result
            keepsConnection = true
        case .abort: return false
        }
        return true
    }

    // MARK: - Out

    /// Sends as much as the client takes; the answer is dropped when it is out.
    private func send() -> Verdict {
        while sent < output.count {
            let transfer = output.withUnsafeBytes { bytes in
                try? Syscalls.send(descriptor.rawValue, UnsafeRawBufferPointer(rebasing: bytes[sent...]))
            }
            switch transfer {
            case .bytes(let count): sent += count
            case .wouldBlock: return watch(for: .writable)
            case .endOfStream, nil: return .end
            }
        }
        output = []
        sent = 0
        guard keepsConnection else { return .end }
        limit(to: Self.idlePatience)
        return watch(for: .readable)
    }

    private func watch(for interest: Reactor.Readiness) -> Verdict {
        (try? registration?.watch(for: interest)) == nil ? .end : .goOn
    }
}

extension Range<Int> {
    fileprivate func offset(by distance: Int) -> Range {
        (lowerBound + distance)..<(upperBound + distance)
    }
}

@available(*, unavailable)
extension StatusConnection: Sendable {}
