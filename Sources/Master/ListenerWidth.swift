internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls

/// Has a pool's surplus workers rest while its requests compute: see ``ListeningWidth``.
///
/// A worker that rests is not registered with the listener; it still serves the connection it holds, and if requests are
/// short it takes what the master puts into the pool's queue. It is told in its page of the scoreboard, where it looks
/// before it sleeps: to rest needs no message, and who is woken meanwhile just serves once more. To listen again it is
/// woken.
final class ListenerWidth {
    private unowned let pool: Pool
    private var policy = ListeningWidth()
    private var lastLook = MonotonicTime(nanoseconds: 0)
    /// Nobody has waited for this long.
    private static let quiet = Duration.seconds(1)

    init(pool: Pool) { self.pool = pool }

    /// Whether workers rest.
    var isNarrow: Bool { policy.isNarrow }

    /// How many of those that do not rest have no request.
    var idleWorkers: Int { isNarrow ? idleListeners : pool.idleWorkers() }

    /// How many workers take connections now.
    var workerCount: Int {
        isNarrow ? min(pool.policy.running, Int(cepoll_processors())) : pool.policy.running
    }

    /// Looks at the pool, on whose listener connections wait.
    func look(_ pace: Pace) {
        // The number that waits is to be known at once.
        guard !pool.settings.limitsQueue else { return }
        lastLook = MonotonicTime(nanoseconds: pace.time)
        var takers = 0
        var listening = 0
        var oldest: UInt64 = 0
        for worker in pool.workers.values where worker.namedProcess != nil {
            if takes(worker) { takers += 1 }
            guard policy.isNarrow, !rests(worker) else { continue }
            if takes(worker) { listening += 1 }
            oldest = max(oldest, age(of: worker, at: pace.time))
        }
        let processors = Int(cepoll_processors())
        let decision = policy.observe(
            pace,
            oldest: oldest,
            waiting: { waitingCount() },
            work: { work() },
            workers: takers,
            processors: processors,
            longest: answersAtOnce ? ListeningWidth.shortRequest : ListeningWidth.computingRequest
        )
        switch decision {
        case .stay: if policy.isNarrow, listening != processors { balance() }
        case .narrow: balance()
        case .widen: wakeAll()
        }
    }

    private func work() -> ListeningWidth.Work {
        var work = ListeningWidth.Work(processorTime: 0, squares: 0)
        for worker in pool.workers.values {
            guard let process = worker.process else { continue }
            work.processorTime &+= cepoll_processor_time(process.rawValue)
            work.squares += Double(cscoreboard_load(&pool.scoreboard.slot(worker.slot).pointee.work_squares))
        }
        return work
    }

    /// Nothing waits at the listener.
    func nothingWaits() { policy.nothingWaits() }

    /// Once a second: without load all workers listen, so that one of them takes a connection beside a long request at once.
    func tick() {
        if policy.isNarrow, MonotonicTime.now - lastLook > Self.quiet { widen() }
    }

    /// The master accepts for the workers, and those that rest from the listener only are to have something to do.
    func saturationBegins() {
        if !policy.isOfLongRequests { widen() }
    }

    /// All workers listen again.
    func widen() {
        guard policy.isNarrow else { return }
        policy.reset()
        wakeAll()
    }

    /// Workers have come or gone: as many listen as before.
    func balance() {
        guard policy.isNarrow else { return }
        let wanted = Int(cepoll_processors())
        // The oldest go on listening.
        let takers = pool.workers.values.filter(takes).sorted { $0.serial < $1.serial }
        for (place, worker) in takers.enumerated() {
            if place < wanted {
                wake(worker)
            } else {
                let what = policy.isOfLongRequests ? CSCOREBOARD_RESTS_FROM_ALL : CSCOREBOARD_RESTS
                cscoreboard_rest(pool.scoreboard.slot(worker.slot), what)
            }
        }
    }

    /// The workers are those of the image before this one, which may have had some rest.
    func beginAfterTakeover() { wakeAll() }

    /// Whether it takes connections, and will go on doing so.
    private func takes(_ worker: WorkerRecord) -> Bool { worker.isReady && !worker.isRetiring }

    private func rests(_ worker: WorkerRecord) -> Bool {
        cscoreboard_resting_of(pool.scoreboard.slot(worker.slot)) != CSCOREBOARD_LISTENS
    }

    /// Status and ping are not to wait behind requests that compute for long: the master answers them where all workers are
    /// busy, and none rest.
    private var answersAtOnce: Bool { pool.settings.statusPath != nil || pool.settings.pingPath != nil }

    /// How many workers that listen have a request and sleep.
    private func waitingCount() -> Int {
        pool.workers.values.lazy
            .filter { $0.namedProcess != nil && !self.rests($0) && self.age(of: $0, at: .max) > 0 }
            .prefix(ListeningWidth.mostAsked)
            .count { $0.namedProcess.map { cepoll_process_sleeps($0.rawValue) } ?? false }
    }

    /// How many workers that listen have no request, of a narrow pool.
    private var idleListeners: Int {
        pool.workers.values.count {
            takes($0) && !rests($0) && pool.scoreboard.stage($0.slot) == .accepting
        }
    }

    /// Whether the pool may be about to become narrow.
    func isUndecided(at time: UInt64) -> Bool {
        !pool.settings.limitsQueue && !answersAtOnce && policy.isUndecided(at: time)
    }

    /// Until the next look at a narrow pool; nil: it is wide.
    func pause(at time: UInt64) -> Duration? {
        isNarrow ? .nanoseconds(Int64(clamping: policy.pause(at: time))) : nil
    }

    private func age(of worker: WorkerRecord, at time: UInt64) -> UInt64 {
        guard pool.scoreboard.stage(worker.slot).isServing else { return 0 }
        let begin = cscoreboard_load_time(&pool.scoreboard.slot(worker.slot).pointee.accepted_ns)
        return time > begin ? time - begin : 0
    }

    private func wakeAll() { for worker in pool.workers.values { wake(worker) } }

    private func wake(_ worker: WorkerRecord) {
        guard rests(worker) else { return }
        cscoreboard_rest(pool.scoreboard.slot(worker.slot), CSCOREBOARD_LISTENS)
        // Who is busy looks before it sleeps; who cannot be sent a message has one to read.
        if pool.scoreboard.stage(worker.slot) == .accepting { _ = try? worker.channel.send(Message(.listen)) }
    }
}

@available(*, unavailable)
extension ListenerWidth: Sendable {}
