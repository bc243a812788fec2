/// Checks and completes what the files say, in php-fpm's order; the first error ends it.
struct Evaluation<Host: ConfigurationHost> {
    let host: Host
    let options: LoadOptions
    var log: DiagnosticLog
    var global: GlobalSettings
    /// Pools in order of definition, then the hidden status pools of those that have one.
    var pools: [EvaluatedPool]

    init(_ files: FileLoader<Host>, options: LoadOptions, host: Host) {
        self.host = host
        self.options = options
        log = files.diagnostics
        global = files.global
        pools = files.pools.map { EvaluatedPool(settings: $0, owner: nil) }
    }

    /// The accepted configuration; hidden pools are part of their owners.
    var configuration: ServiceConfiguration {
        ServiceConfiguration(global: global, pools: pools.filter { $0.owner == nil }.map(\.settings))
    }

    /// Runs every step; after a normal return ``configuration`` is complete.
    mutating func evaluate() throws(Refusal) {
        try evaluateGlobal()
        try evaluateMetrics()
        try openErrorLog()
        try chooseEventMechanism()
        guard !pools.isEmpty else {
            throw refuse(
                .error,
                "No pool defined. at least one pool section must be specified in config file",
                hint:
                    "write one, as [www] with user, listen, pm and pm.max_children, or correct what include names"
            )
        }
        // Hidden status pools join at the end and are checked in the same loop.
        var index = 0
        while index < pools.count {
            try evaluatePool(index)
            index += 1
        }
        try checkAddresses()
        try checkMetricsAddress()
        try openAccessLogs()
        try checkAccessFormats()
    }

    /// Reports what ends the load.
    mutating func refuse(_ level: LogLevel, _ message: ByteString, hint: ByteString? = nil) -> Refusal {
        log.report(level, message, hint: hint)
        return Refusal()
    }
}

/// A pool under evaluation.
struct EvaluatedPool {
    var settings: PoolSettings
    /// For the hidden pool of a `pm.status_listen`: the position of the pool that has it.
    let owner: Int?
}

// MARK: - Global settings

extension Evaluation {
    private mutating func evaluateGlobal() throws(Refusal) {
        global.pidFile = global.pidFile.map { expandGlobal($0) }
        if let socket = global.controlSocket, !ControlSocketPath.isOff(socket) {
            global.controlSocket = expandGlobal(socket)
        }
        if let daemonize = options.daemonize { global.daemonize = daemonize }
        log.threshold = global.logLevel ?? log.threshold
        guard global.logLimit >= 512 else {
            throw refuse(.error, "log_limit must be greater than 512")
        }
        guard global.processMax >= 0 else {
            throw refuse(.error, "process_max can't be negative")
        }
        guard global.idleZygotes >= 0 else {
            throw refuse(.error, "process.idle_zygotes(\(global.idleZygotes)) must be 0 or more")
        }
        guard isNiceValue(global.processPriority) else {
            throw refuse(.error, "process.priority must be included into [-19,20]")
        }
        evaluateSystemdInterval()
        global.syslogIdent = global.syslogIdent ?? "php-fpm"
        if global.syslogFacility < 0 { global.syslogFacility = 24 }
        let errorLog = global.errorLog ?? "log/php-fpm.log"
        let isWord = errorLog.equalsIgnoringCase("syslog") || errorLog.equalsIgnoringCase("journald")
        global.errorLog = isWord ? errorLog : expandGlobal(errorLog)
        if let format = global.logFormat,
            !format.equalsIgnoringCase("text"), !format.equalsIgnoringCase("json")
        {
            throw refuse(.error, "log_format: expected text or json, found \"\(format)\"")
        }
    }

    /// A watchdog that systemd asks for replaces `systemd_interval`.
    private mutating func evaluateSystemdInterval() {
        if let watchdog = host.environmentVariable("WATCHDOG_USEC") {
            let interval = Int(Int32(truncatingIfNeeded: cLong(watchdog.bytes[...]) / 2000))
            log.report(.debug, "WATCHDOG_USEC=\(watchdog), interval=\(interval)")
            if interval > 1000 {
                if let given = global.systemdInterval, given > .zero {
                    log.report(.warning, "systemd_interval option ignored")
                }
                log.report(
                    .notice,
                    "systemd watchdog configured to \(threeDigitSeconds(milliseconds: interval))sec"
                )
                global.systemdInterval = .milliseconds(interval)
                global.answersSystemdWatchdog = true
                return
            }
        }
        if global.systemdInterval.map({ $0 < .zero }) ?? true { global.systemdInterval = .seconds(10) }
    }

    private mutating func openErrorLog() throws(Refusal) {
        let path = global.errorLog ?? ""
        do throws(SystemError) {
            if global.logsToSyslog {
                try host.openLog(global.syslogIdent ?? "", as: .syslog(facility: global.syslogFacility))
            } else if global.logsToJournal {
                try host.openLog(path, as: .journal)
            } else {
                try host.openLog(path, as: .errorLog)
            }
        } catch {
            throw refuse(
                .error,
                "failed to open error_log (\(path)): \(reason(error))",
                hint: global.logsToJournal ? Self.noJournal : directoryRemedy(for: path, code: error.code)
            )
        }
        log.isErrorLogOpen = true
    }

    /// fpmd always uses epoll, and accepts the other names that php-fpm has on Linux.
    private mutating func chooseEventMechanism() throws(Refusal) {
        guard let wanted = global.eventsMechanism else {
            global.eventsMechanism = "epoll"
            return
        }
        let known: [ByteString] = ["epoll", "poll", "select"]
        guard let mechanism = known.first(where: { $0.equalsIgnoringCase(wanted) }) else {
            throw refuse(.error, "event mechanism '\(wanted)' is not available on this system")
        }
        global.eventsMechanism = mechanism
    }
}

// MARK: - Helpers

extension Evaluation {
    /// What to do where a log is to go to the journal, and there is none.
    static var noJournal: ByteString {
        "nobody listens on /run/systemd/journal/socket: start systemd-journald, or name a file"
    }

    /// `TEXT (NUMBER)` for an errno.
    func reason(_ error: SystemError) -> ByteString { "\(host.errorText(error.code)) (\(error.code))" }

    func isNiceValue(_ priority: Int?) -> Bool { priority.map { (-19...20).contains($0) } ?? true }

    /// A global path, below `-p` or the local-state directory unless absolute.
    func expandGlobal(_ path: ByteString) -> ByteString {
        path.isAbsolutePath ? path : "\(options.prefix ?? options.localStateDirectory)/\(path)"
    }

    /// The directory for a pool's relative paths.
    func pathPrefix(of pool: PoolSettings?) -> ByteString {
        pool?.prefix ?? options.prefix ?? options.installationPrefix
    }

    /// A pool's path, below its prefix unless absolute.
    func expand(_ path: ByteString, in pool: PoolSettings?) -> ByteString {
        path.isAbsolutePath ? path : "\(pathPrefix(of: pool))/\(path)"
    }
}
