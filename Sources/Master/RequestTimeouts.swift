internal import CEpoll
internal import CScoreboard
internal import Configuration
internal import Logging
internal import Reactor
internal import Scoreboard
internal import Syscalls

/// Looks after requests that take long: a trace after `request_slowlog_timeout`; after `request_soft_timeout` a fatal
/// error in the script; after `request_terminate_timeout` a trace in the log, SIGTERM, and SIGKILL for a worker that
/// stays.
///
/// Looks at the pool's scoreboard at intervals of a third of the shorter timeout, as php-fpm does, while there are
/// workers. A connection that is kept alive and waits is no request here, and is left alone. What a worker writes
/// about itself can only lead to its own end.
final class RequestTimeouts {
    /// php-fpm's shortest heartbeat.
    private static let shortestPeriod = Duration.milliseconds(130)
    /// A worker that has not ended this long after SIGTERM is killed.
    private static let patience = Duration.seconds(1)
    /// How long a trace may take before the worker is told to end all the same.
    private static let tracePatience = Duration.milliseconds(100)
    /// Traces begun in one turn; the others wait for the next.
    private static let tracesAtOnce = 8

    /// The request for which a worker was told to end.
    private struct Told {
        let acceptedTime: UInt64
        let at: MonotonicTime
    }

    private unowned let pool: Pool
    private let reactor: Reactor
    private let log: Log
    private let period: Duration
    private var heartbeat: Reactor.Deadline?
    /// By serial number of the worker.
    private var told: [Int64: Told] = [:]
    /// The request that was traced last, by serial number of the worker.
    private var traced: [Int64: UInt64] = [:]
    private var tracesLeft = 0
    /// The request whose script was told to end, by serial number of the worker.
    private var ended: [Int64: UInt64] = [:]
    /// Workers that get SIGTERM when they have been traced.
    private var terminations: [Int64: Reactor.Deadline] = [:]

    /// Nil when the pool has neither timeout.
    init?(pool: Pool, reactor: Reactor, log: Log) {
        let timeouts = [
            pool.settings.requestTerminateTimeout, pool.settings.requestSlowLogTimeout,
            pool.settings.requestSoftTimeout,
        ].filter { $0 > .zero }
        guard let shortest = timeouts.min() else { return nil }
        self.pool = pool
        self.reactor = reactor
        self.log = log
        period = max(Self.shortestPeriod, shortest / 3)
    }

    /// Whether the worker was told to end because of the request that it had.
    func hasEnded(_ worker: WorkerRecord) -> Bool { told[worker.serial] != nil }

    /// There is a worker to look after.
    func workerStarted() {
        guard heartbeat == nil else { return }
        heartbeat = reactor.after(told.isEmpty ? period : min(period, Self.patience)) { [weak self] in
            guard let self else { return }
            heartbeat = nil
            check()
            if !pool.workers.isEmpty { workerStarted() }
        }
    }

    private func check() {
        let now = MonotonicTime.now
        let present = Set(pool.workers.values.map(\.serial))
        told = told.filter { present.contains($0.key) }
        traced = traced.filter { present.contains($0.key) }
        ended = ended.filter { present.contains($0.key) }
        terminations = terminations.filter { present.contains($0.key) }
        tracesLeft = Self.tracesAtOnce
        withUnsafeTemporaryAllocation(of: cscoreboard_slot.self, capacity: 1) { copy in
            guard let copy = copy.baseAddress else { return }
            for worker in pool.workers.values {
                guard let process = worker.namedProcess else { continue }
                _ = cscoreboard_copy(pool.scoreboard.slot(worker.slot), copy)
                check(worker, process, copy, now)
            }
        }
    }

    private func check(
        _ worker: WorkerRecord,
        _ process: ProcessID,
        _ slot: UnsafeMutablePointer<cscoreboard_slot>,
        _ now: MonotonicTime
    ) {
        let begin = MonotonicTime(nanoseconds: slot.pointee.accepted_ns)
        let elapsed = now - begin
        let stage = Scoreboard.Stage(rawValue: slot.pointee.stage) ?? .executing
        if stage == .executing, isOver(pool.settings.requestSlowLogTimeout, elapsed), tracesLeft > 0,
            traced[worker.serial] != begin.nanoseconds
        {
            traced[worker.serial] = begin.nanoseconds
            tracesLeft -= 1
            report(process, slot, "executing too slow (\(secondsText(elapsed)) sec), logging")
            let text = RequestText(slot)
            return pool.trace(process, script: text.script, request: text.request)
        }
        if stage == .executing, isOver(pool.settings.requestSoftTimeout, elapsed),
            ended[worker.serial] != begin.nanoseconds
        {
            ended[worker.serial] = begin.nanoseconds
            report(process, slot, "execution timed out (\(secondsText(elapsed)) sec), ending the script")
            _ = cepoll_end_script(process.rawValue, begin.nanoseconds)
        }
        guard isLimited(stage, of: worker, begin.nanoseconds),
            isOver(pool.settings.requestTerminateTimeout, elapsed)
        else {
            told[worker.serial] = nil
            return
        }
        if let before = told[worker.serial], before.acceptedTime == begin.nanoseconds {
            guard now - before.at >= Self.patience else { return }
            report(process, slot, "execution timed out (\(secondsText(elapsed)) sec), killing")
            pool.send(.kill, to: process)
        } else {
            told[worker.serial] = Told(acceptedTime: begin.nanoseconds, at: now)
            worker.ranOutOfTime = true
            report(process, slot, "execution timed out (\(secondsText(elapsed)) sec), terminating")
            terminate(worker, process, begin.nanoseconds)
        }
    }

    /// SIGTERM, as soon as the log has where the script is.
    private func terminate(_ worker: WorkerRecord, _ process: ProcessID, _ begin: UInt64) {
        guard pool.traceToLog(process) else {
            _ = cepoll_terminate_late(process.rawValue)
            return
        }
        terminations[worker.serial] = reactor.after(Self.tracePatience) { [weak self, weak worker] in
            guard let self, let worker else { return }
            terminations[worker.serial] = nil
            let slot = pool.scoreboard.slot(worker.slot)
            guard pool.workers[worker.slot] === worker, worker.process == process,
                cscoreboard_load_time(&slot.pointee.accepted_ns) == begin,
                isLimited(pool.scoreboard.stage(worker.slot), of: worker, begin)
            else { return }
            _ = cepoll_terminate_late(process.rawValue)
        }
    }

    /// Whole seconds count, as in php-fpm.
    private func isOver(_ timeout: Duration, _ elapsed: Duration) -> Bool {
        timeout > .zero && elapsed.components.seconds >= timeout.components.seconds
    }

    /// Whether the timeout holds: also for the shutdown functions of a script that was told to end.
    private func isLimited(_ stage: Scoreboard.Stage, of worker: WorkerRecord, _ begin: UInt64) -> Bool {
        switch stage {
        case .free, .accepting: false
        case .reading, .info, .executing: true
        case .ending, .finished:
            pool.settings.requestTerminateTimeoutTracksFinished || ended[worker.serial] == begin
        }
    }

    private func report(
        _ process: ProcessID,
        _ slot: UnsafeMutablePointer<cscoreboard_slot>,
        _ what: ByteString
    ) {
        let text = RequestText(slot)
        log.warning(
            "[pool \(pool.name)] child \(process), script '\(text.script)' (request: \"\(text.request)\") \(what)",
            text.context(pool: pool.name, worker: process)
        )
    }
}

@available(*, unavailable)
extension RequestTimeouts: Sendable {}
