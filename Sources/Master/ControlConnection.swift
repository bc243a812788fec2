internal import Configuration
internal import Control
internal import Glibc
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// One connection of the ``ControlSocket``: request after request, one at a time.
///
///     receiving ── a line ──► working ── answer ──► sending ──► receiving
///         └── too long, malformed, too slow, closed ──► refused, ended
///
/// Bounded: ``ControlProtocol/longestRequest`` bytes of input, one answer, and a deadline for everything.
final class ControlConnection {
    /// A request that has begun must be complete after this time.
    private static let requestPatience = Duration.seconds(5)
    /// A connection may be without a request for so long.
    private static let idlePatience = Duration.seconds(300)
    /// The longest command, with a margin: each has its own, shorter deadline.
    private static let workPatience = Duration.seconds(3600)
    /// An answer must have been taken after this time.
    private static let answerPatience = Duration.seconds(30)

    private let descriptor: Connection
    let peer: ControlPeer
    private let reactor: Reactor
    private let onRequest: (ControlRequest, @escaping (ControlAnswer) -> Void) -> Void
    private let onRefusal: (ByteString) -> Void
    private let onEnd: () -> Void
    private var registration: Reactor.Registration?
    private var deadline: Reactor.Deadline?
    private var input: [UInt8] = []
    private var output: [UInt8] = []
    private var sent = 0
    private var isWorking = false
    private var endsAfterAnswer = false
    /// Number of the request that is worked on: a late answer to an earlier one does not count.
    private var turn = 0

    /// Takes a non-blocking connection.
    ///
    /// - Parameters:
    ///   - descriptor: The connection.
    ///   - peer: Who is at its other end.
    ///   - reactor: The loop.
    ///   - onRequest: Does what is asked, and calls back with the answer.
    ///   - onRefusal: Is told of what is refused, and why.
    ///   - onEnd: Called when there is nothing more to do; is to drop this.
    init(
        _ descriptor: Connection,
        peer: ControlPeer,
        reactor: Reactor,
        onRequest: @escaping (ControlRequest, @escaping (ControlAnswer) -> Void) -> Void,
        onRefusal: @escaping (ByteString) -> Void,
        onEnd: @escaping () -> Void
    ) {
        self.descriptor = descriptor
        self.peer = peer
        self.reactor = reactor
        self.onRequest = onRequest
        self.onRefusal = onRefusal
        self.onEnd = onEnd
    }

    /// Whether a request is worked on, or its answer sent.
    var isBusy: Bool { isWorking || !output.isEmpty }

    /// Waits for a request.
    func begin() throws(Errno) {
        registration = try reactor.watch(descriptor.rawValue, for: .readable) { [weak self] event in
            self?.proceed(event)
        }
        limit(to: Self.requestPatience)
    }

    /// Tells the peer that it may not ask anything, and ends.
    func refusePeer() {
        refuse(
            .denied,
            "user \(peer.user) may not use this socket: only root, the master's user and control.group may"
        )
    }

    /// Answers what is asked now, and nothing more.
    func endAfterAnswer() { endsAfterAnswer = true }

    private func limit(to patience: Duration) {
        deadline = reactor.after(patience) { [weak self] in self?.onEnd() }
    }

    private func proceed(_ event: Reactor.Readiness) {
        if !output.isEmpty { return send() }
        // While it is worked on nothing is read but the peer's end.
        if isWorking {
            if !event.isDisjoint(with: [.hangup, .peerClosed]) { onEnd() }
            return
        }
        receive()
    }

    private func receive() {
        let result = withUnsafeTemporaryAllocation(byteCount: ControlProtocol.longestRequest, alignment: 8) {
            buffer -> Transfer? in
            let room = ControlProtocol.longestRequest - input.count
            let window = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<room])
            let transfer = try? descriptor.receive(into: window)
            if case .bytes(let count)? = transfer {
                if input.isEmpty { limit(to: Self.requestPatience) }
                input.append(contentsOf: UnsafeRawBufferPointer(rebasing: window[0..<count]))
            }
            return transfer
        }
        switch result {
        case .bytes: takeRequest()
        case .wouldBlock: return
        case .endOfStream, nil: onEnd()
        }
    }

    private func takeRequest() {
        guard let end = input.firstIndex(of: UInt8(ascii: "\n")) else {
            if input.count >= ControlProtocol.longestRequest {
                refuse(.malformed, "a request is longer than \(ControlProtocol.longestRequest) bytes")
            }
            return
        }
        let line = Array(input[..<end])
        input.removeFirst(end + 1)
        do {
            let request = try ControlRequest(decoding: line)
            guard peer.access == .everything || request.command.isReadOnly else {
                return refuse(
                    .denied,
                    "user \(peer.user) may only look; '\(request.command.rawValue)' is for root and the master's user"
                )
            }
            work(on: request)
        } catch {
            refuse(error.code, error.reason)
        }
    }

    private func work(on request: ControlRequest) {
        isWorking = true
        turn += 1
        let own = turn
        guard watch(for: [.peerClosed]) else { return onEnd() }
        limit(to: Self.workPatience)
        onRequest(request) { [weak self] answer in
            guard let self, isWorking, own == turn else { return }
            isWorking = false
            reply(answer)
        }
    }

    /// Refuses, says so in the log, and ends the connection.
    private func refuse(_ code: ControlError, _ reason: String) {
        onRefusal(ByteString(reason))
        input = []
        endsAfterAnswer = true
        reply(.refused(code, reason))
    }

    private func reply(_ answer: ControlAnswer) {
        output = answer.encoded
        sent = 0
        limit(to: Self.answerPatience)
        send()
    }

    private func send() {
        while sent < output.count {
            let transfer = output.withUnsafeBytes { bytes in
                try? Syscalls.send(descriptor.rawValue, UnsafeRawBufferPointer(rebasing: bytes[sent...]))
            }
            switch transfer {
            case .bytes(let count): sent += count
            case .wouldBlock:
                if !watch(for: .writable) { onEnd() }
                return
            case .endOfStream, nil: return onEnd()
            }
        }
        output = []
        guard !endsAfterAnswer, watch(for: .readable) else { return onEnd() }
        limit(to: Self.idlePatience)
        if !input.isEmpty { takeRequest() }
    }

    private func watch(for interest: Reactor.Readiness) -> Bool {
        (try? registration?.watch(for: interest)) != nil
    }
}

@available(*, unavailable)
extension ControlConnection: Sendable {}
