internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls

/// Has a pool's surplus workers rest while its requests are short: see ``ListeningWidth``.
///
/// A worker that rests is not registered with the listener; it still takes what the master puts into the pool's queue,
/// and serves the connection it holds. It is told in its page of the scoreboard, where it looks before it sleeps: to
/// rest needs no message, and who is woken meanwhile just serves once more. To listen again it is woken.
final class ListenerWidth {
    private unowned let pool: Pool
    private var policy = ListeningWidth()
    private var lastLook = MonotonicTime(nanoseconds: 0)
    /// Nobody has waited for this long.
    private static let quiet = Duration.seconds(1)

    init(pool: Pool) { self.pool = pool }

    /// Whether workers rest.
    var isNarrow: Bool { policy.isNarrow }

    /// Looks at the pool, on whose listener connections wait.
    func look(_ pace: Pace) {
        // The number that waits is to be known at once.
        guard !pool.settings.limitsQueue else { return }
        lastLook = MonotonicTime(nanoseconds: pace.time)
        let workers = listening
        var processorTime: UInt64 = 0
        var oldest: UInt64 = 0
        for worker in pool.workers.values {
            guard let process = worker.process else { continue }
            processorTime &+= cepoll_processor_time(process.rawValue)
            if policy.isNarrow, !rests(worker) { oldest = max(oldest, age(of: worker, at: pace.time)) }
        }
        let decision = policy.observe(
            ListeningWidth.Look(pace: pace, processorTime: processorTime),
            oldest: oldest,
            waits: { hasWaiting() },
            workers: workers.count,
            processors: Int(cepoll_processors())
        )
        switch decision {
        case .stay: if policy.isNarrow { balance() }
        case .narrow: balance()
        case .widen: wakeAll()
        }
    }

    /// Nothing waits at the listener.
    func nothingWaits() { policy.nothingWaits() }

    /// Once a second: without load all workers listen, so that one of them takes a connection beside a long request at once.
    func tick() {
        if policy.isNarrow, MonotonicTime.now - lastLook > Self.quiet { widen() }
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
        for (place, worker) in listening.enumerated() {
            if place < wanted {
                wake(worker)
            } else {
                cscoreboard_rest(pool.scoreboard.slot(worker.slot), true)
            }
        }
    }

    /// The workers are those of the image before this one, which may have had some rest.
    func beginAfterTakeover() { wakeAll() }

    /// Those that take connections, the oldest first.
    private var listening: [WorkerRecord] {
        pool.workers.values.filter { $0.isReady && !$0.isRetiring }.sorted { $0.serial < $1.serial }
    }

    private func rests(_ worker: WorkerRecord) -> Bool {
        cscoreboard_rests(pool.scoreboard.slot(worker.slot))
    }

    /// Whether a worker that listens has a request and sleeps.
    private func hasWaiting() -> Bool {
        pool.workers.values.contains { worker in
            guard let process = worker.process, !rests(worker), age(of: worker, at: .max) > 0 else {
                return false
            }
            return cepoll_process_sleeps(process.rawValue)
        }
    }

    private func age(of worker: WorkerRecord, at time: UInt64) -> UInt64 {
        switch pool.scoreboard.stage(worker.slot) {
        case .free, .accepting: return 0
        case .reading, .info, .executing, .ending, .finished: break
        }
        let begin = cscoreboard_load_time(&pool.scoreboard.slot(worker.slot).pointee.accepted_ns)
        return time > begin ? time - begin : 0
    }

    private func wakeAll() { for worker in pool.workers.values { wake(worker) } }

    private func wake(_ worker: WorkerRecord) {
        guard rests(worker) else { return }
        cscoreboard_rest(pool.scoreboard.slot(worker.slot), false)
        // Who is busy looks before it sleeps; who cannot be sent a message has one to read.
        if pool.scoreboard.stage(worker.slot) == .accepting { _ = try? worker.channel.send(Message(.listen)) }
    }
}

@available(*, unavailable)
extension ListenerWidth: Sendable {}
