internal import CEpoll
internal import Channel
internal import PoolPolicy
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// The master's eye on a pool's listener: it is woken only when no worker sleeps that would take the connection.
///
/// Workers wait for connections themselves. All of them, and the master behind them, are registered with
/// EPOLLEXCLUSIVE; the kernel wakes the first that sleeps, in order of registration. So the master pays nothing
/// while there are idle workers, and learns at once when there are none:
///
///     watching ── readable ──► settling ── still readable ──► grow, or wait longer ──► settling …
///        ▲                        │
///        └──── nothing waits ─────┘
///
/// Settling exists because "no worker sleeps" is usually over within microseconds under load. It also finds
/// connections whose wake-up was lost with a worker that died or stopped between being woken and accepting.
final class ListenerWatch {
    private static let firstPause = Duration.milliseconds(1)
    private static let longestPause = Duration.milliseconds(32)
    /// Connections accepted at once on behalf of workers that do not exist yet.
    private static let acceptBatch = 64

    private unowned let pool: Pool
    private let reactor: Reactor
    private var registration: Reactor.Registration?
    private var settling: Reactor.Deadline?
    private var pause = firstPause
    private var isStarted = false

    init(pool: Pool, reactor: Reactor) {
        self.pool = pool
        self.reactor = reactor
    }

    /// Begins to watch.
    func start() {
        guard !isStarted else { return }
        isStarted = true
        arm()
    }

    /// Ends the watch for good.
    func stop() {
        isStarted = false
        registration = nil
        settling = nil
    }

    /// A worker has registered with the listener: the master moves behind it.
    func workerJoined() {
        guard isStarted else { return start() }
        if settling == nil { arm() }
    }

    /// Looks at the listener now: something changed that may have lost a wake-up.
    func recheck() {
        guard isStarted, settling == nil else { return }
        arm()
    }

    /// Once a second, for wake-ups lost without a trace (a worker that was stopped after being woken).
    func tick() {
        guard isStarted, settling == nil, hasConnections() || pool.connections.waitingTotal > 0 else {
            return
        }
        settle(after: Self.firstPause)
    }

    /// Connections have been put into the queue from elsewhere (parked ones that have sent a request).
    func connectionsAreWaiting() {
        guard isStarted, settling == nil else { return }
        if pool.policy.running == 0 {
            _ = pool.grow(depth: max(1, pool.connections.waitingTotal))
            settle(after: Self.firstPause)
        } else if pool.idleWorkers() == 0 {
            settle(after: Self.firstPause)
        }
    }

    /// Takes all that waits in the backlog: the last workers are to serve it before they leave.
    func acceptAll() { accept(4096) }

    private func arm() {
        settling = nil
        registration = nil
        registration = try? reactor.watch(
            pool.listener.descriptor.rawValue,
            for: .readable,
            exclusive: true,
            handler: { [weak self] _ in self?.becameReadable() }
        )
        // Another generation still watches the same listener, or there is no memory: look again soon.
        if registration == nil { settle(after: .milliseconds(100)) }
    }

    private func becameReadable() {
        registration = nil
        pause = Self.firstPause
        if pool.policy.running == 0 {
            growForBacklog()
            settle(after: Self.firstPause)
        } else {
            settle(after: pause)
        }
    }

    private func settle(after duration: Duration) {
        registration = nil
        settling = reactor.after(duration) { [weak self] in self?.settled() }
    }

    private func settled() {
        settling = nil
        guard isStarted else { return }
        let isQueued = pool.connections.waitingTotal > 0
        guard hasConnections() || isQueued else { return arm() }
        let idle = pool.idleWorkers()
        if idle > 0, !isQueued {
            // Somebody sleeps while something waits: a wake-up was lost. Bring it to them.
            accept(idle)
            return settle(after: Self.firstPause)
        }
        growForBacklog()
        pause = min(pause * 2, Self.longestPause)
        settle(after: pause)
    }

    private func hasConnections() -> Bool {
        cepoll_poll_one(pool.listener.descriptor.rawValue, UInt32(CEPOLL_IN), 0) > 0
    }

    /// Takes as many connections as workers will be started for: that tells how many are needed.
    ///
    /// What no new worker would serve stays in the backlog, where its length limits it and web servers see
    /// it.
    private func growForBacklog() {
        let possible = min(pool.startable(), Self.acceptBatch)
        let starting = pool.policy.starting
        accept(max(0, possible + starting - pool.connections.waitingTotal))
        let depth = pool.connections.waitingTotal + (hasConnections() ? 1 : 0)
        if depth > starting { _ = pool.grow(depth: depth) }
    }

    /// Accepts up to `limit` connections into the pool's queue.
    @discardableResult
    private func accept(_ limit: Int) -> Int {
        var taken = 0
        while taken < limit {
            // Workers share the listener's open file, and could have made it blocking.
            let descriptor = cepoll_accept_bounded(pool.listener.descriptor.rawValue)
            guard descriptor >= 0 else {
                if currentErrno != .wouldBlock { pool.reportAcceptFailure(currentErrno) }
                break
            }
            taken += 1
            pool.connections.enqueue(descriptor)
        }
        return taken
    }
}

@available(*, unavailable)
extension ListenerWatch: Sendable {}
