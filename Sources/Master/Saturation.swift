internal import CEpoll
internal import Channel
internal import Configuration
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// What the master does for a pool whose workers are all busy, which cannot grow, and on which requests wait: it
/// accepts them itself.
///
///     ListenerWatch: settling ── all busy, cannot grow, standing ──► saturated
///                        ▲                                              │
///                        └── nothing waits, and a worker sleeps or ─────┘
///                            nothing has waited at the look before while they move,
///                            or the pool moves fast again (not with pm.max_queue, pm.queue_timeout)
///
/// It also begins where for long nobody has taken what waits, whether workers seem to sleep or there are none. Until one of
/// them begins a request again, who sleeps does not end it, but a look that again finds nothing waiting.
///
/// While a pool is saturated each connection is accepted at once, and read: the master knows how many wait and for
/// how long, answers status and ping itself, refuses what is too much or has waited too long, and drops requests
/// whose clients have gone. The workers are given what waits in the order of arrival; some of them may rest
/// (``ListenerWidth``).
///
/// A pool that moves fast does not come here: the master's part would be seen in the cost of a request.
final class Saturation {
    private static let reviewPeriod = Duration.milliseconds(20)
    private static let acceptBatch = 64

    private unowned let pool: Pool
    private let reactor: Reactor
    private let width: ListenerWidth
    private var registration: Reactor.Registration?
    private var review: Reactor.Deadline?
    private var pace = Pace(begun: 0, time: 0)
    private(set) var isActive = false
    /// How many requests had been begun, if the workers were found to take nothing.
    private var stuckAt: Int64?
    /// Nothing waited at the last review.
    private var hadNothing = false
    /// The pool moves again, or nothing waits: back to the listener's watch.
    var onEnd: () -> Void = {}

    init(pool: Pool, reactor: Reactor, width: ListenerWidth) {
        self.pool = pool
        self.width = width
        self.reactor = reactor
    }

    /// Begins to accept.
    ///
    /// - Parameters:
    ///   - begun: The look at the pool that led here.
    ///   - isStuck: Nobody has taken what waited, also none that seems to sleep.
    func begin(_ begun: Pace, isStuck: Bool) {
        guard !isActive else { return }
        isActive = true
        hadNothing = false
        pace = begun
        stuckAt = isStuck ? begun.begun : nil
        pool.saturationBegan()
        listen()
        scheduleReview()
    }

    /// Ends it; what waits goes to the workers' socket.
    func end() {
        guard isActive else { return }
        isActive = false
        registration = nil
        review = nil
        pool.saturationEnded()
    }

    /// A worker has registered with the listener: the master moves behind it.
    func workerJoined() {
        guard isActive, registration != nil else { return }
        listen()
    }

    /// Workers have taken something from the queue.
    func workerTook() {
        guard isActive, pool.queue.total == 0, someoneIsReady else { return }
        leave()
    }

    /// Somebody sleeps, and would take the next one.
    private var someoneIsReady: Bool {
        pool.idleWorkers() > 0 && pool.scoreboard.acceptedRequests() != stuckAt
    }

    private func leave() {
        end()
        onEnd()
    }

    private func listen() {
        registration = nil
        registration = try? reactor.watch(
            pool.listener.descriptor.rawValue,
            for: .readable,
            exclusive: true,
            handler: { [weak self] _ in withBoundedWaiting { self?.accept() } }
        )
    }

    private func accept() {
        for _ in 0..<Self.acceptBatch {
            // The rest waits in the backlog, where its length limits it and web servers see it.
            guard pool.hasRoomForConnections else { return registration = nil }
            let descriptor = cepoll_accept_bounded(pool.listener.descriptor.rawValue)
            guard descriptor >= 0 else {
                if currentErrno != .wouldBlock {
                    pool.reportAcceptFailure(currentErrno)
                    registration = nil
                }
                break
            }
            pool.arrive(Connection(adopting: descriptor, isLocal: !pool.listener.isTCP))
            // The reserve is for what workers give back; the next look listens again.
            if descriptor >= pool.owner.descriptorCeiling { registration = nil }
            guard registration != nil else { break }
            guard isActive else { return }
        }
        pool.publishQueue()
    }

    private func scheduleReview() {
        review = reactor.between(Self.reviewPeriod * 3 / 4, Self.reviewPeriod) { [weak self] in self?.look() }
    }

    private func look() {
        review = nil
        let now = pool.pace()
        let verdict = now.verdict(since: pace, workers: pool.policy.running)
        if verdict != .tooEarly { pace = now }
        width.look(now)
        pool.queue.socket.ahead = Self.ahead(workers: pool.policy.running)
        withBoundedWaiting { pool.queue.review() }
        let waiting = pool.queue.total
        // Where they move, a look that finds nothing may be between two requests; after a second one nobody needs the master.
        let isMoving =
            hadNothing && !pool.settings.limitsQueue
            && pool.hasBegun(within: Self.reviewPeriod / 2, before: now)
        if waiting == 0, isMoving || someoneIsReady || (hadNothing && stuckAt != nil) { return leave() }
        hadNothing = waiting == 0
        if verdict == .moving, !pool.settings.limitsQueue { return leave() }
        if waiting > pool.policy.starting { _ = pool.grow(depth: waiting) }
        if registration == nil, pool.hasRoomForConnections { listen() }
        pool.publishQueue()
        pool.reportSaturation()
        scheduleReview()
    }

    /// How many requests are put before the workers: what they can take before the master has been woken to bring more.
    ///
    /// One each, as they may all end at the same time; who finds nothing there takes the newest from the listener, and
    /// those that have waited longer wait on.
    static func ahead(workers: Int) -> Int { max(2, min(16, workers)) }
}

@available(*, unavailable)
extension Saturation: Sendable {}
