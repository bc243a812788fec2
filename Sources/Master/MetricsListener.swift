internal import Channel
internal import Configuration
internal import HTTP
internal import Logging
internal import Reactor
internal import Syscalls

/// Answers HTTP on `metrics.listen`.
final class MetricsListener {
    private let connections: ConnectionListener<HTTPConnection>
    private let log: Log

    /// Where it answers.
    let listener: Listener

    /// Answers on `listener` when it is started.
    init(
        listener: Listener,
        reactor: Reactor,
        log: Log,
        answer: @escaping (HTTPRequest) -> HTTPAnswer
    ) {
        self.listener = listener
        self.log = log
        let share = TurnShare(reactor: reactor)
        connections = ConnectionListener(
            listener: listener,
            reactor: reactor,
            complain: { log.error("metrics listener: \($0)") },
            make: { descriptor, onEnd in
                HTTPConnection(descriptor, reactor: reactor, share: share, answer: answer, onEnd: onEnd)
            }
        )
    }

    /// Lets these connect from now on.
    func allow(_ clients: [ByteString]?) {
        connections.allowed =
            listener.isTCP ? clients.map { AllowedPeers($0, directive: "metrics.allowed_clients") } : nil
        for problem in connections.allowed?.problems ?? [] { log.error(problem) }
    }

    /// Starts accepting; a failure is said, and retried.
    func start() { connections.start() }

    /// Stops, and closes what is connected.
    func stop() { connections.stop() }
}

@available(*, unavailable)
extension MetricsListener: Sendable {}
