internal import Channel
internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Syscalls

/// Workers that announce that they will leave, and those that are started in their places first.
///
///     ready ── retiring ──► another one starts ── it is ready ──► told to leave
///                 └── there may be no more: told to leave at once if it must, and replaced when it has gone
///
/// So a pool has as many workers as before while they are replaced, and for a moment up to
/// ``PoolSettings/replacementOverlap`` more than `pm.max_children`.
extension Pool {
    /// A worker has said that it will leave soon (`pm.max_requests`), or must (`pm.max_memory`).
    func workerRetires(_ worker: WorkerRecord, mustLeave: Bool) {
        guard worker.isReady, !worker.isRetiring, state == .serving, owner.mayStartWorkers else { return }
        worker.isRetiring = true
        retiring.removeAll { !$0.isReady }
        guard isWorthReplacing, retiring.count < settings.replacementOverlap, mayStartSuccessor else {
            if mustLeave { askToLeave(worker) }
            return
        }
        startSuccessor(of: worker)
    }

    /// Whether one worker more than there are now could be started at once.
    var mayStartSuccessor: Bool {
        generation.allowance > 0 && policy.heldBack(at: MonotonicTime.now.nanoseconds) == nil
            && freeSlots.count > wantedSpawns.count
    }

    /// Starts another worker in the place of this one, which is told to leave when that is ready.
    func startSuccessor(of worker: WorkerRecord) {
        worker.isReplaced = true
        retiring.append(worker)
        policy.spawnRequested(1)
        wantedSpawns.append(true)
        pumpSpawns()
    }

    /// Nobody needs another worker of an ondemand pool while one of those there are is idle.
    private var isWorthReplacing: Bool {
        settings.processManager != .ondemand || workers.values.count { $0.isReady && !$0.isRetiring } == 0
            || idleWorkers() == 0
    }

    /// A worker is ready: one that waits to leave can go.
    func replaceRetiring() {
        while !retiring.isEmpty {
            let worker = retiring.removeFirst()
            guard worker.isReady else { continue }
            return askToLeave(worker)
        }
    }

    private func askToLeave(_ worker: WorkerRecord) {
        guard let process = worker.namedProcess else { return }
        tellToLeave(worker, process)
    }
}
