internal import Channel
internal import Configuration
internal import Logging
internal import Reactor
internal import Syscalls

/// Answers status and ping on `pm.status_listen`: in the master, so that monitoring needs no free worker and no PHP.
final class StatusListener {
    private let connections: ConnectionListener<StatusConnection>

    /// Where it answers.
    let listener: Listener

    /// Answers on `listener` for `pool`.
    init(listener: Listener, pool: Pool, facts: PageFacts, reactor: Reactor, log: Log) {
        self.listener = listener
        let answer = pool.makePages(facts)
        let name = pool.name
        connections = ConnectionListener(
            listener: listener,
            reactor: reactor,
            complain: { log.error("[pool \(name)] status listener: \($0)", .pool(name)) },
            make: { descriptor, onEnd in
                StatusConnection(descriptor, answer: answer, reactor: reactor, onEnd: onEnd)
            }
        )
        connections.allowed = listener.isTCP ? pool.settings.allowedClients.map { AllowedPeers($0) } : nil
    }

    /// Starts answering.
    ///
    /// Failure is said, and retried: the pool's service does not depend on it.
    func start() {
        listener.status = self
        connections.start()
    }

    /// Stops, and closes what is connected.
    func stop() {
        leave()
        connections.stop()
    }

    /// Another one answers from now on; who is connected here still gets an answer.
    func retire() {
        leave()
        connections.retire()
    }

    /// Answers on a connection that was accepted when requests came there, and has sent none.
    func take(_ connection: Connection) { connections.take(connection) }

    private func leave() { if listener.status === self { listener.status = nil } }
}

@available(*, unavailable)
extension StatusListener: Sendable {}
