internal import CEpoll
internal import CPHP
internal import CScoreboard
public import Channel
internal import Configuration
internal import Glibc
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// A worker process: takes connections, serves one request at a time, holds or gives away idle connections.
///
/// It sleeps in one epoll set: the pool's queue and its listener (both shared with the other workers and
/// registered exclusively, so that the kernel wakes one of those that sleep; the listener not while the worker is to
/// rest, see ``followWidth()``), the connections it holds, the channel to the master (whose end means that the master died) and an eventfd that SIGQUIT raises.
///
///     idle ── connection ──► serving ── response sent ──► idle
///      │ ▲                      │ kept alive (else closed, or left to its client to close, see ``part(with:)``)
///      │ └─ next request ── holding ── other work, or nothing sent for 500 ms ──► shared, or parked with the master
///      └── told to leave, SIGQUIT, max_requests, master gone ──► exit 0
public final class Worker {
    enum Source: UInt64 { case control = 1, channel, queue, listener, client, idleTimer, parting }
    /// In the epoll set a connection's descriptor is counted from here.
    static let firstClient: UInt64 = 16

    /// How long a connection that has not sent anything yet is held before the master gets it.
    static let silentPatience = Duration.milliseconds(500)
    /// While connections wait at the listener, so many short requests are served before the other sources are looked at.
    static let mostTakenAtOnce = 8
    /// Who has had nothing to do for so many nanoseconds can afford a precaution against its death in the next request.
    private static let leisure: UInt64 = 1_000_000
    /// For so long after a long request, anybody's, the next one of the pool is expected at any time.
    private static let longMemory = Duration.seconds(1)
    /// Largest message of the queue.
    private static let messageCapacity = Message.length + MessageSocket.maximumPayload

    let processor: RequestProcessor
    let settings: WorkerSettings
    let log: WorkerLog
    let channel: MessageSocket
    let epoll: OwnedDescriptor
    private let control: OwnedDescriptor
    let idleTimer: IdleTimer
    @exclusivity(unchecked) var warmth = Warmth.cold
    /// A connection that has been answered, and whose client is expected to close it.
    var parting: Client?
    @exclusivity(unchecked) var earlyWaking = EarlyWaking()
    /// The request that is being served came to the listener while the worker waited there.
    private var waitedForIt = false
    let message = UnsafeMutableRawBufferPointer.allocate(byteCount: messageCapacity, alignment: 16)
    /// The connection that it holds alone.
    var held: Client?
    /// Those that it holds beside others, by place; see ``share(_:)``.
    var places = [Client?](repeating: nil, count: Int(CSCOREBOARD_PLACES))
    var sharedCount = 0
    var latestSharing: UInt32 = 0
    let processors = Int(cepoll_processors())
    /// What the page says of the number of connections in this worker's hands.
    private var shownHeld: UInt32 = 0
    var lastGathering = MonotonicTime(nanoseconds: 0)
    var lastSpread = MonotonicTime(nanoseconds: 0)
    // Checks at run time of exclusive access would be a twentieth of a short request's instructions, most of them for these
    // and the like in the other classes: all are of one thread, and changed by calls that do not come back here.
    @exclusivity(unchecked) var brevity = Brevity()
    /// Descriptors of connections that have something to read.
    @exclusivity(unchecked) var readable: [CInt] = []
    /// Those of them whose client sends no more.
    @exclusivity(unchecked) var ended: [CInt] = []
    var heldSince = MonotonicTime(nanoseconds: 0)
    private var servedHeldLast = false
    @exclusivity(unchecked) var lifetime: WorkerLifetime
    private let memory: PrivateMemory?
    var hasAnnounced = false
    var isMasterGone = false
    /// How many connections may be taken before the worker asks again what is ready.
    var takesAtOnce = 0
    @exclusivity(unchecked) var takingAtOnce = AdaptiveAttempt()
    /// Registered with the pool's listener.
    var isListening = false
    /// Registered with the pool's queue.
    var isAtQueue = true
    var isDraining = false
    /// It could take no connection from the first one on.
    var hasFailed = false

    /// Runs the worker in the process that the zygote has just forked.
    ///
    /// Never returns.
    ///
    /// - Parameters:
    ///   - processor: Built before PHP was started.
    ///   - slot: Slot of the scoreboard that belongs to this worker.
    ///   - channel: The worker's end of its channel to the master.
    public static func run(processor: RequestProcessor, slot: Int, channel: MessageSocket) -> Never {
        let status: CInt
        do {
            let worker = try Worker(processor: processor, slot: slot, channel: channel)
            status = worker.serve()
        } catch {
            processor.log.write(
                .error,
                "[pool \(processor.settings.plan.pool)] child failed to initialize: \(describe(error))"
            )
            status = 70
        }
        // PHP's shutdown functions of the last request have run; what is left is the engine's, shared with the
        // zygote by copy, and not worth tearing down.
        _exit(status)
    }

    private init(processor: RequestProcessor, slot: Int, channel: MessageSocket) throws(Errno) {
        self.processor = processor
        self.channel = channel
        settings = processor.settings
        log = processor.log
        lifetime = WorkerLifetime(
            maxRequests: settings.plan.maxRequests,
            least: PoolSettings.leastAnnouncedRequests,
            seed: UInt64(getpid())
        )
        memory = PrivateMemory(limit: settings.plan.maxMemory)
        control = OwnedDescriptor(adopting: try retryingOnInterrupt { cepoll_eventfd() })
        epoll = OwnedDescriptor(adopting: try retryingOnInterrupt { cepoll_create() })
        idleTimer = IdleTimer(adopting: try retryingOnInterrupt { cepoll_timer() })
        cepoll_drain_on_quit(control.rawValue)
        _ = try retryingOnInterrupt { cepoll_answer_on_death() }
        cepoll_unblock_all_signals()
        cepoll_set_title(("php-fpm: pool \(settings.plan.pool)" as ByteString).cString)
        processor.adopt(slot: slot)
        fpmd_php_worker_init()
        // Unowned: the processor lives as long as the worker, which ends with the process.
        processor.deliverElsewhere = { [unowned self] client, message, file in
            deliver(client, message, file)
        }
        processor.unwatch = { [unowned self] client in unwatch(client) }
        processor.wakeKeeper = { _ = try? channel.send(Message(.busy)) }
        let page = processor.slot
        announceDeath(page)
        page.pointee.pid = Int64(getpid())
        cscoreboard_store(&page.pointee.start_epoch, wallClockSeconds())
        try watch(control.rawValue, .control)
        try watch(idleTimer.descriptor.rawValue, .idleTimer)
        try watch(channel.descriptor, .channel)
        try watch(settings.queue.descriptor, .queue, exclusive: true)
        try watch(settings.listener, .listener, exclusive: true)
        isListening = true
        becomeIdle()
        let deposit = try Deposit()
        let ready = Message(.workerReady, slot: UInt32(slot))
        switch try channel.send(ready, descriptors: [deposit.receiver.descriptor]) {
        case .bytes: processor.deposit = deposit
        case .wouldBlock:
            // The channel is empty, so too many descriptors are under way: its requests are served without.
            guard case .bytes = try channel.send(ready) else { throw .brokenPipe }
        case .endOfStream: throw .brokenPipe
        }
        // After the message: the first worker's complaints follow the line that says that the service is ready.
        for problem in settings.allowedPeersProblems { log.write(.error, problem) }
    }

    /// Whoever dies in a request tells the master, which has its call stack read.
    private func announceDeath(_ page: UnsafeMutablePointer<cscoreboard_slot>) {
        withUnsafeTemporaryAllocation(byteCount: Message.length, alignment: 8) { memory in
            Message(.crashed).store(in: memory)
            guard let base = memory.baseAddress else { return }
            cepoll_announce_death(channel.descriptor, base, cscoreboard_dying(page))
        }
    }

    func watch(_ descriptor: CInt, _ source: Source, exclusive: Bool = false) throws(Errno) {
        let data = source == .client ? Self.firstClient + UInt64(descriptor) : source.rawValue
        let more =
            switch source {
            case .client: CEPOLL_RDHUP
            // Closed, it leaves the set, unless a script's fork has it: then it reports once.
            case .parting: CEPOLL_ONESHOT
            default: 0
            }
        let events = UInt32(CEPOLL_IN | more)
        _ = try retryingOnInterrupt { cepoll_add(epoll.rawValue, descriptor, events, exclusive, data) }
    }

    private func showHeld() {
        let count = heldCount
        guard count != shownHeld else { return }
        shownHeld = count
        cscoreboard_store_word(&processor.slot.pointee.held, count)
    }

    private func becomeIdle() {
        cscoreboard_store_time(&processor.slot.pointee.idle_since_ns, MonotonicTime.now.nanoseconds)
        processor.setStage(.accepting)
    }

    // MARK: - The loop

    private func serve() -> CInt {
        withUnsafeTemporaryAllocation(of: cepoll_ready.self, capacity: 8) { ready in
            guard let base = ready.baseAddress else { return 70 }
            while true {
                if isDraining { return drain() }
                followWidth()
                dropTaken()
                showHeld()
                if let client = takeAtOnce() {
                    guard attend(client) else { return 70 }
                    continue
                }
                prepareToSleep()
                let count = cepoll_wait(epoll.rawValue, base, CInt(ready.count), timeout())
                if count < 0 {
                    if errno == EINTR { continue }
                    return 70
                }
                if count == 0 {
                    if heldTimeLeft() == 0 { parkHeld() }
                    continue
                }
                guard handle(sort(UnsafeBufferPointer(start: base, count: Int(count)))) else { return 70 }
            }
        }
    }

    /// What is ready, one bit for each source.
    private struct Sources: OptionSet {
        var rawValue: UInt64
        static let control = Sources(rawValue: 1 << Source.control.rawValue)
        static let channel = Sources(rawValue: 1 << Source.channel.rawValue)
        static let queue = Sources(rawValue: 1 << Source.queue.rawValue)
        static let listener = Sources(rawValue: 1 << Source.listener.rawValue)
        static let client = Sources(rawValue: 1 << Source.client.rawValue)
        static let parting = Sources(rawValue: 1 << Source.parting.rawValue)
        static let idleTimer = Sources(rawValue: 1 << Source.idleTimer.rawValue)
    }

    /// Tells sources apart; those of the connections go into ``readable``.
    private func sort(_ ready: UnsafeBufferPointer<cepoll_ready>) -> Sources {
        var sources: Sources = []
        readable.removeAll(keepingCapacity: true)
        ended.removeAll(keepingCapacity: true)
        for one in ready {
            if one.data >= Self.firstClient {
                let descriptor = CInt(truncatingIfNeeded: one.data - Self.firstClient)
                readable.append(descriptor)
                if one.events & UInt32(CEPOLL_RDHUP | CEPOLL_HUP) != 0 { ended.append(descriptor) }
                sources.insert(.client)
            } else {
                sources.insert(Sources(rawValue: 1 << one.data))
            }
        }
        return sources
    }

    /// Serves what one of the sources has, so that none of them starves another.
    ///
    /// False: the worker is lost.
    private func handle(_ ready: Sources) -> Bool {
        if ready.contains(.control) || cepoll_drain_requested() {
            isDraining = true
            return true
        }
        if parting != nil, ready != .idleTimer {
            let isExpected =
                ready.contains(.parting) && ready.isSubset(of: [.parting, .listener, .idleTimer])
            if let client = nextAfterParting(isExpected) {
                waitedForIt = true
                return attend(client)
            }
        }
        if ready.contains(.channel) {
            obeyMaster()
            return true
        }
        if ready.contains(.idleTimer) { coolDown() }
        if !ended.isEmpty { closeEnded() }
        let hasOtherWork = ready.contains(.queue) || ready.contains(.listener)
        if !readable.isEmpty, !(servedHeldLast && hasOtherWork) {
            servedHeldLast = true
            if ready.contains(.listener) { handOn() }
            return attendReadable()
        }
        servedHeldLast = false
        if ready.contains(.queue), case .client(let client) = takeFromQueue() {
            if ready.contains(.listener) { handOn() }
            return attend(client)
        }
        if ready.contains(.listener), let client = takeFromListener() {
            takesAtOnce = Self.mostTakenAtOnce
            waitedForIt = true
            return attend(client)
        }
        return true
    }

    /// A message from the master, or its end: then the worker leaves, and the listener is its successor's.
    private func obeyMaster() {
        switch try? channel.receive(into: message) {
        case .message(let order, let length, let descriptors, _) where order.kind == .opcache:
            for descriptor in descriptors { closeDescriptor(descriptor) }
            answerOpcache(
                order,
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(message)[0..<length])
            )
            warmth = .warm
        case .message(let order, _, let descriptors, _) where order.kind == .serve:
            takeGathered(order, descriptors)
        case .message(let order, _, let descriptors, _) where order.kind == .leave:
            for descriptor in descriptors { closeDescriptor(descriptor) }
            cepoll_request_drain()
            isDraining = true
        case .message(let order, _, let descriptors, _):
            if order.kind == .accessLog, let file = descriptors.first, let log = settings.accessLog {
                _ = cepoll_replace(file, log.rawValue)
            }
            for descriptor in descriptors { closeDescriptor(descriptor) }
        case .wouldBlock: return
        case .descriptorsLost(let descriptors): for descriptor in descriptors { closeDescriptor(descriptor) }
        case .closed, .malformed, nil:
            isDraining = true
            isMasterGone = true
        }
    }

    /// Nanoseconds that the worker may sleep; negative: no limit.
    private func timeout() -> Int64 {
        heldTimeLeft().map { max(1, $0) } ?? -1
    }

    /// Nanoseconds since it has become idle, or to the request that has just begun.
    func idleTime(until now: MonotonicTime) -> UInt64 {
        now.nanoseconds(
            since: MonotonicTime(nanoseconds: cscoreboard_load_time(&processor.slot.pointee.idle_since_ns))
        )
    }

    /// Nanoseconds until a held connection that never sent anything is parked; nil: there is none.
    private func heldTimeLeft() -> Int64? {
        guard let held, !held.isKeptAlive else { return nil }
        return max(0, Int64(((heldSince + Self.silentPatience) - MonotonicTime.now).nanoseconds))
    }

    // MARK: - Serving

    /// Serves what a connection has sent, and requests that were sent ahead; false when PHP cannot go on in this
    /// process.
    func attend(_ client: Client) -> Bool {
        repeat {
            guard serveOne(client) else { return false }
        } while isOwn(client) && !processor.reader.buffer.isEmpty && !isDraining
        if client.place != nil { putBack(client) }
        // The next long request would keep them waiting. What is in the buffer would go with them.
        if !brevity.isProven, processor.reader.buffer.isEmpty { parkShared() }
        return true
    }

    /// It has been neither closed nor given away.
    private func isOwn(_ client: Client) -> Bool { held === client || client.place != nil }

    private func serveOne(_ client: Client) -> Bool {
        processor.requestBegins()
        warmth = .warm
        switch processor.reader.readHead(of: client, into: &processor.table) {
        case .idle:
            processor.requestVanished()
            hold(client)
        case .stalled:
            processor.requestVanished()
            park(client)
            becomeIdle()
        case .over:
            processor.requestVanished()
            forget(client)
            becomeIdle()
        case .request(let head):
            guard serve(head, of: client) else { return false }
            afterRequest()
        }
        return true
    }

    /// Runs a request, and does with its connection what is left to do.
    ///
    /// False: PHP cannot go on in this process.
    private func serve(_ head: RequestHead, of client: Client) -> Bool {
        let pause = idleTime(until: processor.begin)
        earlyWaking.begins(after: waitedForIt ? pause : nil)
        waitedForIt = false
        // Others that it holds would be taken from it by a master that looks.
        processor.leavesDeposit =
            sharedCount == 0
            && (brevity.mayBeLong || pause >= Self.leisure
                || processor.hasLongNeighbour(within: Self.longMemory))
        switch processor.process(head, of: client, mayKeep: !isMasterGone && !closesKept) {
        case .kept:
            client.hasReturned = client.isKeptAlive
            client.isKeptAlive = true
            becomeIdle()
            hold(client)
        case .close:
            part(with: client)
            becomeIdle()
        case .linger:
            linger(client)
            becomeIdle()
        case .workerLost:
            forget(client)
            // The request has been counted as ended: the master is not to do it again.
            processor.setStage(.free)
            parkShared()
            return false
        }
        return true
    }

    /// Decides whether the worker goes on.
    private func afterRequest() {
        if processor.mustRetire {
            isDraining = true
            processor.leaves(CSCOREBOARD_LEAVES_SPOILT)
        }
        processor.reader.buffer.shrink()
        brevity.served(microseconds: processor.slot.pointee.duration_us)
        switch lifetime.requestServed() {
        case .goOn: break
        case .announce: announceEnd()
        case .leave:
            isDraining = true
            processor.leaves(CSCOREBOARD_LEAVES_MAX_REQUESTS)
        }
        if !hasAnnounced, let memory, memory.isExceeded() { announceEnd(flags: .mustLeave) }
    }
}

@available(*, unavailable)
extension Worker: Sendable {}
