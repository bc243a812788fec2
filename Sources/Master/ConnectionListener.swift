internal import CEpoll
internal import Channel
internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// A connection of a ``ConnectionListener``.
protocol ListenerConnection: AnyObject {
    /// Whether nothing is lost when it is closed now: it waits for a request, or has been answered for good.
    var isIdle: Bool { get }

    /// Waits for a request.
    func begin() throws(Errno)
}

/// Accepts connections that the master itself answers, for as long as it is told to.
///
/// Whoever connects is a stranger: connections are few, and each has deadlines and a bounded memory of its own. When
/// all places are taken, one that is idle, or else the one that has been there longest, makes room for the new one,
/// so that silent clients cannot keep others out.
final class ConnectionListener<Served: ListenerConnection> {
    /// Where it accepts; nil once it is retired, as the address may be given up or another's then.
    private var listener: Listener?
    /// Who may connect; nil for everyone, and on a Unix socket.
    var allowed: AllowedPeers?
    private let reactor: Reactor
    private let complain: (ByteString) -> Void
    private let make: (Connection, @escaping () -> Void) -> Served
    private var watch: Reactor.Registration?
    private var retry: Reactor.Deadline?
    private var connections: [CInt: Served] = [:]
    /// The oldest first.
    private var order: [CInt] = []
    private var failedAccepts = RepeatedEvent(saidEvery: .seconds(60))
    /// Itself, while it is retired and has connections.
    private var itself: ConnectionListener?

    private var maximumConnections: Int { 32 }
    private var acceptBatch: Int { 8 }
    /// After a failed accept(2), when there are no descriptors: the listener stays readable, and would spin.
    private var pause: Duration { .seconds(1) }

    /// Prepares; ``start()`` begins.
    ///
    /// - Parameters:
    ///   - listener: Where to accept.
    ///   - reactor: The loop.
    ///   - complain: Is told what fails, to log it.
    ///   - make: Makes a connection of an accepted, non-blocking descriptor. It calls the closure once, when there is
    ///     nothing more to do; that drops it.
    init(
        listener: Listener,
        reactor: Reactor,
        complain: @escaping (ByteString) -> Void,
        make: @escaping (Connection, @escaping () -> Void) -> Served
    ) {
        self.listener = listener
        self.reactor = reactor
        self.complain = complain
        self.make = make
    }

    /// Starts accepting; a failure is said, and retried.
    func start() {
        guard watch == nil, let listener else { return }
        retry = nil
        do {
            watch = try reactor.watch(listener.descriptor.rawValue, for: .readable) { [weak self] _ in
                self?.accept()
            }
        } catch {
            complain("cannot be watched: \(describe(error)); retried in 1 s")
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

    /// Accepts no more; who is connected still gets an answer.
    func retire() {
        watch = nil
        retry = nil
        listener = nil
        // Nobody else may need it: it lives as long as its connections.
        if !connections.isEmpty { itself = self }
    }

    private func startLater() {
        watch = nil
        retry = reactor.after(pause) { [weak self] in self?.start() }
    }

    private func accept() {
        guard let listener else { return }
        for _ in 0..<acceptBatch {
            var peer = cepoll_address()
            let descriptor = cepoll_accept(listener.descriptor.rawValue, &peer)
            guard descriptor >= 0 else {
                if currentErrno != .wouldBlock {
                    reportAcceptFailure(currentErrno)
                    startLater()
                }
                return
            }
            take(Connection(adopting: descriptor), peer)
        }
    }

    private func reportAcceptFailure(_ error: Errno) {
        guard failedAccepts.happened(at: MonotonicTime.now) != nil else { return }
        complain("accept() failed: \(describe(error))")
    }

    /// Takes a connection that somebody else has accepted.
    func take(_ owned: Connection) {
        var peer = cepoll_address()
        if allowed != nil, cepoll_peer(owned.rawValue, &peer) != 0 { return }
        take(owned, peer)
    }

    private func take(_ owned: Connection, _ peer: cepoll_address) {
        let descriptor = owned.rawValue
        if let allowed, !allowed.allows(peer) { return }
        if order.count >= maximumConnections {
            end(order.first { connections[$0]?.isIdle ?? true } ?? order[0])
        }
        let connection = make(owned) { [weak self] in self?.end(descriptor) }
        guard (try? connection.begin()) != nil else { return }
        connections[descriptor] = connection
        order.append(descriptor)
    }

    private func end(_ descriptor: CInt) {
        order.removeAll { $0 == descriptor }
        // Dropped last: its descriptor's number may be another's from then on.
        connections[descriptor] = nil
        if order.isEmpty { itself = nil }
    }
}

@available(*, unavailable)
extension ConnectionListener: Sendable {}
