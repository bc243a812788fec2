internal import CScoreboard
internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import Syscalls

/// What the pool's policy decides, turned into system calls; and which workers are idle.
extension Pool {
    /// The one place where the policy's decisions become system calls.
    func perform(_ actions: [PoolPolicy.Action]) {
        for action in actions {
            switch action {
            case .spawn(let count, let isRespawn): spawn(count, isRespawn: isRespawn)
            case .retireIdle(let count): retireIdle(count)
            case .limitReached: reportLimit()
            case .seemsBusy(let count): reportBusy(spawning: count)
            case .backOff(let failures, _) where failures > 0 && !isReady:
                return owner.poolFailed(self, "\(failures) workers in a row died before their first request")
            case .backOff(let failures, let delay):
                if failures > 0 {
                    log.write(
                        .error,
                        "[pool \(name)] \(failures) workers in a row died before their first request; next start in \(delay / 1_000_000) ms"
                    )
                }
                backoffDeadline = owner.reactor.after(.nanoseconds(Int64(clamping: delay))) { [weak self] in
                    guard let self else { return }
                    perform(policy.backoffEnded(at: MonotonicTime.now.nanoseconds))
                    watch.recheck()
                }
            }
        }
    }

    /// Connections wait and nobody sleeps: more workers, if the limits allow.
    ///
    /// - Returns: Whether more workers are on their way.
    func grow(depth: Int) -> Bool {
        perform(policy.connectionsWait(depth, at: MonotonicTime.now.nanoseconds))
        return policy.starting > 0 || !wantedSpawns.isEmpty
    }

    /// Once a second.
    func tick() {
        guard state == .serving else { return }
        guard policy.running > 0 || settings.processManager != .ondemand else { return }
        if calm != nil, calm == calmNow(), !watch.hasConnections() { return }
        refreshQueueFigures()
        checkOverdue()
        takeUnattended()
        let timeout = settings.processIdleTimeout
        let now = MonotonicTime.now
        var idleTooLong = 0
        if settings.processManager != .static {
            idleTooLong = workers.values.count { $0.isReady && idleTime($0, now) > timeout }
        }
        let counts = scoreboard.counts()
        log.write(
            .debug,
            "[pool \(name)] currently \(counts.active) active children, \(counts.idle) spare children, \(policy.running) running children."
        )
        // A drained pool has no spare workers on purpose: nothing is started, and it is not said to be busy.
        let actions =
            isHeld
            ? []
            : policy.tick(
                PoolPolicy.Counts(idle: counts.idle, idleTooLong: idleTooLong),
                at: now.nanoseconds
            )
        perform(actions)
        watch.tick()
        calm = actions.isEmpty && counts.active == 0 ? calmNow() : nil
    }

    /// A pool in which nothing is under way: as long as this is the same, and nothing waits at the listener, a tick has
    /// nothing to do but to look.
    struct Calm: Equatable {
        fileprivate var begun: Int64
        fileprivate var running: Int
        fileprivate var queued: Int
    }

    /// Nil: something is under way, or becomes due with time.
    private func calmNow() -> Calm? {
        guard policy.starting == 0, wantedSpawns.isEmpty, watch.isWatching, !watch.width.isNarrow,
            sharedCount == 0, !holdsUnannounced, parkedCount == 0, madeQueue?.count ?? 0 == 0,
            owner.log.level > .debug,
            settings.processManager != .ondemand,
            cscoreboard_load(&scoreboard.pool.pointee.listen_queue) == 0
        else { return nil }
        return Calm(
            begun: scoreboard.acceptedRequests(),
            running: policy.running,
            queued: madeQueue?.appended ?? 0
        )
    }

    /// Who has slept for so long has been told of nothing that came meanwhile.
    private func takeUnattended() {
        guard sharedCount > 0 || holdsUnannounced else { return }
        let now = MonotonicTime.now
        for worker in workers.values where idleTime(worker, now) > .milliseconds(500) {
            shared.takeUnattended(from: worker)
        }
    }

    private var holdsUnannounced: Bool { workers.values.contains(where: hasUnannounced) }

    /// Whether the worker holds connections of which there is no duplicate, by its own word.
    func hasUnannounced(_ worker: WorkerRecord) -> Bool {
        cscoreboard_load_word(&scoreboard.slot(worker.slot).pointee.unannounced) != 0
    }

    func idleTime(_ worker: WorkerRecord, _ now: MonotonicTime) -> Duration {
        guard scoreboard.stage(worker.slot) == .accepting else { return .zero }
        let since = MonotonicTime(
            nanoseconds: cscoreboard_load_time(&scoreboard.slot(worker.slot).pointee.idle_since_ns)
        )
        return now - max(since, worker.startTime)
    }

    /// The workers that have been idle for longest are asked to leave; asked again in vain, they are killed.
    func retireIdle(_ count: Int) {
        let now = MonotonicTime.now
        let idle = workers.values.filter { $0.isReady || $0.wasAskedToLeave }
            .filter { scoreboard.stage($0.slot) == .accepting }
            .map { (worker: $0, time: idleTime($0, now)) }
            .sorted { $0.time > $1.time }
        for (worker, _) in idle.prefix(count) {
            guard let process = worker.process else { continue }
            if worker.wasAskedToLeave {
                send(.kill, to: process)
            } else {
                worker.wasAskedToLeave = true
                worker.state = .leaving(process)
                // It has no request that the signal could end early; with one that blocks it, SIGKILL is next, as in php-fpm.
                if !send(.quit, to: process) { tellToLeave(worker, process) }
            }
        }
    }

    /// How many workers sleep, ready for a connection.
    func idleWorkers() -> Int { workers.values.count { isAsleep($0) } }

    /// Those workers.
    func sleepers() -> [WorkerRecord] { workers.values.filter { isAsleep($0) } }

    private func isAsleep(_ worker: WorkerRecord) -> Bool {
        worker.isReady && scoreboard.stage(worker.slot) == .accepting
    }

    /// How many workers would be started if they were asked for now.
    func startable() -> Int {
        guard owner.mayStartWorkers, state == .serving, !isHeld,
            policy.heldBack(at: MonotonicTime.now.nanoseconds) == nil
        else { return 0 }
        return min(policy.room, generation.allowance, freeSlots.count - wantedSpawns.count)
    }
}
