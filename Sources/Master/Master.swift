internal import CEpoll
public import Configuration
internal import Glibc
public import Logging
internal import Reactor
internal import Scoreboard
internal import Syscalls
public import SystemPackage

/// What the command line has prepared for the master.
public struct MasterOptions {
    /// The engine program.
    public var program: EngineProgram
    /// Reads the configuration again for a reload, logging nothing.
    public var reload: () -> LoadOutcome
    /// Path of the configuration file, for the process title.
    public var configurationPath: ByteString
    /// How identities are resolved.
    public var loadOptions: LoadOptions
    /// Real user id, for USER and HOME when not root.
    public var realUserID: UInt32
    /// What PHP adds to the headers of pages; asked for when the master answers pages itself.
    public var pageFacts: () -> PageFacts
    /// Called once when the service runs; a daemon's parent waits for it.
    public var onRunning: () -> Void

    /// Options with everything the master needs.
    public init(
        program: EngineProgram,
        configurationPath: ByteString,
        loadOptions: LoadOptions,
        realUserID: UInt32,
        reload: @escaping () -> LoadOutcome,
        pageFacts: @escaping () -> PageFacts,
        onRunning: @escaping () -> Void
    ) {
        self.program = program
        self.configurationPath = configurationPath
        self.loadOptions = loadOptions
        self.realUserID = realUserID
        self.reload = reload
        self.pageFacts = pageFacts
        self.onRunning = onRunning
    }
}

/// The master process: privileged, one thread, one loop.
///
/// Owns listeners, pools, the log; reaps; reloads; stops.
///
///     starting ── all pools ready ──► serving ⇄ reloading
///         │                              │
///         └── a pool fails: exit 78      └── TERM, INT, QUIT ──► stopping ── no process left ──► exit 0
public final class Master<Host: ConfigurationHost> {
    enum State: Equatable {
        case starting, serving, reloading
        case stopping(graceful: Bool)
    }

    let reactor: Reactor
    /// The service's log.
    public let log: Log
    let options: MasterOptions
    let host: Host
    private(set) var state = State.starting
    private(set) var inheritedFileLimit: UInt64 = 0
    private var fileLimit: UInt64 = 1024

    private(set) var configuration: ServiceConfiguration
    private var listeners: [Listener] = []
    private var pools: [Pool] = []
    private var drainingPools: [Pool] = []
    private var children: [ProcessID: ChildRole] = [:]
    /// Children that a zygote has named and that have not spoken themselves yet.
    ///
    /// Two may name the same: one of them lies.
    private var claims: [ProcessID: [ChildRole]] = [:]
    private var unclaimed: [ProcessID: (exit: ProcessExit, deadline: Reactor.Deadline)] = [:]
    private var warnedProcessMax = false
    private var zygotesStarting = 0
    private var zygoteQueue: [() -> Void] = []
    private var maximumZygotesStarting = 4

    private let signals: OwnedDescriptor
    private var signalWatch: Reactor.Registration?
    private var tickDeadline: Reactor.Deadline?
    /// Output of other processes is kept back no longer than this: it may say why nothing gets ready.
    private static var longestHold: Duration { .seconds(5) }
    private var holdDeadline: Reactor.Deadline?
    /// What a helper does takes milliseconds, unless somebody wants it to take forever.
    private static var helperPatience: Duration { .seconds(5) }
    private var helperDeadlines: [ProcessID: Reactor.Deadline] = [:]
    private var systemdDeadline: Reactor.Deadline?
    private let systemd = SystemdNotifier()
    private static var reapedAtOnce: Int { 128 }
    private var reapDeadline: Reactor.Deadline?
    private var reload: Reload?
    /// SIGUSR2 came while a reload was under way: another one follows.
    private var reloadsAgain = false
    private var emergency: EmergencyRestart?
    private var exitStatus: CInt = 0
    private var hasFinished = false

    /// Prepares the loop and takes over the signals.
    ///
    /// - Throws: `Errno` of the descriptor that could not be had.
    public init(configuration: ServiceConfiguration, host: Host, options: MasterOptions, log: Log)
        throws(Errno)
    {
        self.configuration = configuration
        emergency = EmergencyRestart(configuration.global)
        self.host = host
        self.options = options
        self.log = log
        reactor = try Reactor()
        cepoll_default_dispositions()
        let handled = [SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD]
        signals = OwnedDescriptor(
            adopting: try retryingOnInterrupt { cepoll_signalfd(handled, handled.count) }
        )
        maximumZygotesStarting = max(4, 2 * Int(sysconf(CInt(_SC_NPROCESSORS_ONLN))))
    }

    // MARK: - Start

    /// Starts everything and serves until told to stop.
    ///
    /// - Returns: The exit status: 0, or 78 when the start failed.
    public func run() -> CInt {
        guard applyLimits() else { return fail() }
        _ = setsid()
        cepoll_set_title("php-fpm: master process (\(options.configurationPath))")
        do {
            signalWatch = try reactor.watch(signals.rawValue, for: .readable) { [weak self] _ in
                self?.receiveSignals()
            }
        } catch {
            log.error("cannot watch signals: \(describe(error))")
            return fail()
        }
        do {
            pools = try makePools(configuration, reusing: InheritedSockets.take(log: log))
        } catch { return fail() }
        dropUnusedListeners()
        guard writePIDFile() else { return fail() }
        log.finishStartup()
        log.notice("fpm is running, pid \(ProcessID.current)")
        options.onRunning()
        log.holdOutput()
        holdDeadline = reactor.after(Self.longestHold) { [weak self] in self?.log.releaseOutput() }
        for pool in pools {
            pool.statusListener?.start()
            pool.begin()
        }
        checkReady()
        do {
            try reactor.run()
        } catch { log.error("epoll_wait: \(describe(error)); the master cannot go on") }
        return exitStatus
    }

    /// `rlimit_files` and `rlimit_core`, for the master and all it starts; without the former the master takes what it
    /// may have, and its children get what it was given.
    private func applyLimits() -> Bool {
        let global = configuration.global
        if global.rlimitFiles > 0 {
            guard cepoll_set_file_limit(UInt64(global.rlimitFiles)) == 0 else {
                log.error(limitMessage("rlimit_files", "RLIMIT_NOFILE", global.rlimitFiles))
                return false
            }
            (inheritedFileLimit, fileLimit) = (UInt64(global.rlimitFiles), UInt64(global.rlimitFiles))
        } else {
            inheritedFileLimit = cepoll_raise_file_limit(&fileLimit)
        }
        if global.rlimitCore != 0, cepoll_set_core_limit(Int64(global.rlimitCore)) < 0 {
            log.error(limitMessage("rlimit_core", "RLIMIT_CORE", global.rlimitCore))
            return false
        }
        return true
    }

    private func limitMessage(_ directive: String, _ limit: String, _ value: Int) -> ByteString {
        ByteString(
            "failed to set \(directive) for this pool. Please check your system limits or decrease \(directive). "
                + "setrlimit(\(limit), \(value)): \(describe(currentErrno))"
        )
    }

    private func fail() -> CInt {
        log.error("FPM initialization failed")
        return 78
    }

    /// Binds what is new, and builds the pools of a configuration around its listeners.
    ///
    /// - Throws: ``Listener/Unavailable`` after logging the reason; what was bound here is closed again.
    func makePools(_ configuration: ServiceConfiguration, reusing existing: [Listener]) throws(Listener
        .Unavailable) -> [Pool]
    {
        var made: [Pool] = []
        var source = ListenerSource(existing: existing)
        do throws(Listener.Unavailable) {
            for settings in configuration.pools {
                let (identity, diagnostics) = settings.resolveIdentity(
                    options: options.loadOptions,
                    realUserID: options.realUserID,
                    host: host
                )
                for line in diagnostics { log.write(line.level, line.message) }
                guard let identity else { throw Listener.Unavailable() }
                let listener = try source.listener(for: settings, log: log, users: host)
                let pool = try makePool(settings, configuration.global, identity, listener)
                if let extra = settings.statusListenerSettings {
                    pool.statusListener = StatusListener(
                        listener: try source.listener(for: extra, log: log, users: host),
                        pool: pool,
                        facts: options.pageFacts(),
                        reactor: reactor,
                        log: log
                    )
                }
                made.append(pool)
            }
        } catch {
            source.withdraw()
            throw error
        }
        listeners = source.all
        return made
    }

    /// Closes the listeners that no pool has, and removes their files.
    private func dropUnusedListeners() {
        let used = pools.flatMap(\.listeners)
        for listener in listeners where !used.contains(where: { $0 === listener }) { listener.unlinkPath() }
        listeners = listeners.filter { listener in used.contains { $0 === listener } }
    }

    private func makePool(
        _ settings: PoolSettings,
        _ global: GlobalSettings,
        _ identity: PoolIdentity,
        _ listener: Listener
    ) throws(Listener.Unavailable) -> Pool {
        let plan = PlanBuilder.plan(
            for: settings,
            global: global,
            identity: identity,
            isRoot: options.loadOptions.isRoot,
            program: options.program,
            host: host
        )
        do throws(Errno) {
            var accessLog: SharedDescriptor?
            if let path = settings.accessLog {
                let text = path.description
                accessLog = SharedDescriptor(adopting: try retryingOnInterrupt { cepoll_open_append(text) })
            }
            return try Pool(
                settings: settings,
                plan: plan,
                listener: listener,
                accessLog: accessLog,
                owner: self
            )
        } catch {
            log.error("[pool \(settings.name)] cannot be set up: \(describe(error))")
            throw Listener.Unavailable()
        }
    }

    private func writePIDFile() -> Bool {
        guard let path = configuration.global.pidFile else { return true }
        let text = path.description
        let descriptor = cepoll_create_file(text, 0o644)
        let digits = ProcessID.current.description
        let isWritten = descriptor >= 0 && write(descriptor, digits, digits.utf8.count) == digits.utf8.count
        if !isWritten { log.error("Unable to create the PID file (\(path)).: \(describe(currentErrno))") }
        if descriptor >= 0 { close(descriptor) }
        return isWritten
    }

    /// Whether the pid file still names this process: another instance may have started meanwhile.
    private func isOwn(_ path: ByteString) -> Bool {
        guard let bytes = try? host.readFile(path) else { return true }
        return bytes == Array(ProcessID.current.description.utf8)
    }

    private func checkReady() {
        guard state == .starting, pools.allSatisfy(\.isReady) else { return }
        state = .serving
        announceReady()
        scheduleTick()
        reloadAgain()
    }

    private func announceReady() {
        log.notice("ready to handle connections")
        log.releaseOutput()
        switch systemd.ready() {
        case .failed(let reason): log.warning("failed to notify start to systemd: \(reason)")
        case .sent, .absent: log.debug("have notify start to systemd")
        }
        scheduleSystemd()
    }

    // MARK: - Time

    /// Once a second while there are workers; an idle service with no process does not wake up.
    private func scheduleTick() {
        guard tickDeadline == nil else { return }
        tickDeadline = reactor.after(.seconds(1)) { [weak self] in
            guard let self else { return }
            tickDeadline = nil
            guard state == .serving || state == .reloading else { return }
            for pool in pools { pool.tick() }
            if pools.contains(where: { $0.hasProcesses || $0.connections.parkedCount > 0 }) { scheduleTick() }
        }
    }

    private func scheduleSystemd() {
        guard let interval = configuration.global.systemdInterval, interval > .zero else {
            return log.notice("systemd monitor disabled")
        }
        log.notice("systemd monitor interval set to \(interval.nanoseconds / 1_000_000)ms")
        // Where nobody listens, nothing is said, and an idle master is not woken for it.
        if systemd.isListening { armSystemd(interval) }
    }

    private func armSystemd(_ interval: Duration) {
        systemdDeadline = reactor.after(interval) { [weak self] in
            guard let self else { return }
            var figures = SystemdNotifier.Figures()
            for pool in pools {
                let counts = pool.scoreboard.counts()
                figures.active += counts.active
                figures.idle += counts.idle
                figures.requests &+= Int(clamping: pool.scoreboard.acceptedRequests())
                figures.slow += Int(pool.slowRequestCount)
            }
            systemd.status(
                figures,
                interval: interval,
                answersWatchdog: configuration.global.answersSystemdWatchdog
            )
            armSystemd(interval)
        }
    }

    // MARK: - Signals

    private func receiveSignals() {
        var isChild = false
        while true {
            let number = cepoll_signalfd_read(signals.rawValue)
            guard number > 0 else { break }
            let signal = Signal(number)
            if signal == .child {
                isChild = true
                continue
            }
            log.debug("received \(signal.name)")
            handle(signal)
        }
        if isChild { reap() }
    }

    private func handle(_ signal: Signal) {
        switch signal {
        case .terminate, .interrupt:
            log.notice("Terminating ...")
            stop(graceful: false)
        case .quit:
            log.notice("Finishing ...")
            stop(graceful: true)
        case .user1: log.withOriginalStandardError { reopenLogs() }
        case .user2, .hangup:
            log.notice("Reloading in progress ...")
            log.withOriginalStandardError { startReload() }
        default: break
        }
    }

    private func reap() {
        for _ in 0..<Self.reapedAtOnce {
            guard let exit = reapChild() else { return finishStopping() }
            var roles = claims.removeValue(forKey: exit.process) ?? []
            if let known = children.removeValue(forKey: exit.process) { roles = [known] }
            if roles.isEmpty { keepUnclaimed(exit) }
            for role in roles {
                switch role {
                case .helper: helperDeadlines[exit.process] = nil
                case .zygote(let pool): pool.zygoteEnded(exit)
                case .worker(let pool, let slot, let serial):
                    pool.workerEnded(slot: slot, serial: serial, exit)
                }
            }
        }
        // There may be more; the loop's other work comes first.
        reapDeadline = reactor.after(.zero) { [weak self] in self?.reap() }
        finishStopping()
    }

    /// A child that nobody has named yet: a worker whose end overtook its zygote's message, or an orphan.
    private func keepUnclaimed(_ exit: ProcessExit) {
        let deadline = reactor.after(.seconds(1)) { [weak self] in
            guard let self, let late = unclaimed.removeValue(forKey: exit.process) else { return }
            reportUnknown(late.exit)
        }
        unclaimed[exit.process] = (exit, deadline)
    }

    private func reportUnknown(_ exit: ProcessExit) {
        if getpid() == 1 {
            log.debug(
                "unknown child (\(exit.process)) exited \(describeExit(exit)) - most likely an orphan process (master process is the init process)"
            )
        } else {
            log.warning(
                "unknown child (\(exit.process)) exited \(describeExit(exit)) - potentially a bug or pre exec child (e.g. s6-notifyoncheck)"
            )
        }
    }

    private func reopenLogs() {
        if case .file(let path, _) = log.destination {
            let text = path.description
            let descriptor = cepoll_open_append(text)
            if descriptor >= 0 {
                log.use(.file(path: path, descriptor: SharedDescriptor(adopting: descriptor)))
                log.notice("error log file re-opened")
            } else {
                log.error("unable to re-opened error log file: \(describe(currentErrno))")
            }
        } else {
            log.notice("error log file re-opened")
        }
        for pool in pools + drainingPools + (reload?.pools ?? []) {
            switch pool.reopenAccessLog() {
            case .success(false): continue
            case .success(true): log.notice("access log file re-opened")
            case .failure(let error): log.error("unable to re-opened access log file: \(describe(error))")
            }
        }
    }

    // MARK: - Stopping

    private func stop(graceful: Bool) {
        switch state {
        case .stopping(graceful: false): return
        case .stopping(graceful: true) where graceful: return
        case .starting, .serving, .reloading, .stopping: break
        }
        log.releaseOutput()
        abandonReload("the service stops", isStopping: true)
        let isFirst: Bool
        if case .stopping = state { isFirst = false } else { isFirst = true }
        state = .stopping(graceful: graceful)
        if isFirst { systemd.stopping() }
        tickDeadline = nil
        systemdDeadline = nil
        let patience = configuration.global.processControlTimeout
        for pool in pools { pool.drain(servesWaiting: graceful && patience > .zero) }
        drainingPools += pools
        pools = []
        // Web servers see at once that nobody listens here any more.
        for listener in listeners { listener.unlinkPath() }
        for pool in drainingPools { pool.end(graceful ? .quit : .terminate, patience: patience) }
        finishStopping()
    }

    private func finishStopping() {
        drainingPools.removeAll { !$0.hasProcesses }
        guard case .stopping = state, drainingPools.isEmpty, !hasFinished else { return }
        hasFinished = true
        log.notice("exiting, bye-bye!")
        if let path = configuration.global.pidFile, isOwn(path), unlink(path.description) != 0 {
            log.warning("Unable to remove the PID file (\(path)).: \(describe(currentErrno))")
        }
        reactor.stop()
    }

    // MARK: - Reload

    private func startReload() {
        switch state {
        case .stopping: return
        case .starting, .reloading:
            if !reloadsAgain { log.notice("a reload follows as soon as the service is ready") }
            reloadsAgain = true
            return
        case .serving: break
        }
        let outcome = options.reload()
        for line in outcome.diagnostics where line.level > .debug {
            log.write(line.level, line.message)
        }
        guard let fresh = outcome.configuration else {
            return refuseReload("the new configuration is not valid")
        }
        systemd.reloading()
        log.notice(
            "reloading: new generation of \(fresh.pools.count) pool(s) from \(options.configurationPath)"
        )
        state = .reloading
        let former = listeners
        do {
            let made = try makePools(fresh, reusing: former)
            for listener in former { listener.announce(to: log) }
            reload = Reload(configuration: fresh, pools: made, formerListeners: former)
            for pool in made { pool.begin() }
            reload?.deadline = reactor.after(.seconds(60)) { [weak self] in
                self?.abandonReload("the new pools were not ready within 60 s")
            }
            finishReloadIfReady()
        } catch {
            listeners = former
            refuseReload("a pool of the new configuration cannot be set up")
        }
    }

    private func refuseReload(_ reason: ByteString) {
        state = .serving
        log.error("reload refused: \(reason); the old configuration goes on serving")
        systemd.reloadRefused(reason.description)
        scheduleTick()
        reloadAgain()
    }

    /// Gives a reload up; what was started for it drains, what served before goes on.
    private func abandonReload(_ reason: ByteString, isStopping: Bool = false) {
        guard let given = reload else { return }
        reload = nil
        for pool in given.pools {
            pool.drain()
            pool.end(.quit, patience: drainPatience)
        }
        drainingPools += given.pools
        for listener in listeners where !given.formerListeners.contains(where: { $0 === listener }) {
            listener.unlinkPath()
        }
        listeners = given.formerListeners
        // What the new generation had taken goes back to the old one.
        for pool in given.pools {
            if let old = pools.first(where: { $0.listener === pool.listener }) { old.takeOver(from: pool) }
        }
        if isStopping {
            log.notice("reload given up: \(reason)")
        } else {
            refuseReload(reason)
        }
    }

    /// The new generation is up: connections go to it, the old one drains.
    private func finishReloadIfReady() {
        guard let done = reload, done.pools.allSatisfy(\.isReady) else { return }
        reload = nil
        let former = pools
        pools = done.pools
        configuration = done.configuration
        emergency = EmergencyRestart(configuration.global)
        log.withOriginalStandardError { applyGlobals() }
        for old in former { old.drain() }
        for pool in pools { pool.statusListener?.start() }
        for pool in pools {
            for old in former where old.listener === pool.listener { pool.takeOver(from: old) }
        }
        drainingPools += former
        dropUnusedListeners()
        for old in former { old.end(.quit, patience: drainPatience) }
        state = .serving
        log.notice("fpm is running, pid \(ProcessID.current)")
        announceReady()
        scheduleTick()
        reloadAgain()
    }

    private var drainPatience: Duration {
        let configured = configuration.global.processControlTimeout
        return configured > .zero ? configured : Reload.defaultDrainPatience
    }

    /// A signal that came during a reload is not lost: what changed meanwhile is read now.
    private func reloadAgain() {
        guard reloadsAgain else { return }
        reloadsAgain = false
        startReload()
    }

    private func applyGlobals() {
        let global = configuration.global
        log.level = global.effectiveLogLevel
        log.limit = global.logLimit
        if !log.isPinnedToStandardError, !global.logsToSyslog, let path = global.errorLog {
            let descriptor = cepoll_open_append(path.description)
            if descriptor >= 0 {
                log.use(.file(path: path, descriptor: SharedDescriptor(adopting: descriptor)))
            }
        }
    }
}

extension Master: PoolOwner {
    var program: EngineProgram { options.program }

    var mayStartWorkers: Bool {
        switch state {
        case .starting, .serving, .reloading: true
        case .stopping: false
        }
    }

    /// `process.max` holds for each generation: while a reload drains the old one, both may have as many.
    func allowance(for pool: Pool) -> Int {
        let isNew = reload?.pools.contains { $0 === pool } ?? false
        let limit = (isNew ? reload?.configuration : configuration)?.global.processMax ?? 0
        guard limit > 0 else { return .max }
        let generation = isNew ? reload?.pools ?? [] : pools
        return max(0, limit - generation.reduce(0) { $0 + $1.runningWorkers })
    }

    /// An equal share for each pool of what the master may have open, a reserve for itself left out.
    var parkingQuota: Int {
        let free = Int(clamping: fileLimit) - 128 - 16 * configuration.pools.count
        return max(64, free / max(1, configuration.pools.count))
    }

    func closeElsewhere(_ descriptor: CInt) {
        let pid = cepoll_close_elsewhere(descriptor)
        if pid > 0 { children[ProcessID(pid)] = .helper } else { closeDescriptor(descriptor) }
    }

    func runElsewhere(_ task: () -> Void) -> Bool {
        let pid = cepoll_fork_helper()
        if pid == 0 {
            task()
            _exit(0)
        }
        guard pid > 0 else { return false }
        let helper = ProcessID(pid)
        children[helper] = .helper
        helperDeadlines[helper] = reactor.after(Self.helperPatience) { try? sendSignal(.kill, to: helper) }
        return true
    }

    func currentPool(on listener: Listener) -> Pool? { pools.first { $0.listener === listener } }

    func processMaxReached() {
        guard !warnedProcessMax else { return }
        warnedProcessMax = true
        log.warning(
            "The maximum number of processes has been reached. Please review your configuration and consider raising 'process.max'"
        )
    }

    func register(_ process: ProcessID, as role: ChildRole) -> Bool {
        switch (children[process], role) {
        case (nil, _): break
        case (
            .worker(let pool, let slot, let serial)?,
            .worker(let claimant, let claimedSlot, let claimedSerial)
        ):
            return pool === claimant && slot == claimedSlot && serial == claimedSerial
        default: return false
        }
        children[process] = role
        claims.removeValue(forKey: process)
        warnedProcessMax = false
        if state == .serving { scheduleTick() }
        return true
    }

    func claim(_ process: ProcessID, for role: ChildRole) -> Bool {
        guard children[process] == nil else { return false }
        claims[process, default: []].append(role)
        if state == .serving { scheduleTick() }
        return true
    }

    func claimExit(of process: ProcessID) -> ProcessExit? { unclaimed.removeValue(forKey: process)?.exit }

    func poolBecameReady(_ pool: Pool) {
        checkReady()
        finishReloadIfReady()
        if state == .serving { scheduleTick() }
    }

    func poolFailed(_ pool: Pool, _ reason: ByteString) {
        log.releaseOutput()
        log.error("[pool \(pool.name)] cannot start: \(reason)")
        switch state {
        case .starting:
            log.error("FPM initialization failed")
            exitStatus = 70
            stop(graceful: false)
        case .reloading: abandonReload("pool \(pool.name) cannot start")
        case .serving, .stopping: break
        }
    }

    func poolMayBeGone(_ pool: Pool) { finishStopping() }

    func workerCrashed() {
        guard emergency?.workerCrashed(at: MonotonicTime.now) == true, let emergency else { return }
        log.warning(
            "failed processes threshold (\(emergency.threshold) in \(emergency.interval.components.seconds) sec) is reached, initiating reload"
        )
        log.withOriginalStandardError { startReload() }
    }

    func whenZygoteMayStart(_ start: @escaping () -> Void) {
        guard zygotesStarting >= maximumZygotesStarting else {
            zygotesStarting += 1
            return start()
        }
        zygoteQueue.append(start)
    }

    func zygoteFinishedStarting() {
        zygotesStarting -= 1
        guard !zygoteQueue.isEmpty else { return }
        zygotesStarting += 1
        zygoteQueue.removeFirst()()
    }
}

@available(*, unavailable)
extension Master: Sendable {}
