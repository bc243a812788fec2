internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Syscalls

/// Workers that are asked for and do not come: their zygote is stopped, or stuck in something that PHP's start left.
///
/// Counted in ticks of the master, not in time: a master that was stopped itself must not blame others.
extension Pool {
    /// A fork takes milliseconds.
    private static var answerPatience: Int { 5 }
    /// A worker that has been forked has next to nothing to do before it is ready.
    private static var startPatience: Int { 10 }

    /// Once a second.
    func checkOverdue() {
        var isZygoteSilent = false
        for worker in Array(workers.values) {
            switch worker.state {
            case .ready, .leaving: continue
            case .requested:
                worker.ticksUnready += 1
                if worker.isUnnamed {
                    if worker.ticksUnready > Self.startPatience { unnamedWorkerIsGone(worker) }
                } else {
                    isZygoteSilent = isZygoteSilent || worker.ticksUnready > Self.answerPatience
                }
            case .starting(let process):
                worker.ticksUnready += 1
                if worker.ticksUnready > Self.startPatience { giveUp(worker, process) }
            }
        }
        if isZygoteSilent { distrustZygote("has not forked a worker within \(Self.answerPatience) s") }
    }

    /// The number is the zygote's word until the worker has spoken: it is not killed if it has spoken for another pool.
    private func giveUp(_ worker: WorkerRecord, _ process: ProcessID) {
        guard owner.isUnnamedChild(process) else { return claimWasFalse(worker, process) }
        log.write(
            .error,
            "[pool \(name)] child \(process) is not ready after \(Self.startPatience) s: killed",
            worker: process
        )
        send(.kill, to: process)
    }

    /// The zygote has named a process that is another's, or none of the master's children.
    func claimWasFalse(_ worker: WorkerRecord, _ process: ProcessID) {
        remove(worker)
        policy.spawnFailed()
        distrustZygote("named process \(process) as a worker, which is another's")
    }

    /// A child has spoken: whoever else it was claimed for has none.
    func isSettled(_ process: ProcessID, slot: Int, serial: Int64) {
        guard let worker = workers[slot], worker.serial == serial, case .starting(process) = worker.state
        else {
            return
        }
        claimWasFalse(worker, process)
    }
}
