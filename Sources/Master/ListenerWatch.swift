internal import CEpoll
internal import Channel
internal import Configuration
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
///        ▲                      │    ▲ │
///        └──── nothing waits ───┘    │ └── nothing moves, and it cannot grow, or for long ──► ``Saturation`` ──► settling
///                               ▼    │
///                              resting
///                 nothing waits, but all are busy and go on beginning requests
///
/// Settling exists because "no worker sleeps" is usually over within microseconds under load. It also finds
/// connections whose wake-up was lost with a worker that died or stopped between being woken and accepting: something
/// waits, somebody seems to sleep, and nobody begins a request. While requests begin nothing is lost, for whoever begins
/// one looks at the listener again. What workers that rest are not needed for (``ListenerWidth``) is no reason to accept.
final class ListenerWatch {
    private static let firstPause = Duration.milliseconds(1)
    private static let longestPause = Duration.milliseconds(32)
    /// While requests begin all the time, the master has no hurry to look; nor is a look later while it may narrow the pool.
    private static let patientPause = Duration.milliseconds(8)
    /// Somebody has begun a request within this time: the workers move.
    private static let lately = Duration.milliseconds(8)
    /// Nobody has begun a request for this long, and something waits.
    private static let lostPatience = Duration.milliseconds(4)
    /// Nobody has begun a request for this long, though the workers have been brought what waits, or there are none.
    private static let stuckPatience = Duration.milliseconds(100)
    /// While it has been settling for less than this, a worker that seems idle counts as one that takes a connection.
    private static let idlePatience = Duration.milliseconds(16)
    /// Connections accepted at once on behalf of workers that do not exist yet.
    private static let acceptBatch = 64

    private unowned let pool: Pool
    private let reactor: Reactor
    private var registration: Reactor.Registration?
    private var settling: Reactor.Deadline?
    private var pause = firstPause
    private var isStarted = false
    /// Nothing waited at the last look.
    private var isResting = false
    /// The pool when somebody last found that nobody sleeps.
    private var seen = Pace(begun: 0, time: 0)
    /// The look since which nobody has begun a request, while something waits.
    private var stood = Pace(begun: 0, time: 0)
    /// How many requests had been begun when the workers were found to take nothing.
    private var stuckAt: Int64?
    let saturation: Saturation
    let width: ListenerWidth

    init(pool: Pool, reactor: Reactor) {
        self.pool = pool
        self.reactor = reactor
        width = ListenerWidth(pool: pool)
        saturation = Saturation(pool: pool, reactor: reactor, width: width)
        saturation.onEnd = { [weak self] in self?.arm() }
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
        saturation.end()
    }

    /// Whether anything but the watch itself is under way.
    private var isElsewhere: Bool { settling != nil || saturation.isActive }

    /// Whether nothing but the watch itself is under way.
    var isWatching: Bool { isStarted && !isElsewhere }

    /// A worker has registered with the listener: the master moves behind it.
    func workerJoined() {
        guard isStarted else { return start() }
        width.balance()
        saturation.workerJoined()
        if !isElsewhere { arm() }
    }

    /// Looks at the listener now: something changed that may have lost a wake-up.
    func recheck() {
        guard isWatching else { return }
        arm()
    }

    /// Once a second, for wake-ups lost without a trace (a worker that was stopped after being woken).
    func tick() {
        width.tick()
        guard isWatching, hasConnections() || pool.queue.total > 0 else { return }
        stood = pool.pace()
        settle(after: Self.firstPause)
    }

    /// Connections have been put into the queue from elsewhere (parked ones that have sent a request).
    func connectionsAreWaiting() {
        guard isWatching else { return }
        if pool.policy.running == 0 {
            _ = pool.grow(depth: max(1, pool.queue.total))
            beginToSettle()
        } else if width.idleWorkers == 0 {
            beginToSettle()
        }
    }

    /// Takes all that waits in the backlog: the last workers are to serve it before they leave.
    func acceptAll() { accept(4096) }

    private func arm() {
        settling = nil
        isResting = false
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
        if pool.policy.running == 0 { growForBacklog() }
        // With a limit on the queue its depth is to be known at once.
        if pool.settings.limitsQueue, saturateNow() { return }
        if let stuckAt {
            let pace = pool.pace()
            // Nothing has changed since they were found to take nothing.
            if pace.begun == stuckAt { return saturate(pace) }
            self.stuckAt = nil
        }
        beginToSettle()
    }

    private func beginToSettle() {
        seen = pool.pace()
        stood = seen
        isResting = false
        pause = width.pause(at: seen.time) ?? (needsNobody(seen) ? Self.patientPause : Self.firstPause)
        settle(after: pause)
    }

    /// Whether the pool cannot grow and moves: it would wake the master for nothing all the time.
    ///
    /// A worker that has sent its answer and is not ready for the next request yet is enough for that.
    private func needsNobody(_ pace: Pace) -> Bool {
        pool.cannotGrow && pool.hasBegun(within: Self.lately, before: pace)
    }

    /// Looks again later while all are busy and move; else the listener is watched again.
    private func rest() {
        width.nothingWaits()
        let pace = pool.pace()
        guard !pool.settings.limitsQueue, pool.idleWorkers() == 0, needsNobody(pace) else { return arm() }
        seen = pace
        isResting = true
        settling = reactor.between(Self.patientPause, Self.patientPause * 2) { [weak self] in self?.settled()
        }
    }

    /// Accepts in the master from now on, if nobody sleeps and there can be no more workers; whether it does.
    func saturateNow() -> Bool {
        guard isStarted, !saturation.isActive else { return saturation.isActive }
        guard pool.idleWorkers() == 0, pool.cannotGrow else { return false }
        saturate(pool.pace())
        return true
    }

    private func saturate(_ pace: Pace) {
        registration = nil
        settling = nil
        width.saturationBegins()
        saturation.begin(pace, isStuck: pace.begun == stuckAt)
    }

    private func settle(after duration: Duration) {
        registration = nil
        settling = reactor.after(duration) { [weak self] in self?.settled() }
    }

    private func settled() {
        settling = nil
        guard isStarted else { return }
        let isQueued = pool.queue.total > 0
        guard hasConnections() || isQueued else { return rest() }
        // Only who still waits at the next look has found nobody.
        if isResting { return beginToSettle() }
        let pace = pool.pace()
        width.look(pace)
        if isStuck(pace) { return saturate(pace) }
        let idle = width.idleWorkers
        if idle > 0, !isQueued {
            if pace.begun != seen.begun {
                // Who seems to sleep has been woken, and waits for a processor.
                seen = pace
            } else if pace.time - seen.time >= UInt64(Self.lostPatience.nanoseconds) {
                accept(idle)
                seen = pace
                return settle(after: Self.firstPause)
            }
            return settleLonger(pace)
        }
        if !width.isNarrow { growForBacklog() }
        if idle == 0, pool.cannotGrow {
            switch pace.verdict(since: seen, workers: pool.policy.running) {
            case .standing where !mayServeInTurn(pace): return saturate(pace)
            case .tooEarly: break
            case .standing, .unclear, .moving: seen = pace
            }
        }
        settleLonger(pace)
    }

    /// Whether nobody takes what waits, neither workers that seem to sleep (they may have been stopped) nor any that are
    /// being started: then the master does what needs none.
    private func isStuck(_ pace: Pace) -> Bool {
        if pace.begun != stood.begun { stood = pace }
        guard pace.time - stood.time >= UInt64(Self.stuckPatience.nanoseconds) else { return false }
        stuckAt = pace.begun
        return true
    }

    /// Whether workers rest, or may be about to, of which there are enough for all that waits: then nobody waits whom
    /// they would serve sooner.
    private func mayServeInTurn(_ pace: Pace) -> Bool {
        guard width.isNarrow || width.isUndecided(at: pace.time) else { return false }
        return pool.backlog() <= pool.policy.running
    }

    private func settleLonger(_ pace: Pace) {
        let longest = width.isUndecided(at: pace.time) ? Self.patientPause : Self.longestPause
        pause = width.pause(at: pace.time) ?? min(pause * 2, longest)
        settle(after: pause)
    }

    /// Whether connections wait at the listener.
    func hasConnections() -> Bool {
        cepoll_poll_one(pool.listener.descriptor.rawValue, UInt32(CEPOLL_IN), 0) > 0
    }

    /// Takes as many connections as workers will be started for: that tells how many are needed.
    ///
    /// What no new worker would serve stays in the backlog, where its length limits it and web servers see
    /// it.
    private func growForBacklog() {
        let possible = min(pool.startable(), Self.acceptBatch)
        let starting = pool.policy.starting
        accept(max(0, possible + starting - pool.queue.total))
        // A worker that has just become ready takes one of them as soon as it runs, unless it is stuck.
        let idle = pause < Self.idlePatience ? pool.idleWorkers() : 0
        let depth = pool.queue.total + (hasConnections() ? 1 : 0) - idle
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
            pool.connections.enqueue(Connection(adopting: descriptor, isLocal: !pool.listener.isTCP))
            // The rest waits in the backlog: the reserve is for what workers give back.
            if descriptor >= pool.owner.descriptorCeiling { break }
        }
        return taken
    }
}

@available(*, unavailable)
extension ListenerWatch: Sendable {}
