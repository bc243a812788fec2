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
/// A worker whose latest requests were long, or that was idle before this one, leaves the connection where the master
/// finds it (`Deposit`): those are not looked after. So what is left is long requests that come in a run of short ones.
final class ConnectionKeeper {
    /// Requests that are over before nobody looks after.
    private static let youngest = Duration.milliseconds(8)
    private static let period = Duration.milliseconds(8)
    /// The same while each look finds requests that are younger.
    private static let idlePeriod = Duration.milliseconds(32)
    private static let idleLooks = 4
    /// A worker that is busy for so long is not to keep others than the one it serves waiting: the shorter time if it waits
    /// for anything but a processor.
    private static let sharedPatience = (short: Duration.milliseconds(4), long: Duration.milliseconds(15))
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
    /// Looks in a row that found nothing to keep.
    private var vainLooks = 0
    /// The same of those that found nobody busy.
    private var emptyLooks = 0
    /// Requests that had begun at the last look.
    private var begun: Int64 = 0
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

    private var hasShared: Bool { pool.sharedCount > 0 }
    /// Whether there is anything to look after.
    private var hasReason: Bool { !isDenied || hasShared }

    /// Goes to sleep for the first time: whoever begins a request wakes it.
    func begin() {
        if deadline == nil, hasReason { sleep() }
    }

    private func schedule(_ duration: Duration) {
        deadline = reactor.between(duration / 2, duration) { [weak self] in
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

    /// Whether it has a request whose connection is to be kept for it.
    private func isBusy(_ worker: WorkerRecord) -> Bool {
        worker.namedProcess != nil && isRunning(pool.scoreboard.stage(worker.slot))
            && cscoreboard_load_word(&pool.scoreboard.slot(worker.slot).pointee.deposited) == 0
    }

    private func isRunning(_ stage: Scoreboard.Stage) -> Bool {
        switch stage {
        case .free, .accepting, .reading: false
        case .info, .executing, .ending, .finished: true
        }
    }

    private func look() {
        let now = MonotonicTime.now
        var isYoung = false
        var hasBusy = false
        // To be closed together.
        var released: [Connection] = []
        for worker in pool.workers.values {
            if hasShared { takeShared(from: worker, now) }
            guard isBusy(worker), let process = worker.namedProcess else {
                if let connection = release(worker) { released.append(connection) }
                continue
            }
            hasBusy = true
            let slot = pool.scoreboard.slot(worker.slot)
            let begin = cscoreboard_load_time(&slot.pointee.accepted_ns)
            if let known = kept[worker.serial], known.begin != begin || cscoreboard_pending(slot).begun,
                let connection = release(worker)
            {
                released.append(connection)
            }
            guard kept[worker.serial] == nil, !cscoreboard_pending(slot).begun, !isDenied else { continue }
            if now - MonotonicTime(nanoseconds: begin) < Self.youngest {
                isYoung = true
            } else if now >= pausesUntil {
                take(worker, process, begin)
            }
        }
        if !released.isEmpty { withBoundedWaiting { released.removeAll() } }
        vainLooks = kept.isEmpty ? min(vainLooks + 1, Self.idleLooks) : 0
        emptyLooks = hasBusy ? 0 : emptyLooks + 1
        let before = begun
        begun = pool.scoreboard.acceptedRequests()
        if hasBusy, hasShared {
            schedule(Self.sharedPeriod)
        } else if isDenied {
            sleep()
        } else if isYoung || (hasBusy && kept.isEmpty) {
            schedule(nextPeriod)
        } else if hasBusy || !kept.isEmpty {
            schedule(Self.restfulPeriod)
        } else if begun != before, emptyLooks < Self.restlessLooks {
            schedule(nextPeriod)
        } else {
            emptyLooks = 0
            sleep()
        }
    }

    /// What a worker holds beside the request that it has been busy with for long is served by others.
    private func takeShared(from worker: WorkerRecord, _ now: MonotonicTime) {
        let stage = pool.scoreboard.stage(worker.slot)
        guard stage == .reading || isRunning(stage), let process = worker.namedProcess else { return }
        let begin = cscoreboard_load_time(&pool.scoreboard.slot(worker.slot).pointee.accepted_ns)
        let age = now - MonotonicTime(nanoseconds: begin)
        guard age >= Self.sharedPatience.short,
            age >= Self.sharedPatience.long || cepoll_process_sleeps(process.rawValue)
        else { return }
        pool.shared.takeIdle(from: worker)
    }

    private func take(_ worker: WorkerRecord, _ process: ProcessID, _ begin: UInt64) {
        let slot = pool.scoreboard.slot(worker.slot)
        let pending = cscoreboard_pending(slot)
        guard pending.descriptor > 2 else { return }
        // The worker, which has not been reaped, is told before: it shuts a connection down that is kept here, or it is
        // seen below that it is done with it.
        cscoreboard_keep(slot, begin)
        let handle = cepoll_pidfd(process.rawValue)
        let descriptor = handle < 0 ? -1 : cepoll_take_descriptor(handle, pending.descriptor)
        let error = currentErrno
        if handle >= 0 { closeDescriptor(handle) }
        guard descriptor >= 0 else {
            cscoreboard_keep(slot, 0)
            if error == .notPermitted || error == .noFunction || error == .permissionDenied {
                isDenied = true
                pool.log.write(
                    .debug,
                    "[pool \(pool.name)] clients of workers that are killed get no answer: pidfd_getfd: \(describe(error))"
                )
            }
            return
        }
        let stream = cepoll_stream(descriptor)
        guard stream != CEPOLL_NO_STREAM else {
            cscoreboard_keep(slot, 0)
            let now = MonotonicTime.now
            if !mistakes.take(at: now) { pausesUntil = now + .seconds(2) }
            return pool.owner.closeElsewhere(descriptor)
        }
        let connection = Connection(adopting: descriptor, isLocal: stream == CEPOLL_LOCAL_STREAM)
        // Few descriptors are left: they are for connections that nobody else has.
        guard descriptor < pool.owner.descriptorCeiling else { return cscoreboard_keep(slot, 0) }
        let after = cscoreboard_pending(slot)
        guard cscoreboard_load_time(&slot.pointee.accepted_ns) == begin,
            after.descriptor == pending.descriptor, after.request_id == pending.request_id, !after.begun
        else {
            cscoreboard_keep(slot, 0)
            return
        }
        kept[worker.serial] = Kept(begin: begin, requestID: pending.request_id, connection: connection)
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
    /// `tookTooLong`: it was killed because its request did.
    func workerDied(_ worker: WorkerRecord, tookTooLong: Bool) {
        let slot = pool.scoreboard.slot(worker.slot)
        let pending = cscoreboard_pending(slot)
        let begin = cscoreboard_load_time(&slot.pointee.accepted_ns)
        let kept = kept.removeValue(forKey: worker.serial)
        let shared = pool.takeBusyConnection(of: worker)
        let left = openDeposit(of: worker)
        guard !pending.begun, pending.descriptor >= 0 else { return }
        let isKept = kept.map { $0.begin == begin && $0.requestID == pending.request_id } ?? false
        guard let connection = isKept ? kept?.connection : shared ?? left else { return }
        let bytes = LostRequest.response(requestID: pending.request_id, tookTooLong: tookTooLong)
        // There is room: nothing has been sent on it.
        _ = bytes.withUnsafeBytes { try? Syscalls.send(connection.rawValue, $0) }
    }

    /// What a dead worker has left.
    ///
    /// Its word, like the descriptor's number; usually nothing.
    private func openDeposit(of worker: WorkerRecord) -> Connection? {
        let (connection, rest) = open(worker.deposit)
        // Not the last to close it, if there is more in it.
        worker.deposit = nil
        if rest >= 0 { pool.owner.closeElsewhere(rest) }
        return connection
    }

    /// The first that is in a deposit, and a duplicate of that if there is more, or -1: each of those might make closing it wait.
    private func open(_ deposit: MessageSocket?) -> (Connection?, rest: CInt) {
        guard let deposit else { return (nil, -1) }
        return withUnsafeTemporaryAllocation(byteCount: Message.length, alignment: 8) { buffer in
            var first: Connection?
            switch try? deposit.receive(into: buffer) {
            case .message(let message, _, let descriptors, _): first = connection(in: message, descriptors)
            case .malformed(let descriptors), .descriptorsLost(let descriptors):
                for descriptor in descriptors { pool.owner.closeElsewhere(descriptor) }
            case .wouldBlock, .closed, nil: break
            }
            guard case .bytes? = try? Syscalls.receive(deposit.descriptor, into: buffer, peek: true) else {
                return (first, -1)
            }
            return (first, cepoll_duplicate(deposit.descriptor))
        }
    }

    private func connection(in message: Message, _ descriptors: [CInt]) -> Connection? {
        if message.kind == .deposited, descriptors.count == 1 {
            switch cepoll_stream(descriptors[0]) {
            case CEPOLL_NO_STREAM: break
            case let kind: return Connection(adopting: descriptors[0], isLocal: kind == CEPOLL_LOCAL_STREAM)
            }
        }
        for descriptor in descriptors { pool.owner.closeElsewhere(descriptor) }
        return nil
    }

    /// The workers are those of the image before this one, which has let go of all duplicates.
    func beginAfterTakeover() {
        for worker in pool.workers.values { cscoreboard_keep(pool.scoreboard.slot(worker.slot), 0) }
        schedule(Self.period)
    }
}

/// The answer to a request whose worker is dead.
enum LostRequest {
    /// The records of a 500, or of a 504 for a request that took too long.
    static func response(requestID: UInt16, tookTooLong: Bool) -> [UInt8] {
        let status = tookTooLong ? "504 Gateway Timeout" : "500 Internal Server Error"
        let text = tookTooLong ? "The script took too long." : "The script ended unexpectedly."
        let page = "Status: \(status)\r\nContent-type: text/html; charset=UTF-8\r\n\r\n\(text)\n"
        return framedResponse(Array(page.utf8), requestID: requestID)
    }
}

@available(*, unavailable)
extension ConnectionKeeper: Sendable {}
