internal import CScoreboard
internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// What the log says of a pool's life and troubles.
///
/// What may happen thousands of times is said once in a while.
extension Pool {
    // MARK: - Connections

    /// Says why nobody is served.
    func reportAcceptFailure(_ error: Errno) {
        guard failedAccepts.happened(at: MonotonicTime.now) != nil else { return }
        log.write(.error, "[pool \(name)] accept() failed: \(describe(error))")
    }

    /// Says that clients lose connections that they keep, as the pool has too many.
    func reportOverflow() {
        guard overflows.happened(at: MonotonicTime.now) != nil else { return }
        log.write(
            .warning,
            "[pool \(name)] \(connections.quota) idle connections are all that the file limit allows this pool: the oldest are closed"
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

    /// There is no memory file for what is too large for a message.
    func reportUnsendable(_ error: Errno) {
        guard let count = unsendableRequests.happened(at: MonotonicTime.now) else { return }
        let remedy: ByteString = error == .tooManyOpenFiles ? "; consider raising rlimit_files" : ""
        log.write(
            .error,
            "[pool \(name)] large requests are refused with 503, as they cannot be handed to a worker: \(describe(error)), \(count) since this was said last\(remedy)"
        )
    }

    // MARK: - Workers

    /// Counts that there may be no more workers, and says it.
    func reportLimit() {
        // Counted here and only shown there: the page can be written by workers.
        limitReachedCount += 1
        cscoreboard_store(&scoreboard.pool.pointee.max_children_reached, limitReachedCount)
        let directive = settings.processManager == .ondemand ? "max_children" : "pm.max_children"
        log.write(
            .warning,
            "[pool \(name)] server reached \(directive) setting (\(policy.limits.maxChildren)), consider raising it"
        )
    }

    /// Says that a dynamic pool grows ever faster.
    func reportBusy(spawning count: Int) {
        let counts = scoreboard.counts()
        log.write(
            .warning,
            "[pool \(name)] seems busy (you may need to increase pm.start_servers, or pm.min/max_spare_servers), spawning \(count) children, there are \(counts.idle) idle, and \(counts.total) total children"
        )
    }

    func reportForkFailure(_ error: Errno) {
        guard let count = failedForks.happened(at: MonotonicTime.now) else { return }
        let times: ByteString = count > 1 ? ", \(count) times" : ""
        // The limits of processes, of the user or of the service; both count threads.
        let remedy: ByteString =
            error == .resourceTemporarilyUnavailable ? "; raise LimitNPROC= or TasksMax=" : ""
        log.write(.error, "[pool \(name)] fork() failed: \(describe(error))\(times)\(remedy)")
    }

    func reportUnstartableWorker(_ error: Errno) {
        guard let count = unstartableWorkers.happened(at: MonotonicTime.now) else { return }
        let times: ByteString = count > 1 ? " (\(count) times)" : ""
        log.write(
            .error,
            "[pool \(name)] cannot start a worker: \(describe(error))\(times); tried again later"
        )
    }

    /// Says in which request a worker was killed: by the kernel for want of memory, by somebody, or as a reload waits no longer.
    ///
    /// A worker that crashes says so itself, and of one whose request took too long it has been said.
    func reportCutRequest(of worker: WorkerRecord, _ exit: ProcessExit) {
        let isKilled = isSignal(exit, .kill) || (state == .draining && isSignal(exit, .terminate))
        guard isKilled, !worker.isDistrusted, !worker.hasCrashed, owner.mayStartWorkers,
            scoreboard.stage(worker.slot).isRunning
        else { return }
        let text = RequestText(of: scoreboard.slot(worker.slot))
        owner.log.warning(
            "[pool \(name)] child \(exit.process), script '\(text.script)' (request: \"\(text.request)\") cut off \(describeExit(exit))",
            text.context(pool: name, worker: exit.process)
        )
    }

    /// The access log's line about the request in which a worker has died; a worker writes it when the script is over.
    ///
    /// - Parameters:
    ///   - worker: Whose slot still says what it did.
    ///   - exit: How it ended.
    ///   - tookTooLong: It was killed because its request did.
    ///   - client: The connection, if the master has answered on it.
    func logLostRequest(
        of worker: WorkerRecord,
        _ exit: ProcessExit,
        tookTooLong: Bool,
        client: Connection?
    ) {
        let stage = scoreboard.stage(worker.slot)
        guard stage == .info || stage == .executing else { return }
        // As the dying worker answers, or the master in its place.
        let status = tookTooLong ? 504 : isSignal(exit, .terminate) ? 503 : 500
        ownAccessLog?.writeLost(
            status: status,
            scoreboard.slot(worker.slot),
            exit.process,
            client: client
        )
    }

    /// Says how a worker has ended: loudly where nobody wanted that.
    func logExit(_ exit: ProcessExit, _ lifetime: Duration, wasRetired: Bool, isClean: Bool) {
        let time = secondsText(lifetime)
        if wasRetired {
            return log.write(
                .debug,
                "[pool \(name)] child \(exit.process) has been killed by the process management after \(time) seconds from start",
                worker: exit.process
            )
        }
        let level: LogLevel =
            !owner.mayStartWorkers || state != .serving ? .debug : isClean ? .notice : .warning
        log.write(
            level,
            "[pool \(name)] child \(exit.process) exited \(describeExit(exit)) after \(time) seconds from start",
            worker: exit.process
        )
    }
}
