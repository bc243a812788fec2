internal import CEpoll
internal import Channel
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls

/// Workers that a zygote was asked for when it died: some it has forked and could not say so.
///
/// Whoever was forked has the other end of its channel, and will say that it is ready; for the others that end has gone
/// with the zygote. To drop one that is there would lose what it serves.
extension Pool {
    /// The zygote has gone, and names no worker any more.
    func loseUnnamedWorkers() {
        for worker in Array(workers.values) {
            guard case .requested = worker.state else { continue }
            worker.isUnnamed = true
            let isGone = cepoll_peer_is_gone(worker.channel.descriptor, false)
            // It may have served and given back something meanwhile; and its end is still to be reaped then.
            if isGone { drainChannel(of: worker) }
            guard case .requested = worker.state, isGone || state != .serving else { continue }
            owner.unnamedWorkerIsLost(by: self, isAlive: !isGone)
            remove(worker)
            policy.spawnFailed()
        }
    }

    /// There is no process, or one that does not get ready.
    func unnamedWorkerIsGone(_ worker: WorkerRecord) {
        owner.unnamedWorkerIsLost(by: self, isAlive: false)
        remove(worker)
        policy.spawnFailed()
        guard state == .serving else { return owner.poolMayBeGone(self) }
        perform(
            policy.tick(
                PoolPolicy.Counts(idle: scoreboard.counts().idle),
                at: MonotonicTime.now.nanoseconds
            )
        )
        watch.recheck()
    }
}
