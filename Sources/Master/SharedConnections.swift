internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Scoreboard
internal import Syscalls

/// Duplicates of connections that the workers of one pool hold idle beside others.
///
///     shared ── the worker closes it, or gives it away ──► closed here
///        └── the worker is busy for long, or dies ──► taken: parked like those that no worker has
///
/// There are no duplicates of those that are *unannounced*, and the master does not count them: they are fetched when they have
/// to be taken, and close with a worker that dies.
///
/// The worker's word about a place in its page decides who has the connection, and can cost nobody but its own pool's
/// clients. At most `CSCOREBOARD_PLACES` for each worker; those of which there are duplicates count among the pool's connections.
final class SharedConnections {
    private struct Shared {
        let sharing: UInt32
        let acceptedTime: UInt64
        let flags: Message.Flags
        let connection: Connection
    }

    /// A worker that is busy for so long is not to keep others than the one it serves waiting: the shorter time if it waits
    /// for anything but a processor.
    private static let patience = (short: Duration.milliseconds(4), long: Duration.milliseconds(15))

    private unowned let pool: Pool
    /// By serial number of the worker, and place.
    private var shared: [Int64: [UInt32: Shared]] = [:]
    private(set) var count = 0
    private var latestSharing: UInt32 = 0

    init(pool: Pool) { self.pool = pool }

    /// Takes a duplicate; false if that is no place.
    func add(_ connection: Connection, _ message: Message, of worker: WorkerRecord) -> Bool {
        guard message.slot < UInt32(CSCOREBOARD_OWN_PLACES), let sharing = UInt32(exactly: message.serial),
            sharing <= UInt32(CSCOREBOARD_LAST_SHARING)
        else { return false }
        remove(message.slot, of: worker)
        shared[worker.serial, default: [:]][message.slot] = Shared(
            sharing: sharing,
            // Its word: a moment that has not come yet would never grow old.
            acceptedTime: max(1, min(message.value, MonotonicTime.now.nanoseconds)),
            flags: message.flags.intersection([.keptAlive, .peerChecked]),
            connection: connection
        )
        count += 1
        if !pool.hasRoomForConnections || connection.rawValue >= pool.owner.descriptorCeiling {
            take(message.slot, from: worker)
        }
        return true
    }

    /// Gives an idle connection to a worker that is awake, and keeps a duplicate; false if it cannot have it.
    func give(_ connection: Connection, acceptedTime: UInt64, to worker: WorkerRecord) -> Bool {
        let places = UInt32(CSCOREBOARD_OWN_PLACES)..<UInt32(CSCOREBOARD_PLACES)
        guard let place = places.first(where: { shared[worker.serial]?[$0] == nil }) else { return false }
        latestSharing = (latestSharing + 1) & UInt32(CSCOREBOARD_LAST_SHARING)
        let one = Shared(
            sharing: latestSharing,
            acceptedTime: acceptedTime,
            flags: [.keptAlive, .peerChecked],
            connection: connection
        )
        let page = pool.scoreboard.slot(worker.slot)
        cscoreboard_set_place(page, place, one.sharing, CSCOREBOARD_IDLE)
        let message = Message(
            .serve,
            flags: one.flags,
            slot: place,
            serial: Int64(one.sharing),
            value: acceptedTime
        )
        guard case .bytes? = try? worker.channel.send(message, descriptors: [connection.rawValue]) else {
            cscoreboard_set_place(page, place, 0, CSCOREBOARD_NOTHING)
            return false
        }
        shared[worker.serial, default: [:]][place] = one
        count += 1
        return true
    }

    /// The worker has closed the connection, or given it away.
    func end(_ message: Message, of worker: WorkerRecord) {
        guard let one = shared[worker.serial]?[message.slot], Int64(one.sharing) == message.serial else {
            return
        }
        remove(message.slot, of: worker)
    }

    /// Takes what a worker holds beside the request that it has been busy with for long: others serve that.
    func takeFromBusy(_ worker: WorkerRecord, _ now: MonotonicTime) {
        guard shared[worker.serial] != nil || pool.hasUnannounced(worker),
            pool.scoreboard.stage(worker.slot).isServing, let process = worker.namedProcess
        else { return }
        let begin = cscoreboard_load_time(&pool.scoreboard.slot(worker.slot).pointee.accepted_ns)
        let age = now - MonotonicTime(nanoseconds: begin)
        guard age >= Self.patience.short,
            age >= Self.patience.long || cepoll_process_sleeps(process.rawValue)
        else { return }
        takeIdle(from: worker)
        takeUnannounced(from: worker)
    }

    /// Takes what the worker has not begun to serve.
    func takeIdle(from worker: WorkerRecord) {
        guard let places = shared[worker.serial] else { return }
        for place in places.keys.sorted() { take(place, from: worker, sparesBusy: true) }
    }

    /// Takes what has something to read though its worker seems to sleep: it has been stopped, or does not look.
    func takeUnattended(from worker: WorkerRecord) {
        // A moment after it had gone to sleep it would have announced them.
        takeUnannounced(from: worker)
        guard let places = shared[worker.serial] else { return }
        for (place, one) in places where cepoll_poll_one(one.connection.rawValue, UInt32(CEPOLL_IN), 0) > 0 {
            take(place, from: worker, sparesBusy: true)
        }
    }

    /// Takes the connection that a worker was serving when it ended.
    func takeBusy(from worker: WorkerRecord) -> Connection? {
        let page = pool.scoreboard.slot(worker.slot)
        let busy = shared[worker.serial]?.first { place, one in
            cscoreboard_change_place(page, place, one.sharing, CSCOREBOARD_BUSY, CSCOREBOARD_TAKEN)
        }
        guard let (place, one) = busy else { return nil }
        remove(place, of: worker)
        return one.connection
    }

    /// The worker has ended: what it was not serving goes on.
    func workerEnded(_ worker: WorkerRecord) {
        guard let places = shared[worker.serial] else { return }
        for place in places.keys.sorted() { take(place, from: worker) }
    }

    /// Leaves no duplicate here.
    func takeAll() {
        for worker in pool.workers.values { workerEnded(worker) }
    }

    /// Whoever changes the place first has the connection.
    private func take(_ place: UInt32, from worker: WorkerRecord, sparesBusy: Bool = false) {
        guard let one = shared[worker.serial]?[place] else { return }
        let page = pool.scoreboard.slot(worker.slot)
        let isIdle = cscoreboard_change_place(
            page,
            place,
            one.sharing,
            CSCOREBOARD_IDLE,
            CSCOREBOARD_TAKEN
        )
        if !isIdle, sparesBusy { return }
        remove(place, of: worker)
        if isIdle {
            cscoreboard_shared_were_taken(page)
            pool.park(
                one.connection,
                flags: one.flags,
                acceptedTime: one.acceptedTime,
                bytes: []
            )
        } else {
            // The worker keeps it alone when it has served it.
            _ = cscoreboard_change_place(page, place, one.sharing, CSCOREBOARD_BUSY, CSCOREBOARD_TAKEN)
        }
    }

    /// Takes those that the worker has not begun to serve.
    ///
    /// Who finds the place unchanged after the descriptor has been fetched has fetched that of the connection in it.
    private func takeUnannounced(from worker: WorkerRecord) {
        guard pool.hasUnannounced(worker), let process = worker.namedProcess else { return }
        let page = pool.scoreboard.slot(worker.slot)
        for place in 0..<UInt32(CSCOREBOARD_OWN_PLACES) where shared[worker.serial]?[place] == nil {
            let one = cscoreboard_unannounced_in(page, place)
            guard one.is_idle, let connection = pool.keeper.fetch(one.descriptor, of: process),
                cscoreboard_change_place(page, place, one.sharing, CSCOREBOARD_IDLE, CSCOREBOARD_TAKEN)
            else { continue }
            cscoreboard_shared_were_taken(page)
            pool.park(
                connection,
                flags: [.keptAlive, .peerChecked],
                acceptedTime: MonotonicTime.now.nanoseconds,
                bytes: []
            )
        }
    }

    private func remove(_ place: UInt32, of worker: WorkerRecord) {
        guard shared[worker.serial]?.removeValue(forKey: place) != nil else { return }
        count -= 1
        if shared[worker.serial]?.isEmpty == true { shared[worker.serial] = nil }
    }
}

@available(*, unavailable)
extension SharedConnections: Sendable {}
