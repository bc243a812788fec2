internal import CEpoll
internal import Channel
internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Answers status and ping on `pm.status_listen`: in the master, so that monitoring needs no free worker and no PHP.
///
/// Whoever connects is a stranger: connections are few and each has deadlines and a bounded memory
/// (``StatusConnection``). When all places are taken, the connection that has been there longest makes room for the
/// new one, so that silent clients cannot keep monitoring out.
final class StatusListener {
    private static let maximumConnections = 32
    private static let acceptBatch = 8
    /// After a failed accept(2), when there are no descriptors: the listener stays readable, and would spin.
    private static let pause = Duration.seconds(1)

    let listener: Listener
    private let answer: StatusAnswer
    private let allowed: AllowedPeers?
    private let reactor: Reactor
    private let log: Log
    private let name: ByteString
    private var watch: Reactor.Registration?
    private var retry: Reactor.Deadline?
    private var connections: [CInt: StatusConnection] = [:]
    private var order: [CInt] = []
    private var itself: StatusListener?

    /// Answers on `listener` for `pool`.
    init(listener: Listener, pool: Pool, facts: PageFacts, reactor: Reactor, log: Log) {
        self.listener = listener
        answer = StatusAnswer(settings: pool.settings, scoreboard: pool.scoreboard, facts: facts)
        self.reactor = reactor
        self.log = log
        name = pool.name
        allowed = listener.isTCP ? pool.settings.allowedClients.map { AllowedPeers($0) } : nil
    }

    /// Starts answering.
    ///
    /// Failure is said, and retried: the pool's service does not depend on it.
    func start() {
        retry = nil
        do {
            watch = try reactor.watch(listener.descriptor.rawValue, for: .readable) { [weak self] _ in
                self?.accept()
            }
        } catch {
            log.error("[pool \(name)] cannot watch the status listener: \(describe(error))", .pool(name))
            startLater()
        }
    }

    /// Stops, and closes what is connected.
    func stop() {
        watch = nil
        retry = nil
        connections = [:]
        order = []
        itself = nil
    }

    /// Another one answers from now on; who is connected here still gets an answer.
    func retire() {
        watch = nil
        retry = nil
        // Nobody else may need it: it lives as long as its connections.
        if !connections.isEmpty { itself = self }
    }

    private func startLater() {
        watch = nil
        retry = reactor.after(Self.pause) { [weak self] in self?.start() }
    }

    private func accept() {
        for _ in 0..<Self.acceptBatch {
            var peer = cepoll_address()
            let descriptor = cepoll_accept(listener.descriptor.rawValue, &peer)
            guard descriptor >= 0 else {
                if errno != EAGAIN {
                    log.error(
                        "[pool \(name)] accept() on the status listener failed: \(describe(currentErrno))",
                        .pool(name)
                    )
                    startLater()
                }
                return
            }
            take(descriptor, peer)
        }
    }

    private func take(_ descriptor: CInt, _ peer: cepoll_address) {
        let owned = SharedDescriptor(adopting: descriptor)
        if let allowed, !allowed.allows(peer) { return }
        if order.count >= Self.maximumConnections { end(order[0]) }
        let connection = StatusConnection(owned, answer: answer, reactor: reactor) { [weak self] in
            self?.end(descriptor)
        }
        guard (try? connection.begin()) != nil else { return }
        connections[descriptor] = connection
        order.append(descriptor)
    }

    private func end(_ descriptor: CInt) {
        connections[descriptor] = nil
        order.removeAll { $0 == descriptor }
        if connections.isEmpty { itself = nil }
    }
}

@available(*, unavailable)
extension StatusListener: Sendable {}
