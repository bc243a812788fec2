internal import CScoreboard
internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls

/// The master's counts of a pool's queue, and what the log says about it.
struct QueueFigures {
    /// A saturation that has lasted for so long is worth a line.
    private static let worthALine = Duration.seconds(1)
    /// A worker that has slept for so long while requests wait is worth a word.
    private static let worthAWord = Duration.milliseconds(100)
    /// Most workers that are named.
    private static let mostNamed = 8

    var passed: Int64 = 0
    var rejected: Int64 = 0
    var expired: Int64 = 0
    var abandoned: Int64 = 0
    var waitMicroseconds: Int64 = 0
    /// Of those served; what the pool's page shows.
    var wait = cscoreboard_histogram()
    private(set) var saturations: Int64 = 0
    /// When the saturation began that holds now.
    private(set) var since: MonotonicTime?
    /// Most requests that waited in it.
    var most = 0
    private var longest = Duration.zero
    private var isReported = false
    private var saturationReports = RepeatedEvent(saidEvery: .seconds(60))
    private var refusalReports = RepeatedEvent(saidEvery: .seconds(60))
    private var refusalsReported: Int64 = 0

    mutating func saturationBegan() {
        saturations += 1
        since = MonotonicTime.now
        most = 0
        longest = .zero
        isReported = false
    }

    /// A worker got a request that had waited.
    mutating func passed(after wait: Duration) {
        passed += 1
        longest = max(longest, wait)
        let micros = Int64(clamping: wait.nanoseconds / 1000)
        waitMicroseconds &+= micros
        cscoreboard_record(&self.wait, micros)
    }

    mutating func saturationEnded(pool: Pool) {
        guard let since else { return }
        self.since = nil
        guard isReported else { return }
        pool.owner.log.notice(
            "[pool \(pool.name)] no longer saturated after \(tenthsText(MonotonicTime.now - since)): at most \(counted(most, "request", "requests")) waited, those served for up to \(tenthsText(longest))",
            .pool(pool.name)
        )
    }

    /// Says what the workers are doing: once in a saturation, and not more often than once a minute.
    mutating func report(pool: Pool) {
        let now = MonotonicTime.now
        guard let since, !isReported, now - since >= Self.worthALine, pool.queue.total > 0 else { return }
        guard saturationReports.happened(at: now) != nil else { return }
        isReported = true
        let oldest = MonotonicTime(nanoseconds: pool.queue.oldestArrival)
        // While requests begin, who sleeps rests, or is about to take one, as is who has just ended one.
        let isMoving = pool.hasBegun(within: Self.worthALine, before: pool.pace())
        let asleep = isMoving ? [] : pool.sleepers().filter { pool.idleTime($0, now) >= Self.worthAWord }
        // Those that are under way are none: their zygote may hang.
        let there = min(pool.watch.width.workerCount, pool.policy.running - pool.policy.starting)
        let awake = max(0, there - asleep.count)
        let busy = counted(awake, "worker is busy", "workers are busy")
        let waiting = counted(pool.queue.total, "request waits", "requests wait")
        pool.owner.log.notice(
            "[pool \(pool.name)] saturated: \(busy), \(waiting), the first for \(tenthsText(now - oldest))",
            .pool(pool.name)
        )
        describeWorkers(of: pool, now)
        guard !asleep.isEmpty else { return }
        let some = asleep.prefix(Self.mostNamed).compactMap { $0.namedProcess.map { "\($0)" } }
        pool.owner.log.warning(
            "[pool \(pool.name)] saturated: \(counted(asleep.count, "worker sleeps and takes nothing, as if it had", "workers sleep and take nothing, as if they had")) been stopped (SIGSTOP; kill -CONT lets go on): \(some.joined(separator: ", "))\(asleep.count > some.count ? ", …" : "")",
            .pool(pool.name)
        )
    }

    private func describeWorkers(of pool: Pool, _ now: MonotonicTime) {
        var busy: [(begin: MonotonicTime, worker: WorkerRecord)] = []
        for worker in pool.workers.values where pool.scoreboard.stage(worker.slot) != .accepting {
            let begin = cscoreboard_load_time(&pool.scoreboard.slot(worker.slot).pointee.accepted_ns)
            busy.append((MonotonicTime(nanoseconds: begin), worker))
        }
        busy.sort { $0.begin < $1.begin }
        for (begin, worker) in busy.prefix(Self.mostNamed) {
            guard let process = worker.namedProcess else { continue }
            let text = RequestText(of: pool.scoreboard.slot(worker.slot))
            pool.owner.log.notice(
                "[pool \(pool.name)] saturated: child \(process) since \(tenthsText(now - begin)), script '\(text.script)' (request: \"\(text.request)\")",
                text.context(pool: pool.name, worker: process)
            )
        }
        guard busy.count > Self.mostNamed else { return }
        let others = counted(busy.count - Self.mostNamed, "more worker is busy", "more workers are busy")
        pool.owner.log.notice(
            "[pool \(pool.name)] saturated: \(others), for less time",
            .pool(pool.name)
        )
    }

    /// Says that requests are refused, not more often than once a minute.
    mutating func reportRefusals(pool: Pool) {
        guard refusalReports.happened(at: MonotonicTime.now) != nil else { return }
        let fresh = rejected + expired - refusalsReported
        refusalsReported = rejected + expired
        pool.owner.log.warning(
            "[pool \(pool.name)] requests are refused with 503, \(fresh) since this was said last: \(rejected) in all because pm.max_queue (\(pool.settings.maxQueue)) was reached, \(expired) because of pm.queue_timeout (\(pool.settings.queueTimeout.components.seconds)s)",
            .pool(pool.name)
        )
    }
}
