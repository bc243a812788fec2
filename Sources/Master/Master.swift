public import Configuration
internal import CEpoll
internal import Glibc
public import Logging
internal import Reactor
internal import StatusPage
internal import Syscalls
public import SystemPackage

/// The master process: privileged, one thread, one loop.
///
/// Owns listeners, pools, the log; reaps; reloads; stops.
///
///     starting ── all pools ready ──► serving ⇄ reloading
///         │                              │
///         └── a pool fails: exit 70      └── TERM, INT, QUIT ──► stopping ── no process left ──► exit 0
public final class Master<Host: ConfigurationHost> {
    enum State: Equatable {
        case starting, serving, reloading
        case stopping(graceful: Bool)
    }

    let reactor: Reactor
    /// The service's log.
    public let log: Log
    let options: MasterOptions
    private let logPump: LogPump
    let host: Host
    var state = State.starting
    var inheritedFileLimit: UInt64 = 0
    let requestMemory = RequestMemory()
    var fileLimit: UInt64 = 1024

    var configuration: ServiceConfiguration
    var pools: [Pool] = []
    /// Their names, in the same order.
    var poolNames: [ByteString] = []
    /// Where each is in `pools`.
    var poolIndices: [ByteString: Int] = [:]
    /// Those that are not ready; while the service starts.
    var unreadyPools = 0
    /// Pools with processes that serve no more.
    var drainingPools: [ObjectIdentifier: Pool] = [:]
    /// Pools that have something to do each second.
    var activePools: [ObjectIdentifier: Pool] = [:]
    let warmZygotes = WarmZygotes()
    /// The next pool whose zygote may be started before it is needed.
    var aheadIndex = 0
    var children: [ProcessID: ChildRole] = [:]
    /// Children that a zygote has named and that have not spoken themselves yet.
    ///
    /// Two may name the same: one of them lies.
    var claims: [ProcessID: [ChildRole]] = [:]
    var unclaimed: [ProcessID: (exit: ProcessExit, deadline: Reactor.Deadline)] = [:]
    static var mostUnclaimed: Int { 4096 }
    /// Lines about children that nobody has named.
    var unknownChildren = Allowance(most: 20, period: .seconds(1))
    /// Pools of whose workers nobody will name the numbers any more.
    var lostUnnamed: [LostWorker] = []
    var warnedProcessMax = false
    var zygoteStarts = ZygoteStarts()

    let signals: OwnedDescriptor
    /// For the accept queues of Unix sockets.
    let diagnosis: SharedDescriptor?
    var signalWatch: Reactor.Registration?
    var tickDeadline: Reactor.Deadline?
    var restDeadline: Reactor.Deadline?
    /// Output of other processes is kept back no longer than this: it may say why nothing gets ready.
    static var longestHold: Duration { .seconds(5) }
    var holdDeadline: Reactor.Deadline?
    /// What a helper does takes milliseconds, unless somebody wants it to take forever.
    static var helperPatience: Duration { .seconds(5) }
    var helperDeadlines: [ProcessID: Reactor.Deadline] = [:]
    var systemdDeadline: Reactor.Deadline?
    let systemd: SystemdNotifier
    /// Whether systemd keeps copies of the listeners: FDSTORE is how many it keeps at most (systemd.exec(5)).
    let storesListeners: Bool
    static var reapedAtOnce: Int { 128 }
    var reapDeadline: Reactor.Deadline?
    /// When workers are told to leave after a stop has begun.
    var stopDeadline: Reactor.Deadline?
    var reload: Reload?
    /// A new image of the program is asked whether it would take over.
    var upgrade: UpgradeCheck?
    var upgradeDelay: Reactor.Deadline?
    /// SIGUSR2 came while a reload was under way: another one follows.
    var reloadsAgain = false
    var nextReload: Reactor.Deadline?
    var emergency: EmergencyRestart?
    var metrics: MetricsListener?
    let scrapes = Scrapes()
    /// What adds up of pools' former generations, whose processes have ended.
    var formerTotals: [ByteString: PoolTotals] = [:]
    var reloadsDone = 0
    var reloadsRefused = 0
    var lastReloadWorked = true
    /// The control socket, and what is asked on it.
    var control: ControlSocket?
    /// The former one, while somebody waits for its answer.
    var leavingControl: ControlSocket?
    var reloadWaiters: [ReloadWaiter] = []
    var reloadsBegun = 0
    /// Warnings and errors since the last reload began.
    var problems: [ByteString] = []
    var controlRetries: [Reactor.Deadline] = []
    let startedAt = MonotonicTime.now
    /// The next reload executes the program's file even if it is the same: `fpmctl restart`.
    var isRestartAsked = false
    var exitStatus: CInt = 0
    var hasFinished = false
    var hasSaidMayNotSignal = false

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
        logPump = LogPump(log: log, reactor: reactor)
        systemd = SystemdNotifier(reactor: reactor)
        let kept = getenv("FDSTORE").flatMap { Int(String(cString: $0)) } ?? 0
        storesListeners = systemd.isListening && kept > 0
        cepoll_default_dispositions()
        // A log at its limit of size (RLIMIT_FSIZE) loses lines, as on a full disk. Workers get the default back.
        cepoll_ignore_signals([SIGXFSZ], 1)
        let handled = [SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD]
        signals = OwnedDescriptor(
            adopting: try retryingOnInterrupt { cepoll_signalfd(handled, handled.count) }
        )
        let diag = cepoll_diag_socket()
        diagnosis = diag < 0 ? nil : SharedDescriptor(adopting: diag)
        zygoteStarts.most = max(4, 2 * Int(sysconf(CInt(_SC_NPROCESSORS_ONLN))))
    }

    // MARK: - Start

    /// Starts everything and serves until told to stop.
    ///
    /// - Returns: The exit status: 0; 78 when something of the configuration cannot be had, 70 when a pool cannot start.
    public func run() -> CInt {
        if let former = options.takeover { return run(after: former) }
        guard applyLimits() else { return fail() }
        _ = setsid()
        guard watchSignals() else { return fail() }
        do {
            let inherited = InheritedSockets.take(log: log)
            guard let activated = ActivationSockets.take(log: log),
                ActivationSockets.agree(activated, with: configuration.pools, log: log)
            else { return fail() }
            let made = try makePools(
                configuration.pools,
                in: Generation(configuration.global),
                reusing: inherited + activated
            )
            use(made.pools)
            let metrics = try makeMetricsListener(configuration.global, inherited: inherited)
            useMetrics(metrics)
            var kept = Set(made.source.kept.map { ObjectIdentifier($0.listener) })
            if let metrics { kept.insert(ObjectIdentifier(metrics.listener)) }
            for listener in inherited where !kept.contains(ObjectIdentifier(listener)) {
                listener.unlinkPath()
            }
            adopt(made.source, activated)
        } catch { return fail() }
        guard writePIDFile() else { return fail() }
        if let mechanism = configuration.global.eventsMechanism, mechanism != "epoll" {
            log.notice("events.mechanism = \(mechanism): the event loop is epoll whatever is chosen")
        }
        log.finishStartup()
        log.notice("fpm is running, pid \(ProcessID.current)")
        options.onRunning()
        log.holdOutput()
        holdDeadline = reactor.after(Self.longestHold) { [weak self] in self?.log.releaseOutput() }
        extendTimeout()
        unreadyPools = pools.count
        openControl()
        for pool in pools {
            pool.statusListener?.start()
            pool.begin()
            // What cannot start stops the service.
            guard state == .starting else { break }
        }
        checkReady()
        return runLoop()
    }

    /// Goes by the name of a master, and is told of signals from now on; false after logging why not.
    func watchSignals() -> Bool {
        cepoll_set_title(("php-fpm: master process (\(options.configurationPath))" as ByteString).cString)
        do {
            signalWatch = try reactor.watch(signals.rawValue, for: .readable) { [weak self] _ in
                self?.receiveSignals()
            }
            return true
        } catch {
            log.error("cannot watch signals: \(describe(error))")
            return false
        }
    }

    /// Serves to the end.
    func runLoop() -> CInt {
        // Nothing was left to wait for when the start failed.
        guard !hasFinished else { return exitStatus }
        do {
            try reactor.run()
        } catch {
            log.error("epoll_wait: \(describe(error)); the master cannot go on")
            exitStatus = 70
        }
        return exitStatus
    }
}

@available(*, unavailable)
extension Master: Sendable {}
