internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// What a pool needs of the master.
protocol PoolOwner: AnyObject {
    var reactor: Reactor { get }
    var log: Log { get }
    var program: EngineProgram { get }
    /// Soft RLIMIT_NOFILE as the master found it, for its children.
    var inheritedFileLimit: UInt64 { get }
    /// Whether workers are started at all (not while stopping).
    var mayStartWorkers: Bool { get }
    /// Closes a descriptor of unknown kind without waiting for that.
    func closeElsewhere(_ descriptor: CInt)
    /// Runs `task` in a process of its own, which is killed if it takes long; false if there can be none.
    func runElsewhere(_ task: () -> Void) -> Bool
    /// How many more workers `process.max` allows the pool's generation.
    func allowance(for pool: Pool) -> Int
    /// Most parked connections a pool may have.
    var parkingQuota: Int { get }
    /// The serving pool on a listener, after any number of reloads.
    func currentPool(on listener: Listener) -> Pool?
    func processMaxReached()
    /// A zygote says that a child is its pool's worker; false if the kernel has said otherwise.
    func claim(_ process: ProcessID, for role: ChildRole) -> Bool
    /// Remembers whose a child is, by the kernel's word; false if it is known as another's.
    @discardableResult
    func register(_ process: ProcessID, as role: ChildRole) -> Bool
    /// The end of a child that was reaped before anybody named it.
    func claimExit(of process: ProcessID) -> ProcessExit?
    /// A pool's first worker has become ready, or its zygote if it needs no worker.
    func poolBecameReady(_ pool: Pool)
    /// A pool that has never been ready cannot start.
    func poolFailed(_ pool: Pool, _ reason: ByteString)
    /// Something happened after which there may be nothing left of a pool that drains.
    func poolMayBeGone(_ pool: Pool)
    /// A worker of a serving pool ended by SIGSEGV or SIGBUS.
    func workerCrashed()
    /// A slot for starting a zygote; `start` is called at once or later.
    func whenZygoteMayStart(_ start: @escaping () -> Void)
    func zygoteFinishedStarting()
}

/// Whose a child process is.
enum ChildRole {
    case zygote(Pool)
    case worker(Pool, slot: Int, serial: Int64)
    /// Does one thing that may block, and ends.
    case helper
}

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
    let scoreboard: Scoreboard
    let connections: WaitingConnections
    private(set) var state = State.created
    private(set) var isReady = false
    /// Answers on `pm.status_listen`, if the pool has one.
    var statusListener: StatusListener?

    private unowned let owner: any PoolOwner
    private let plan: ZygotePlan
    private var accessLog: SharedDescriptor?
    /// Workers share the reading end; the master keeps it to take connections back.
    private let queueReader: MessageSocket
    private(set) var policy: PoolPolicy
    private(set) var workers: [Int: WorkerRecord] = [:]
    private var freeSlots: [Int]
    private var nextSerial: Int64 = 0
    private var limitReachedCount: Int64 = 0
    private(set) var slowRequestCount: Int64 = 0
    /// Where the workers' call frames are, as the latest zygote said.
    private var traceLayout: TraceLayout?
    private var lastOverflowReport = MonotonicTime(nanoseconds: 0)
    private var lastAcceptReport = MonotonicTime(nanoseconds: 0)
    /// Ends the processes of a pool that drains, one harsher signal after the other.
    private var escalation: Escalation?
    private var zygoteDeadline: Reactor.Deadline?
    private var mostQueued: Int64 = 0

    private var zygote: ZygoteLink?
    private var zygoteRequested = false
    private var zygoteBackoff = Backoff()
    private var zygoteRetry: Reactor.Deadline?
    /// Workers to ask for as soon as the zygote is ready.
    private var wantedSpawns: [Bool] = []
    private var backoffDeadline: Reactor.Deadline?
    private lazy var watch = ListenerWatch(pool: self, reactor: owner.reactor)
    private lazy var requestTimeouts = RequestTimeouts(pool: self, reactor: owner.reactor, log: owner.log)

    init(
        settings: PoolSettings,
        plan: ZygotePlan,
        listener: Listener,
        accessLog: SharedDescriptor?,
        owner: any PoolOwner
    ) throws(Errno) {
        self.settings = settings
        self.plan = plan
        self.listener = listener
        self.accessLog = accessLog
        self.owner = owner
        name = settings.name
        scoreboard = try Scoreboard(slotCount: settings.maxChildren)
        let (writer, reader) = try MessageSocket.pair(bufferBytes: 1 << 20)
        queueReader = reader
        connections = WaitingConnections(reactor: owner.reactor, queue: writer, quota: owner.parkingQuota)
        policy = PoolPolicy(limits: PoolLimits(settings))
        freeSlots = Array((0..<settings.maxChildren).reversed())
        let page = scoreboard.pool
        cscoreboard_store(&page.pointee.start_epoch, wallClockSeconds())
        connections.onDispatch = { [weak self] in self?.watch.connectionsAreWaiting() }
        connections.taken = { [scoreboard] in cscoreboard_load(&scoreboard.pool.pointee.taken) }
        connections.onOverflow = { [weak self] in self?.reportOverflow() }
    }

    /// Said at most once a minute: it is the line that explains why nobody is served.
    func reportAcceptFailure(_ error: Errno) {
        let now = MonotonicTime.now
        guard now - lastAcceptReport > .seconds(60) else { return }
        lastAcceptReport = now
        owner.log.error("[pool \(name)] accept() failed: \(describe(error))")
    }

    private func reportOverflow() {
        let now = MonotonicTime.now
        guard now - lastOverflowReport > .seconds(60) else { return }
        lastOverflowReport = now
        owner.log.warning(
            "[pool \(name)] \(connections.quota) idle connections are all that the file limit allows this pool: the oldest are closed"
        )
    }

    /// All listeners of the pool.
    var listeners: [Listener] { [listener] + (statusListener.map { [$0.listener] } ?? []) }
    /// The real numbers of workers, for process.max.
    var runningWorkers: Int { policy.running }
    /// Whether there is any process left.
    var hasProcesses: Bool { !workers.isEmpty || zygote != nil }

    // MARK: - Life

    /// Starts what the style asks for: nothing for ondemand, else the zygote and the first workers.
    func begin() {
        state = .serving
        refreshQueueFigures()
        perform(policy.begin())
        becomeReadyIfStarted()
    }

    /// Ready is: none of the first workers is still on its way.
    ///
    /// That may be none at all (ondemand, process.max).
    private func becomeReadyIfStarted() {
        guard policy.starting == 0, wantedSpawns.isEmpty else { return }
        watch.start()
        becomeReady()
    }

    private func becomeReady() {
        guard !isReady else { return }
        isReady = true
        owner.poolBecameReady(self)
    }

    /// Stops taking connections; workers finish what they have.
    ///
    /// Connections that wait stay in `connections`.
    ///
    /// - Parameter servesWaiting: Workers are to serve what waits before they leave (a graceful stop); otherwise a
    ///   successor takes it over.
    func drain(servesWaiting: Bool = false) {
        guard state != .draining else { return }
        state = .draining
        statusListener?.stop()
        watch.stop()
        if servesWaiting { watch.acceptAll() } else { connections.reclaim(from: queueReader) }
        backoffDeadline = nil
        zygoteRetry = nil
        wantedSpawns = []
        closeZygote()
    }

    /// Takes over the connections of the generation before.
    func takeOver(from predecessor: Pool) {
        watch.recheck()
        predecessor.connections.move(to: connections)
    }

    /// Tells the processes of a draining pool to end: `first` now, harsher signals when `patience` is over.
    ///
    /// A second call replaces the first (a stop while a reload drains).
    func end(_ first: Signal, patience: Duration) {
        escalation = Escalation(first: first, patience: patience, reactor: owner.reactor) { [weak self] in
            self?.signalAll($0)
        }
        escalation?.start()
    }

    private func closeZygote() {
        zygoteDeadline = nil
        if let link = zygote { try? sendSignal(.terminate, to: link.process) }
    }

    private func signalAll(_ signal: Signal) {
        for worker in workers.values {
            guard let process = worker.process else { continue }
            // Until a worker has spoken its number is only claimed; it is told to leave as soon as it does.
            if case .starting = worker.state, signal != .kill { continue }
            owner.log.debug(
                "[pool \(name)] sending signal \(signal.rawValue) \(signal.name) to child \(process)"
            )
            try? sendSignal(signal, to: process)
            if signal == .quit { worker.state = .leaving(process) }
        }
        if signal == .kill, let link = zygote { try? sendSignal(.kill, to: link.process) }
    }

    /// Opens the access log anew and gives it to the zygote and the workers, who hold the old file.
    ///
    /// - Returns: Whether there is an access log.
    func reopenAccessLog() -> Result<Bool, Errno> {
        guard let path = settings.accessLog, accessLog != nil else { return .success(false) }
        let text = path.description
        do throws(Errno) {
            accessLog = SharedDescriptor(adopting: try retryingOnInterrupt { cepoll_open_append(text) })
        } catch { return .failure(error) }
        guard let file = accessLog else { return .success(false) }
        zygote?.replaceAccessLog(file)
        for worker in workers.values {
            _ = try? worker.channel.send(Message(.accessLog), descriptors: [file.rawValue])
        }
        return .success(true)
    }

    // MARK: - Deciding and acting

    /// The one place where the policy's decisions become system calls.
    func perform(_ actions: [PoolPolicy.Action]) {
        for action in actions {
            switch action {
            case .spawn(let count, let isRespawn): spawn(count, isRespawn: isRespawn)
            case .retireIdle: retireLongestIdle()
            case .limitReached: reportLimit()
            case .seemsBusy(let count):
                let counts = scoreboard.counts()
                owner.log.warning(
                    "[pool \(name)] seems busy (you may need to increase pm.start_servers, or pm.min/max_spare_servers), spawning \(count) children, there are \(counts.idle) idle, and \(counts.total) total children"
                )
            case .backOff(let failures, let delay):
                if failures > 0 {
                    owner.log.error(
                        "[pool \(name)] \(failures) workers in a row died before their first request; next start in \(delay / 1_000_000) ms"
                    )
                }
                backoffDeadline = owner.reactor.after(.nanoseconds(Int64(clamping: delay))) { [weak self] in
                    guard let self else { return }
                    perform(policy.backoffEnded(at: MonotonicTime.now.nanoseconds))
                    watch.recheck()
                }
            }
        }
    }

    /// Has the call stack of a worker written to the slow log.
    func trace(_ process: ProcessID, script: ByteString) {
        slowRequestCount += 1
        cscoreboard_store(&scoreboard.pool.pointee.slow_requests, slowRequestCount)
        guard let path = settings.slowLog, let layout = traceLayout else { return }
        owner.log.notice("about to trace \(process)")
        let slowLog = SlowLog(path: path, pool: name, log: owner.log)
        // Taken while the worker cannot have been reaped yet: its number is its own.
        let handle = cepoll_pidfd(process.rawValue)
        defer { if handle >= 0 { closeDescriptor(handle) } }
        let trace = WorkerTrace(
            process: process,
            handle: handle,
            layout: layout,
            depth: settings.requestSlowLogTraceDepth
        )
        if handle < 0 || !owner.runElsewhere({ slowLog.record(trace, script: script) }) {
            owner.log.error("failed to trace child \(process): \(describe(currentErrno))")
        }
    }

    private func reportLimit() {
        // Counted here and only shown there: the page can be written by workers.
        limitReachedCount += 1
        cscoreboard_store(&scoreboard.pool.pointee.max_children_reached, limitReachedCount)
        let directive = settings.processManager == .ondemand ? "max_children" : "pm.max_children"
        owner.log.warning(
            "[pool \(name)] server reached \(directive) setting (\(settings.maxChildren)), consider raising it"
        )
    }

    /// Connections wait and nobody sleeps: more workers, if the limits allow.
    ///
    /// - Returns: Whether more workers are on their way.
    func grow(depth: Int) -> Bool {
        perform(policy.connectionsWait(depth, at: MonotonicTime.now.nanoseconds))
        return policy.starting > 0 || !wantedSpawns.isEmpty
    }

    /// Once a second.
    func tick() {
        guard state == .serving else { return }
        refreshQueueFigures()
        guard policy.running > 0 || settings.processManager != .ondemand else { return }
        let timeout = settings.processIdleTimeout
        let now = MonotonicTime.now
        var idleTooLong = 0
        if settings.processManager == .ondemand {
            idleTooLong = workers.values.count { $0.isReady && idleTime($0, now) > timeout }
        }
        let counts = scoreboard.counts()
        owner.log.debug(
            "[pool \(name)] currently \(counts.active) active children, \(counts.idle) spare children, \(policy.running) running children."
        )
        perform(
            policy.tick(PoolPolicy.Counts(idle: counts.idle, idleTooLong: idleTooLong), at: now.nanoseconds)
        )
        watch.tick()
    }

    private func refreshQueueFigures() {
        guard listener.isTCP else { return }
        var queued: UInt32 = 0
        var limit: UInt32 = 0
        guard cepoll_tcp_queue(listener.descriptor.rawValue, &queued, &limit) == 0 else { return }
        let page = scoreboard.pool
        cscoreboard_store(&page.pointee.listen_queue, Int64(queued))
        cscoreboard_store(&page.pointee.listen_queue_len, Int64(limit))
        mostQueued = max(mostQueued, Int64(queued))
        cscoreboard_store(&page.pointee.max_listen_queue, mostQueued)
    }

    // MARK: - Idle workers

    private func idleTime(_ worker: WorkerRecord, _ now: MonotonicTime) -> Duration {
        guard scoreboard.stage(worker.slot) == .accepting else { return .zero }
        let since = MonotonicTime(
            nanoseconds: cscoreboard_load_time(&scoreboard.slot(worker.slot).pointee.idle_since_ns)
        )
        return now - max(since, worker.startTime)
    }

    /// The worker that has been idle for longest is asked to leave; asked again in vain, it is killed.
    private func retireLongestIdle() {
        let now = MonotonicTime.now
        let idle = workers.values.filter { $0.isReady || $0.wasAskedToLeave }
            .filter { scoreboard.stage($0.slot) == .accepting }
        guard let worker = idle.max(by: { idleTime($0, now) < idleTime($1, now) }),
            let process = worker.process
        else { return }
        if worker.wasAskedToLeave {
            try? sendSignal(.kill, to: process)
        } else {
            worker.wasAskedToLeave = true
            worker.state = .leaving(process)
            try? sendSignal(.quit, to: process)
        }
    }

    /// How many workers sleep, ready for a connection.
    func idleWorkers() -> Int {
        workers.values.count { $0.isReady && scoreboard.stage($0.slot) == .accepting }
    }

    /// How many workers would be started if they were asked for now.
    func startable() -> Int {
        guard owner.mayStartWorkers, state == .serving,
            policy.heldBack(at: MonotonicTime.now.nanoseconds) == nil
        else { return 0 }
        return min(policy.room, owner.allowance(for: self), freeSlots.count - wantedSpawns.count)
    }

    // MARK: - Spawning

    private func spawn(_ count: Int, isRespawn: Bool) {
        guard owner.mayStartWorkers, state == .serving else { return }
        let allowed = min(count, owner.allowance(for: self), freeSlots.count - wantedSpawns.count)
        if allowed < count, owner.allowance(for: self) < count { owner.processMaxReached() }
        guard allowed > 0 else { return }
        policy.spawnRequested(allowed)
        for _ in 0..<allowed { wantedSpawns.append(isRespawn) }
        pumpSpawns()
    }

    private func pumpSpawns() {
        guard !wantedSpawns.isEmpty else { return }
        guard let zygote, zygote.state == .ready else { return startZygote() }
        while let isRespawn = wantedSpawns.first {
            guard let slot = freeSlots.popLast() else { return }
            wantedSpawns.removeFirst()
            do throws(Errno) {
                try requestWorker(zygote, slot: slot, isRespawn: isRespawn)
            } catch {
                freeSlots.append(slot)
                owner.log.error("[pool \(name)] cannot start a worker: \(describe(error)); tried again later")
                for _ in wantedSpawns { policy.spawnFailed() }
                wantedSpawns = []
                return perform(policy.forkFailed(at: MonotonicTime.now.nanoseconds))
            }
        }
    }

    private func requestWorker(_ zygote: ZygoteLink, slot: Int, isRespawn: Bool) throws(Errno) {
        scoreboard.clear(slot)
        nextSerial += 1
        let serial = nextSerial
        let (mine, theirs) = try MessageSocket.pair()
        try mine.passCredentials()
        var output: WorkerOutput?
        var standardOutput: SharedDescriptor
        var standardError: SharedDescriptor
        if settings.catchWorkersOutput {
            let catcher = WorkerOutput(
                pool: name,
                pid: { [weak self] in ByteString(self?.workers[slot]?.process?.description ?? "?") },
                decorates: settings.decorateWorkersOutput,
                log: owner.log
            )
            let first = try makePipe()
            let second = try makePipe()
            try catcher.watch(first.read, .standardOutput, on: owner.reactor)
            try catcher.watch(second.read, .standardError, on: owner.reactor)
            (output, standardOutput, standardError) = (catcher, first.write, second.write)
        } else {
            let null = SharedDescriptor(adopting: try retryingOnInterrupt { cepoll_open_null() })
            (standardOutput, standardError) = (null, null)
        }
        let worker = WorkerRecord(
            slot: slot,
            serial: serial,
            isRespawn: isRespawn,
            channel: mine,
            output: output
        )
        worker.registration = try owner.reactor.watch(mine.descriptor, for: .readable) {
            [weak self, weak worker] _ in
            if let worker { self?.receive(from: worker) }
        }
        guard
            zygote.spawn(
                slot: slot,
                serial: serial,
                channel: theirs,
                output: standardOutput.rawValue,
                errors: standardError.rawValue
            )
        else { throw .brokenPipe }
        workers[slot] = worker
    }

    // MARK: - The zygote

    private func startZygote() {
        guard zygote == nil, !zygoteRequested, zygoteRetry == nil, state == .serving else { return }
        zygoteRequested = true
        owner.whenZygoteMayStart { [weak self] in
            guard let self else { return }
            zygoteRequested = false
            launchZygote()
        }
    }

    private func launchZygote() {
        guard zygote == nil, state == .serving else { return owner.zygoteFinishedStarting() }
        do throws(Errno) {
            let link = try ZygoteLink(
                program: owner.program,
                plan: plan,
                scoreboard: scoreboard,
                queue: queueReader,
                listener: listener,
                accessLog: accessLog,
                reactor: owner.reactor,
                log: owner.log,
                fileLimit: owner.inheritedFileLimit
            ) { [weak self] event in self?.handle(event) }
            zygote = link
            owner.register(link.process, as: .zygote(self))
            zygoteDeadline = owner.reactor.after(.seconds(60)) { [weak self] in
                self?.distrustZygote("has not started PHP within 60 s")
            }
        } catch {
            owner.zygoteFinishedStarting()
            zygoteFailed("cannot start \(owner.program.path): \(describe(error))")
        }
    }

    private func handle(_ event: ZygoteLink.Event) {
        switch event {
        case .ready:
            zygoteDeadline = nil
            traceLayout = zygote?.traceLayout
            zygoteBackoff.succeeded()
            owner.zygoteFinishedStarting()
            pumpSpawns()
        case .spawned(let slot, let serial, let process):
            // The number is the zygote's word: it must name a child of ours that is not known already.
            guard let worker = workers[slot], worker.serial == serial, case .requested = worker.state else {
                return
            }
            // A claim, until the worker itself speaks: then the kernel names the process.
            let exit = owner.claimExit(of: process)
            let isOurs = exit != nil || isChild(process)
            guard isOurs, exit != nil || owner.claim(process, for: .worker(self, slot: slot, serial: serial))
            else {
                return distrustZygote("named process \(process) as a worker, which is none of its own")
            }
            worker.state = .starting(process)
            started(worker, process)
            if let exit { return workerEnded(slot: slot, serial: serial, exit) }
        case .spawnFailed(let slot, let serial, let error):
            guard let worker = workers[slot], worker.serial == serial, case .requested = worker.state else {
                return
            }
            remove(worker)
            owner.log.error("[pool \(name)] fork() failed: \(describe(error))")
            perform(policy.forkFailed(at: MonotonicTime.now.nanoseconds))
        case .unexpected(let descriptors):
            for descriptor in descriptors { owner.closeElsewhere(descriptor) }
            distrustZygote("sent something that is not a zygote's")
        case .gone:
            // Of no more use, whatever it is doing; its death is reported by the kernel.
            if let link = zygote { try? sendSignal(.kill, to: link.process) }
        }
    }

    private func distrustZygote(_ reason: ByteString) {
        guard let link = zygote else { return }
        owner.log.error("[pool \(name)] zygote \(link.process) \(reason): killed")
        try? sendSignal(.kill, to: link.process)
    }

    /// The zygote's process has ended.
    func zygoteEnded(_ exit: ProcessExit) {
        guard let link = zygote, link.process == exit.process else { return }
        let wasStarting = link.state == .starting
        link.ended()
        zygote = nil
        zygoteDeadline = nil
        if wasStarting { owner.zygoteFinishedStarting() }
        // What it was asked for and did not do, it will not do.
        for worker in workers.values {
            guard case .requested = worker.state else { continue }
            remove(worker)
            policy.spawnFailed()
        }
        guard state == .serving else { return owner.poolMayBeGone(self) }
        if wasStarting {
            zygoteFailed("its zygote \(describeExit(exit)) while starting")
        } else {
            owner.log.warning(
                "[pool \(name)] zygote \(exit.process) \(describeExit(exit)); a new one is started when a worker is needed"
            )
            perform(
                policy.tick(
                    PoolPolicy.Counts(idle: scoreboard.counts().idle),
                    at: MonotonicTime.now.nanoseconds
                )
            )
        }
        pumpSpawns()
    }

    private func zygoteFailed(_ reason: ByteString) {
        for _ in wantedSpawns { policy.spawnFailed() }
        wantedSpawns = []
        if !isReady { return owner.poolFailed(self, reason) }
        let delay = zygoteBackoff.failed(at: MonotonicTime.now.nanoseconds) ?? 100_000_000
        owner.log.error("[pool \(name)] \(reason); next attempt in \(delay / 1_000_000) ms")
        zygoteRetry = owner.reactor.after(.nanoseconds(Int64(clamping: delay))) { [weak self] in
            guard let self else { return }
            zygoteRetry = nil
            perform(policy.tick(PoolPolicy.Counts(idle: 0), at: MonotonicTime.now.nanoseconds))
            watch.recheck()
        }
    }

    // MARK: - Workers

    private func receive(from worker: WorkerRecord) {
        let capacity = Message.length + MessageSocket.maximumPayload
        withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 16) { buffer in
            guard let arrival = try? worker.channel.receive(into: buffer) else {
                return worker.registration = nil
            }
            switch arrival {
            case .wouldBlock: return
            // The kernel reports its death; a worker that breaks the protocol is one that must go.
            case .closed: worker.registration = nil
            case .descriptorsLost(let descriptors):
                // The connection is lost; the worker did nothing wrong.
                for descriptor in descriptors { owner.closeElsewhere(descriptor) }
                owner.log.error(
                    "[pool \(name)] a connection was lost: the master has no more file descriptors"
                )
            case .malformed(let descriptors):
                for descriptor in descriptors { owner.closeElsewhere(descriptor) }
                distrust(worker, "sent a malformed message")
            case .message(let message, let payload, let descriptors, let sender):
                handle(
                    message,
                    descriptors,
                    sender,
                    Array(UnsafeRawBufferPointer(rebasing: buffer[0..<payload])),
                    worker
                )
            }
        }
    }

    private func handle(
        _ message: Message,
        _ descriptors: [CInt],
        _ sender: Int32,
        _ bytes: [UInt8],
        _ worker: WorkerRecord
    ) {
        switch message.kind {
        case .workerReady where descriptors.isEmpty: workerBecameReady(worker, ProcessID(sender))
        case .park:
            guard let descriptor = takeOne(descriptors, from: worker) else { return }
            (owner.currentPool(on: listener) ?? self).connections.park(
                descriptor,
                flags: message.flags,
                acceptedTime: message.value,
                bytes: bytes
            )
        case .linger:
            guard let descriptor = takeOne(descriptors, from: worker) else { return }
            (owner.currentPool(on: listener) ?? self).connections.linger(descriptor)
        case .workerReady, .spawn, .accessLog, .zygoteReady, .spawned, .spawnFailed, .serve:
            for descriptor in descriptors { owner.closeElsewhere(descriptor) }
            distrust(worker, "sent a message that is not a worker's")
        }
    }

    /// The connection that a worker gave back; nil, and the worker killed, if it is anything else.
    private func takeOne(_ descriptors: [CInt], from worker: WorkerRecord) -> CInt? {
        if descriptors.count == 1, let descriptor = descriptors.first, cepoll_is_stream_socket(descriptor) {
            return descriptor
        }
        // Closing an arbitrary file may wait for a file server that answers to the worker's user.
        for descriptor in descriptors { owner.closeElsewhere(descriptor) }
        distrust(worker, "gave back something that is not a connection")
        return nil
    }

    /// A worker that does not keep to the protocol is not one to keep.
    private func distrust(_ worker: WorkerRecord, _ reason: ByteString) {
        worker.registration = nil
        guard let process = worker.process else { return }
        owner.log.error("[pool \(name)] child \(process) \(reason): killed")
        try? sendSignal(.kill, to: process)
    }

    /// The zygote has said so, or the worker, whose message may overtake the zygote's.
    private func started(_ worker: WorkerRecord, _ process: ProcessID) {
        worker.startTime = MonotonicTime.now
        let line: ByteString = "[pool \(name)] child \(process) started"
        if worker.isRespawn { owner.log.notice(line) } else { owner.log.debug(line) }
    }

    /// The kernel names the sender: that is the worker's process, whatever the zygote said.
    private func workerBecameReady(_ worker: WorkerRecord, _ process: ProcessID) {
        switch worker.state {
        case .starting(let known) where known != process:
            owner.log.error("[pool \(name)] zygote named process \(known) as a worker, but it is \(process)")
        case .requested: started(worker, process)
        case .starting: break
        case .ready, .leaving: return
        }
        // It may have ended meanwhile.
        guard isChild(process) else { return }
        guard owner.register(process, as: .worker(self, slot: worker.slot, serial: worker.serial)) else {
            return distrust(worker, "says it is ready, but is another process")
        }
        worker.state = .ready(process)
        policy.workerReady()
        requestTimeouts?.workerStarted()
        if state == .draining || !owner.mayStartWorkers {
            worker.state = .leaving(process)
            try? sendSignal(.quit, to: process)
            return
        }
        // The master must be woken last: it goes to the end of the listener's waiters again.
        watch.workerJoined()
        becomeReadyIfStarted()
    }

    /// A worker's process has ended.
    func workerEnded(slot: Int, serial: Int64, _ exit: ProcessExit) {
        guard let worker = workers[slot], worker.serial == serial, worker.process == exit.process else {
            return
        }
        let lifetime = MonotonicTime.now - worker.startTime
        let served = cscoreboard_load(&scoreboard.slot(slot).pointee.requests)
        worker.output?.finish()
        drainChannel(of: worker)
        let wasReady = worker.isReady || worker.isLeaving
        let isClean = exit.reason == .code(0) || isSignal(exit, .quit)
        let wasRetired = worker.wasAskedToLeave && (isCode(exit) || isSignal(exit, .quit))
        logExit(exit, lifetime, wasRetired: wasRetired, isClean: isClean)
        remove(worker)
        let failure: PoolPolicy.Failure =
            isClean ? .none : served == 0 ? .beforeAnyRequest : .inRequest
        perform(
            policy.workerEnded(
                wasRetired: wasRetired || state != .serving || !owner.mayStartWorkers,
                wasReady: wasReady,
                failure: failure,
                at: MonotonicTime.now.nanoseconds
            )
        )
        if state == .serving { watch.recheck() }
        owner.poolMayBeGone(self)
        if state == .serving, isSignal(exit, .segmentationFault) || isSignal(exit, .busError) {
            owner.workerCrashed()
        }
    }

    private func isSignal(_ exit: ProcessExit, _ signal: Signal) -> Bool {
        if case .signal(let number, _) = exit.reason { number == signal } else { false }
    }

    private func isCode(_ exit: ProcessExit) -> Bool {
        if case .code = exit.reason { true } else { false }
    }

    /// Connections that the worker gave back before it ended.
    private func drainChannel(of worker: WorkerRecord) {
        let capacity = Message.length + MessageSocket.maximumPayload
        withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 16) { buffer in
            while case .message(let message, let payload, let descriptors, let sender)? = try? worker.channel
                .receive(into: buffer)
            {
                handle(
                    message,
                    descriptors,
                    sender,
                    Array(UnsafeRawBufferPointer(rebasing: buffer[0..<payload])),
                    worker
                )
            }
        }
    }

    private func remove(_ worker: WorkerRecord) {
        worker.registration = nil
        guard workers.removeValue(forKey: worker.slot) != nil else { return }
        scoreboard.clear(worker.slot)
        freeSlots.append(worker.slot)
    }

    private func logExit(_ exit: ProcessExit, _ lifetime: Duration, wasRetired: Bool, isClean: Bool) {
        let micros = lifetime.nanoseconds / 1000
        let fraction = String(micros % 1_000_000)
        let time = "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
        if wasRetired {
            return owner.log.debug(
                "[pool \(name)] child \(exit.process) has been killed by the process management after \(time) seconds from start"
            )
        }
        let level: LogLevel =
            !owner.mayStartWorkers || state != .serving ? .debug : isClean ? .notice : .warning
        owner.log.write(
            level,
            "[pool \(name)] child \(exit.process) exited \(describeExit(exit)) after \(time) seconds from start"
        )
    }
}

/// `with code 0`, `on signal 9 (SIGKILL)`, `on signal 11 (SIGSEGV - core dumped)`.
func describeExit(_ exit: ProcessExit) -> String {
    switch exit.reason {
    case .code(let code): "with code \(code)"
    case .signal(let signal, let dumped):
        "on signal \(signal.rawValue) (\(signal.name)\(dumped ? " - core dumped" : ""))"
    }
}

extension ByteString.StringInterpolation {
    /// A process number in a message.
    mutating func appendInterpolation(_ process: ProcessID) { appendInterpolation(process.description) }
}

@available(*, unavailable)
extension Pool: Sendable {}
