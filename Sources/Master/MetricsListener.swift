internal import CEpoll
internal import Channel
internal import Configuration
internal import Glibc
internal import HTTP
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Accepts HTTP connections on `metrics.listen`.
///
/// Whoever connects is a stranger: connections are few, each has deadlines and a bounded memory
/// (``HTTPConnection``). When all places are taken, one that is idle, or else the one that has been there longest,
/// makes room for the new one.
final class MetricsListener {
    private static let maximumConnections = 32
    private static let acceptBatch = 8
    /// After a failed accept(2), when there are no descriptors: the listener stays readable, and would spin.
    private static let pause = Duration.seconds(1)

    let listener: Listener
    /// Who may connect; nil for everyone, and on a Unix socket.
    private var allowed: AllowedPeers?
    private let reactor: Reactor
    private let log: Log
    private let answer: (HTTPRequest) -> HTTPAnswer
    private var watch: Reactor.Registration?
    private var retry: Reactor.Deadline?
    private var connections: [CInt: HTTPConnection] = [:]
    /// The oldest first.
    private var order: [CInt] = []
    private var lastAcceptReport: MonotonicTime?

    /// Answers on `listener` when it is started.
    init(
        listener: Listener,
        reactor: Reactor,
        log: Log,
        answer: @escaping (HTTPRequest) -> HTTPAnswer
    ) {
        self.listener = listener
        self.reactor = reactor
        self.log = log
        self.answer = answer
    }

    /// Lets these connect from now on.
    func allow(_ clients: [ByteString]?) {
        allowed =
            listener.isTCP ? clients.map { AllowedPeers($0, directive: "metrics.allowed_clients") } : nil
        for problem in allowed?.problems ?? [] { log.error(problem) }
    }

    /// Starts accepting; a failure is said, and retried.
    func start() {
        guard watch == nil else { return }
        retry = nil
        do {
            watch = try reactor.watch(listener.descriptor.rawValue, for: .readable) { [weak self] _ in
                self?.accept()
            }
        } catch {
            log.error("cannot watch the metrics listener: \(describe(error)); retried in 1 s")
            startLater()
        }
    }

    /// Stops, and closes what is connected.
    func stop() {
        watch = nil
        retry = nil
        connections = [:]
        order = []
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
                if currentErrno != .wouldBlock {
                    reportAcceptFailure(currentErrno)
                    startLater()
                }
                return
            }
            take(descriptor, peer)
        }
    }

    /// Said at most once a minute.
    private func reportAcceptFailure(_ error: Errno) {
        let now = MonotonicTime.now
        if let lastAcceptReport, now - lastAcceptReport < .seconds(60) { return }
        lastAcceptReport = now
        log.error("accept() on the metrics listener failed: \(describe(error))")
    }

    private func take(_ descriptor: CInt, _ peer: cepoll_address) {
        let owned = SharedDescriptor(adopting: descriptor)
        if let allowed, !allowed.allows(peer) { return }
        if order.count >= Self.maximumConnections {
            end(order.first { connections[$0]?.isIdle ?? true } ?? order[0])
        }
        let connection = HTTPConnection(owned, reactor: reactor, answer: answer) { [weak self] in
            self?.end(descriptor)
        }
        guard (try? connection.begin()) != nil else { return }
        connections[descriptor] = connection
        order.append(descriptor)
    }

    private func end(_ descriptor: CInt) {
        order.removeAll { $0 == descriptor }
        // Dropped last: its descriptor's number may be another's from then on.
        connections[descriptor] = nil
    }
}

@available(*, unavailable)
extension MetricsListener: Sendable {}
