internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import FastCGI
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import StatusPage
internal import Syscalls
internal import SystemPackage

/// One pool of one generation: its zygote, its workers, its waiting connections.
///
///     created ── begin ──► serving ── drain ──► draining ── last worker gone ──► gone
///
/// The listener belongs to the address and outlives the generation.
final class Pool {
    enum State { case created, serving, draining }

    let settings: PoolSettings
    let name: ByteString
    let listener: Listener
    let identity: PoolIdentity
    /// Shared with workers from the first zygote on.
    let scoreboard: Scoreboard
    var state = State.created
    var isReady = false
    /// What PHP found wrong in php.ini when the pool's zygote started.
    var syntaxError: ByteString?
    /// The image of the program before this one has started it: nobody knows what PHP has said then.
    var wasAdopted = false
    /// Answers on `pm.status_listen`, if the pool has one.
    var statusListener: StatusListener?
    /// The pool is ready only when its zygote has shown that PHP starts with the pool's settings.
    var triesEngine = false

    unowned let owner: any PoolOwner
    /// The pool's generation, which knows the number of its workers.
    private(set) var generation: Generation
    var accessLog: SharedDescriptor? { didSet { if let accessLog { madeAccessLog?.use(accessLog) } } }
    /// Nil until the master has answered a request.
    private var madeAccessLog: PoolAccessLog?
    /// Workers share the reading end; the master keeps it to take connections back.
    ///
    /// Nil before the first zygote.
    var queueReader: MessageSocket?
    /// Nil until there has been one that waits.
    private(set) var madeConnections: WaitingConnections?
    private(set) var madeQueue: RequestQueue?
    /// Nil until a worker has shared one.
    private(set) var madeShared: SharedConnections?
    /// Nobody takes the pool's kept connections over; see ``closeKept()``.
    var closesKept = false
    private(set) var madeResponses: OutgoingResponses?
    var policy: PoolPolicy {
        didSet { generation.add(policy.running - oldValue.running) }
    }
    var workers: [Int: WorkerRecord] = [:]
    var freeSlots: SlotList
    var nextSerial: Int64 = 0
    var limitReachedCount: Int64 = 0
    var slowRequestCount: Int64 = 0
    /// Where the workers' call frames are, as the latest zygote said.
    var traceLayout: TraceLayout?
    var overflows = RepeatedEvent(saidEvery: .seconds(60))
    var failedAccepts = RepeatedEvent(saidEvery: .seconds(60))
    var failedForks = RepeatedEvent(saidEvery: .seconds(30))
    var unstartableWorkers = RepeatedEvent(saidEvery: .seconds(30))
    var lostConnections = RepeatedEvent(saidEvery: .seconds(30))
    var unsendableRequests = RepeatedEvent(saidEvery: .seconds(60))
    var hasShutQueue = false
    /// Ends the processes of a pool that drains, one harsher signal after the other.
    var escalation: Escalation?
    var zygoteDeadline: Reactor.Deadline?
    /// Its zygote has one of the places of those that start; when to look whether it needs that.
    var zygotePlace: Reactor.Deadline?
    var mostQueued: Int64 = 0
    /// What a tick has found, if there was nothing to do.
    var calm: Calm?
    var queueFigures = QueueFigures()
    var exits = WorkerExits()
    var crashTraces = Allowance(most: 5, period: .seconds(2))
    /// Status and ping, when the master answers them in place of a worker.
    lazy var ownPages = makePages(PageFacts(poweredBy: nil, charset: "UTF-8"))
    /// Parameters of the request that is looked at.
    lazy var scratch = RequestScratch()
    /// Whom `listen.allowed_clients` allows; nil: everybody.
    lazy var allowedPeers = listener.isTCP ? settings.allowedClients.map { AllowedPeers($0) } : nil

    var zygote: ZygoteLink?
    var zygoteRequested = false
    /// How many zygotes have started PHP, and ended before the pool was ready.
    var zygotesLostAtStart = 0
    var zygoteBackoff = Backoff()
    var zygoteRetry: Reactor.Deadline?
    /// Workers that leave as soon as others have taken their places, first come first.
    var retiring: [WorkerRecord] = []
    /// No worker is started until told otherwise: `fpmctl drain`.
    var isHeld = false
    /// Replaces workers one after the other; nil when nothing is replaced.
    var recycling: Recycling?
    /// Answers of workers that are awaited.
    lazy var workerCalls = WorkerCalls(reactor: owner.reactor)
    /// Lists of the opcache's scripts whose next page has not been asked for yet.
    lazy var scriptLists = ScriptLists(reactor: owner.reactor)
    /// Workers to ask for as soon as the zygote is ready.
    var wantedSpawns: [Bool] = []
    var backoffDeadline: Reactor.Deadline?
    lazy var watch = ListenerWatch(pool: self, reactor: owner.reactor)
    lazy var keeper = ConnectionKeeper(pool: self, reactor: owner.reactor)
    lazy var requestTimeouts = RequestTimeouts(pool: self, reactor: owner.reactor, log: owner.log)

    /// A pool without any process.
    ///
    /// What a process needs is made when there is one: a service may have thousands of pools, and most of them idle.
    init(
        settings: PoolSettings,
        identity: PoolIdentity,
        generation: Generation,
        listener: Listener,
        accessLog: SharedDescriptor?,
        owner: any PoolOwner,
        scoreboard pages: Scoreboard? = nil
    ) {
        self.settings = settings
        self.identity = identity
        self.generation = generation
        self.listener = listener
        self.accessLog = accessLog
        self.owner = owner
        name = settings.name
        let slots = pages?.slotCount ?? settings.slotCount
        scoreboard = pages ?? Scoreboard(unsharedSlotCount: slots)
        policy = PoolPolicy(limits: PoolLimits(settings))
        freeSlots = SlotList(count: slots)
        let page = scoreboard.pool
        cscoreboard_store(&page.pointee.start_epoch, wallClockSeconds())
        cscoreboard_store_word(&page.pointee.max_children, UInt32(clamping: settings.maxChildren))
    }

    /// Status and ping, answered by the master.
    func makePages(_ facts: PageFacts) -> StatusAnswer {
        let made = StatusAnswer(settings: settings, scoreboard: scoreboard, facts: facts)
        made.refresh = { [weak self] in self?.refreshQueueFigures() }
        return made
    }

    /// Connections that no worker has.
    var connections: WaitingConnections {
        if let madeConnections { return madeConnections }
        let made = WaitingConnections(
            reactor: owner.reactor,
            queue: queue,
            quota: owner.parkingQuota,
            requestBuffer: settings.requestBuffer,
            memory: owner.requestMemory
        )
        made.closesIdle = closesKept
        made.onDispatch = { [weak self] in self?.watch.connectionsAreWaiting() }
        made.otherDescriptors = { [weak self] in self?.otherDescriptors ?? 0 }
        made.onOverflow = { [weak self] in self?.reportOverflow() }
        made.admits = { [weak self] in self?.admits($0) ?? true }
        madeConnections = made
        return made
    }

    /// Connections that workers hold beside others.
    var shared: SharedConnections {
        if let madeShared { return madeShared }
        let made = SharedConnections(pool: self)
        madeShared = made
        return made
    }

    /// How many connections workers hold beside others.
    var sharedCount: Int { madeShared?.count ?? 0 }
    /// The connection that a worker was serving when it ended, if there is a duplicate of it.
    func takeBusyConnection(of worker: WorkerRecord) -> Connection? { madeShared?.takeBusy(from: worker) }

    /// For the requests that the master answers; nil without an access log.
    var ownAccessLog: PoolAccessLog? {
        if madeAccessLog == nil, let accessLog {
            madeAccessLog = PoolAccessLog(
                settings: settings,
                file: accessLog,
                reactor: owner.reactor,
                log: owner.log
            )
        }
        return madeAccessLog
    }

    /// Connections that are watched for a request.
    var parkedCount: Int { madeConnections?.parkedCount ?? 0 }

    /// Makes what a zygote and its workers share with the master.
    ///
    /// - Throws: `Errno` of the memory or sockets that could not be had.
    func prepareForProcesses() throws(Errno) -> MessageSocket {
        try scoreboard.share()
        if let queueReader { return queueReader }
        let (writer, reader) = try MessageSocket.pair(bufferBytes: WorkersSocket.sendBuffer)
        writer.isBounded = true
        reader.isBounded = true
        queueReader = reader
        queue.attach(writer, reader: reader)
        return reader
    }

    /// Counts with another generation from now on.
    func join(_ other: Generation) {
        generation.add(-policy.running)
        generation = other
        other.add(policy.running)
    }

    /// Requests that wait for a worker.
    var queue: RequestQueue {
        if let madeQueue { return madeQueue }
        let made = RequestQueue(
            reactor: owner.reactor,
            isTCP: listener.isTCP,
            timeout: settings.queueTimeout,
            clientPatience: settings.limitsQueue ? .zero : .seconds(1),
            memory: owner.requestMemory
        )
        // A limit is held against the exact number.
        made.socket.tellsEach = settings.limitsQueue
        made.socket.taken = { [scoreboard] in cscoreboard_load(&scoreboard.pool.pointee.taken) }
        made.socket.onShut = { [weak self] in self?.reportShutQueue() }
        made.isForWorkers = { [weak self] in self?.waitsOn($0) != false }
        made.onExpired = { [weak self] in self?.expired($0) }
        made.onUnsendable = { [weak self] in self?.couldNotSend($0, $1) }
        made.onAbandoned = { [weak self] in self?.queueFigures.abandoned += 1 }
        made.onPassed = { [weak self] in self?.queueFigures.passed(after: $0) }
        made.socket.onTaken = { [weak self] in self?.watch.saturation.workerTook() }
        madeQueue = made
        return made
    }

    /// Answers that clients take slowly.
    var responses: OutgoingResponses {
        if let madeResponses { return madeResponses }
        let made = OutgoingResponses(
            reactor: owner.reactor,
            // Workers keep to half of that.
            byteQuota: 2 * ZygotePlan.responseQuota(responseBuffer: settings.responseBuffer),
            // Each has a connection and a file: half of the pool's share.
            countQuota: max(16, owner.parkingQuota / 4)
        )
        made.onKept = { [weak self] connection, bytes in
            guard let self else { return }
            park(
                connection,
                flags: [.keptAlive, .peerChecked],
                acceptedTime: MonotonicTime.now.nanoseconds,
                bytes: bytes
            )
        }
        made.onLinger = { [weak self] connection in
            guard let self else { return }
            (listener.pool ?? self).connections.linger(connection)
        }
        made.onChange = { [weak self] in self?.publishResponses() }
        madeResponses = made
        return made
    }

    /// All listeners of the pool.
    var listeners: [Listener] { [listener] + (statusListener.map { [$0.listener] } ?? []) }
    /// Workers that are there or under way.
    var runningWorkers: Int { policy.running }
    /// Whether there is any process left.
    var hasProcesses: Bool { !workers.isEmpty || zygote != nil }
    /// Whether there is anything to wait for before a draining pool is gone.
    var hasWork: Bool { hasProcesses || (madeResponses?.count ?? 0) > 0 }

    // MARK: - Life

    /// Starts what the style asks for: nothing for ondemand, else the zygote and the first workers.
    ///
    /// A successor of a pool that serves lets it go on looking after the listener until ``takeOver(from:)``.
    func begin() {
        // A reload may have been given up meanwhile.
        guard state == .created else { return }
        state = .serving
        if listener.pool == nil { listener.pool = self }
        if settings.processManager != .ondemand { owner.poolIsActive(self) }
        refreshQueueFigures()
        perform(policy.begin())
        if triesEngine { startZygote() }
        becomeReadyIfStarted()
    }

    /// Ready is: none of the first workers is still on its way.
    ///
    /// That may be none at all (ondemand, process.max).
    func becomeReadyIfStarted() {
        guard policy.starting == 0, wantedSpawns.isEmpty, !triesEngine else { return }
        if listener.pool === self { watch.start() }
        becomeReady()
    }

    func becomeReady() {
        guard !isReady else { return }
        isReady = true
        owner.poolBecameReady(self)
    }

    /// Takes over the connections of the generation before.
    func takeOver(from predecessor: Pool) {
        listener.pool = self
        watch.start()
        if predecessor.madeConnections != nil || predecessor.madeQueue != nil {
            predecessor.connections.move(to: connections)
        }
        // Its backlog may have been changed, and more waits in it now.
        refreshQueueFigures()
    }

    /// Opens the access log anew and gives it to the zygote and the workers, who hold the old file.
    ///
    /// - Returns: Whether there is an access log.
    func reopenAccessLog() -> Result<Bool, Errno> {
        guard accessLog != nil else { return .success(false) }
        do throws(Errno) { accessLog = try settings.openAccessLog() } catch { return .failure(error) }
        guard let file = accessLog else { return .success(false) }
        zygote?.replaceAccessLog(file)
        for worker in workers.values {
            _ = try? worker.channel.send(Message(.accessLog), descriptors: [file.rawValue])
        }
        return .success(true)
    }
}

@available(*, unavailable)
extension Pool: Sendable {}
