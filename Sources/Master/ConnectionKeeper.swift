internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import Logging
internal import Reactor
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// Keeps a duplicate of the connection of every request that lasts, as long as nothing of its answer has been sent: a
/// worker that is killed (by the kernel for want of memory, by an operator) can answer no more, and its client would
/// see a reset.
///
///     asleep ── a worker begins a request, and says so ──► looking ── nobody busy, nothing kept ──► asleep
///                                                             (eight times, while requests begin)
///
/// Short requests cost nothing: they are over when the master looks. While the master sleeps, the first worker that
/// begins a request wakes it with a message; then nobody needs to until it sleeps again. The worker's word for the
/// number of the descriptor is a hint: what comes must be a connected stream socket, and whatever is sent there is sent
/// for the worker's own request. Needs to be allowed to trace the worker (pidfd_getfd(2)): where that is denied, nothing
/// is kept.
///
/// A worker whose latest requests were long, or one of its pool's, or that was idle before this one, usually leaves the
/// connection where the master finds it (`Deposit`): those are not looked after. So what is left is the first long request in
/// a run of short ones.
///
/// Where workers hold connections beside the one they serve, each look also has those taken from workers that are busy for long
/// (``SharedConnections``).
final class ConnectionKeeper {
    /// Requests that are over before nobody looks after.
    private static let youngest = Duration.milliseconds(4)
    private static let period = Duration.milliseconds(8)
    /// The same while each look finds requests that are younger.
    private static let idlePeriod = Duration.milliseconds(32)
    private static let idleLooks = 4
    private static let sharedPeriod = Duration.milliseconds(4)
    private static let idleSharedPeriod = Duration.milliseconds(16)
    /// So many looks in a row that find nobody busy, while requests begin, before it sleeps: the message that wakes it costs
    /// as much as a look.
    private static let restlessLooks = 8
    /// When all that lasts is kept already.
    private static let restfulPeriod = Duration.milliseconds(100)

    private struct Kept {
        let begin: UInt64
        let requestID: UInt16
        let connection: Connection
    }

    private unowned let pool: Pool
    private let reactor: Reactor
    private var deadline: Reactor.Deadline?
    /// By serial number of the worker.
    private var kept: [Int64: Kept] = [:]
    private var isDenied = false
    /// The kernel has said whether descriptors may be fetched; other errors say nothing of the next worker.
    private var knowsPermission = false
    /// Looks in a row that found nothing to keep.
    private var vainLooks = 0
    /// The same of those that found nobody busy.
    private var emptyLooks = 0
    /// Requests that had begun at the last look.
    private var begun: Int64 = 0
    /// The last look found a worker that holds connections of which there is no duplicate.
    private var sawUnannounced = false
    /// For descriptors that are no connections: each costs a process that closes it.
    private var mistakes = Allowance(most: 5, period: .seconds(2))
    /// There were too many: nothing is taken until then.
    private var pausesUntil = MonotonicTime(nanoseconds: 0)

    init(pool: Pool, reactor: Reactor) {
        self.pool = pool
        self.reactor = reactor
    }

    /// A worker has begun a request, or there may be one that has.
    func wake() {
        guard deadline == nil, hasReason else { return }
        schedule(nextPeriod)
    }

    /// The first connection is in two hands.
    func sharingBegan() { schedule(Self.sharedPeriod) }

    /// Until the next look, when there may be a request that lasts.
    ///
    /// Where requests are short a look finds nothing to keep, and each costs the master's way into the processor's caches.
    private var nextPeriod: Duration {
        switch (hasShared, vainLooks < Self.idleLooks) {
        case (true, true): Self.sharedPeriod
        case (true, false): Self.idleSharedPeriod
        case (false, true): Self.period
        case (false, false): Self.idlePeriod
        }
    }

    private var hasShared: Bool { pool.sharedCount > 0 || sawUnannounced }
    /// Whether there is anything to look after.
    private var hasReason: Bool { !isDenied || hasShared }

    /// Goes to sleep for the first time: whoever begins a request wakes it.
    ///
    /// - Parameter process: A worker, of which the kernel is asked whether descriptors may be fetched from it.
    func begin(_ process: ProcessID) {
        if !knowsPermission { askPermission(process) }
        if deadline == nil, hasReason { sleep() }
    }

    private func askPermission(_ process: ProcessID) {
        let handle = cepoll_pidfd(process.rawValue)
        guard handle >= 0 else { return }
        defer { closeDescriptor(handle) }
        // Nobody has so many: the kernel says first whether it would be allowed.
        let descriptor = cepoll_take_descriptor(handle, .max)
        let error = currentErrno
        if descriptor >= 0 { return pool.owner.closeElsewhere(descriptor) }
        if error == .badFileDescriptor {
            knowsPermission = true
            cscoreboard_store(&pool.scoreboard.pool.pointee.fetches, 1)
        } else {
            noteDenial(error)
        }
    }

    private func noteDenial(_ error: Errno) {
        guard error == .notPermitted || error == .noFunction || error == .permissionDenied else { return }
        isDenied = true
        knowsPermission = true
        cscoreboard_store(&pool.scoreboard.pool.pointee.fetches, 0)
        pool.log.write(
            .debug,
            "[pool \(pool.name)] clients of workers that are killed get no answer: pidfd_getfd: \(describe(error))"
        )
    }

    /// A look in passing costs little: under load the master is awake every few milliseconds.
    private func schedule(_ duration: Duration) {
        deadline = reactor.between(min(duration / 2, Self.youngest), duration) { [weak self] in
            guard let self else { return }
            deadline = nil
            look()
        }
    }

    private func sleep() {
        guard hasReason else { return }
        let page = pool.scoreboard.pool
        cscoreboard_keeper_sleeps(page)
        // Who began just before that did not see it.
        if pool.workers.values.contains(where: isBusy) {
            cscoreboard_keeper_is_awake(page)
            schedule(nextPeriod)
        }
    }

    /// Whether it has a request whose connection is to be kept for it, or may hold others that wait for it.
    ///
    /// A request whose answer has begun is looked after no more, however long it goes on.
    private func isBusy(_ worker: WorkerRecord) -> Bool {
        guard worker.namedProcess != nil, pool.scoreboard.stage(worker.slot).isRunning else { return false }
        let slot = pool.scoreboard.slot(worker.slot)
        return cscoreboard_load_word(&slot.pointee.deposited) == 0
            && (hasShared || pool.hasUnannounced(worker) || !cscoreboard_pending(slot).begun)
    }

    private func look() {
        let now = MonotonicTime.now
        var seen = (busy: false, young: false)
        // To be closed together.
        var released: [Connection] = []
        sawUnannounced = !isDenied && pool.workers.values.contains(where: pool.hasUnannounced)
        for worker in pool.workers.values {
            if hasShared { pool.shared.takeFromBusy(worker, now) }
            if let connection = releaseIfOver(worker) { released.append(connection) }
            guard isBusy(worker), let process = worker.namedProcess else { continue }
            seen.busy = true
            let slot = pool.scoreboard.slot(worker.slot)
            let begin = cscoreboard_load_time(&slot.pointee.accepted_ns)
            guard kept[worker.serial] == nil, !cscoreboard_pending(slot).begun, !isDenied else { continue }
            if now - MonotonicTime(nanoseconds: begin) < Self.youngest {
                seen.young = true
            } else if now >= pausesUntil {
                take(worker, process, begin)
            }
        }
        if !released.isEmpty { withBoundedWaiting { released.removeAll() } }
        scheduleNext(seen)
    }

    /// The duplicate that is kept for a request that is over, or whose answer has begun.
    private func releaseIfOver(_ worker: WorkerRecord) -> Connection? {
        guard let known = kept[worker.serial] else { return nil }
        let slot = pool.scoreboard.slot(worker.slot)
        let isOver = !isBusy(worker) || cscoreboard_load_time(&slot.pointee.accepted_ns) != known.begin
        return isOver || cscoreboard_pending(slot).begun ? release(worker) : nil
    }

    /// The next look, or sleep.
    private func scheduleNext(_ seen: (busy: Bool, young: Bool)) {
        vainLooks = kept.isEmpty ? min(vainLooks + 1, Self.idleLooks) : 0
        emptyLooks = seen.busy ? 0 : emptyLooks + 1
        let before = begun
        begun = pool.scoreboard.acceptedRequests()
        if seen.busy, hasShared {
            schedule(Self.sharedPeriod)
        } else if isDenied {
            sleep()
        } else if seen.young || (seen.busy && kept.isEmpty) {
            schedule(nextPeriod)
        } else if seen.busy || !kept.isEmpty {
            schedule(Self.restfulPeriod)
        } else if begun != before, emptyLooks < Self.restlessLooks {
            schedule(nextPeriod)
        } else {
            emptyLooks = 0
            sleep()
        }
    }

    private func take(_ worker: WorkerRecord, _ process: ProcessID, _ begin: UInt64) {
        let slot = pool.scoreboard.slot(worker.slot)
        let pending = cscoreboard_pending(slot)
        guard pending.descriptor > 2 else { return }
        // The worker, which has not been reaped, is told before: it shuts a connection down that is kept here, or it is
        // seen below that it is done with it.
        cscoreboard_keep(slot, begin)
        guard let connection = fetch(pending.descriptor, of: process) else {
            return cscoreboard_keep(slot, 0)
        }
        let after = cscoreboard_pending(slot)
        guard cscoreboard_load_time(&slot.pointee.accepted_ns) == begin,
            after.descriptor == pending.descriptor, after.request_id == pending.request_id, !after.begun
        else {
            cscoreboard_keep(slot, 0)
            return
        }
        kept[worker.serial] = Kept(begin: begin, requestID: pending.request_id, connection: connection)
    }

    /// A duplicate of a connection that a worker has by its own word; nil if that is none, or may not be had, or few descriptors
    /// are left: they are for connections that nobody else has.
    func fetch(_ number: CInt, of process: ProcessID) -> Connection? {
        guard !isDenied, number > 2, MonotonicTime.now >= pausesUntil else { return nil }
        let handle = cepoll_pidfd(process.rawValue)
        let descriptor = handle < 0 ? -1 : cepoll_take_descriptor(handle, number)
        let error = currentErrno
        if handle >= 0 { closeDescriptor(handle) }
        guard descriptor >= 0 else {
            noteDenial(error)
            return nil
        }
        if let connection = Connection(checking: descriptor) {
            return descriptor < pool.owner.descriptorCeiling ? connection : nil
        }
        let now = MonotonicTime.now
        if !mistakes.take(at: now) { pausesUntil = now + .seconds(2) }
        pool.owner.closeElsewhere(descriptor)
        return nil
    }

    /// The worker's request is over, or its connection is somebody else's.
    ///
    /// - Returns: The duplicate, to be closed.
    @discardableResult
    func release(_ worker: WorkerRecord) -> Connection? {
        guard let kept = kept.removeValue(forKey: worker.serial) else { return nil }
        cscoreboard_keep(pool.scoreboard.slot(worker.slot), 0)
        return kept.connection
    }

    /// A worker has died: its client gets an answer, if nothing has been sent.
    ///
    /// - Parameters:
    ///   - worker: Whose slot still says what it owes.
    ///   - tookTooLong: It was killed because its request did.
    /// - Returns: The connection of the request in which it died, if the answer was sent here.
    func workerDied(_ worker: WorkerRecord, tookTooLong: Bool) -> Connection? {
        let slot = pool.scoreboard.slot(worker.slot)
        let pending = cscoreboard_pending(slot)
        let begin = cscoreboard_load_time(&slot.pointee.accepted_ns)
        let kept = kept.removeValue(forKey: worker.serial)
        let shared = pool.takeBusyConnection(of: worker)
        let left = worker.deposit?.open { pool.owner.closeElsewhere($0) }
        worker.deposit = nil
        guard !pending.begun, pending.descriptor >= 0 else { return nil }
        let isKept = kept.map { $0.begin == begin && $0.requestID == pending.request_id } ?? false
        guard let connection = isKept ? kept?.connection : shared ?? left else { return nil }
        let bytes = LostRequest.response(requestID: pending.request_id, tookTooLong: tookTooLong)
        // There is room: nothing has been sent on it.
        _ = bytes.withUnsafeBytes { try? Syscalls.send(connection.rawValue, $0) }
        return connection
    }

    /// The workers are those of the image before this one, which has let go of all duplicates.
    func beginAfterTakeover() {
        for worker in pool.workers.values { cscoreboard_keep(pool.scoreboard.slot(worker.slot), 0) }
        schedule(Self.period)
    }
}

@available(*, unavailable)
extension ConnectionKeeper: Sendable {}
