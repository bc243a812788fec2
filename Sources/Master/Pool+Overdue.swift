internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Syscalls
internal import SystemPackage

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
        try? sendSignal(.kill, to: process)
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

    func reportForkFailure(_ error: Errno) {
        guard let count = failedForks.happened(at: MonotonicTime.now) else { return }
        let times: ByteString = count > 1 ? ", \(count) times" : ""
        log.write(.error, "[pool \(name)] fork() failed: \(describe(error))\(times)")
    }

    func reportUnstartableWorker(_ error: Errno) {
        guard let count = unstartableWorkers.happened(at: MonotonicTime.now) else { return }
        let times: ByteString = count > 1 ? " (\(count) times)" : ""
        log.write(
            .error,
            "[pool \(name)] cannot start a worker: \(describe(error))\(times); tried again later"
        )
    }

    /// Both ends of the queue are ours as well: only a worker that is hostile can have done that.
    func reportShutQueue() {
        guard !hasShutQueue else { return }
        hasShutQueue = true
        log.write(
            .error,
            "[pool \(name)] a worker has shut the queue of the pool: requests wait in it until the pool is reloaded"
        )
    }

    /// The master has no descriptor for what a worker gave back.
    func reportLostConnection() {
        guard let count = lostConnections.happened(at: MonotonicTime.now) else { return }
        log.write(
            .error,
            "[pool \(name)] connections were lost, as the master has no more file descriptors: \(count); consider raising rlimit_files"
        )
    }
}
