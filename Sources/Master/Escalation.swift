internal import Reactor
internal import Syscalls

/// Stopping as data: a first signal and patience, then harsher ones, the last of them SIGKILL each second until
/// nothing is left.
final class Escalation {
    private var steps: [(signal: Signal, patience: Duration)]
    private let reactor: Reactor
    private let send: (Signal) -> Void
    private var deadline: Reactor.Deadline?

    /// SIGQUIT is followed by SIGTERM after `patience`, that by SIGKILL after a second; SIGTERM first is followed by
    /// SIGKILL after `patience`, as in php-fpm.
    init(first: Signal, patience: Duration, reactor: Reactor, send: @escaping (Signal) -> Void) {
        steps =
            first == .quit
            ? [(.quit, patience), (.terminate, .seconds(1)), (.kill, .seconds(1))]
            : [(.terminate, max(patience, .seconds(1))), (.kill, .seconds(1))]
        self.reactor = reactor
        self.send = send
    }

    /// Sends the first signal, and each next one when its time has come.
    ///
    /// Dropping the escalation ends it.
    func start() {
        guard let step = steps.first else { return }
        if steps.count > 1 { steps.removeFirst() }
        send(step.signal)
        deadline = reactor.after(step.patience) { [weak self] in self?.start() }
    }
}

@available(*, unavailable)
extension Escalation: Sendable {}
