internal import CEpoll
internal import Channel
internal import Configuration
internal import Glibc
internal import Logging
internal import Master
internal import Syscalls

/// The program from its command line to its exit status.
enum Program {
    /// Exit statuses, as php-fpm's (sysexits.h).
    private enum Status {
        static let success: CInt = 0
        static let usage: CInt = 64
        static let software: CInt = 70
        static let configuration: CInt = 78
    }

    private static let installationPrefix = "/usr"
    private static let systemConfiguration = "/etc/php/8.2/fpm/php-fpm.conf"

    static func run() -> CInt {
        openStandardStreams()
        // An image of this program that is to be replaced asks first; the arguments are its own.
        let isAsked = CommandLine.arguments.dropFirst().first == Takeover.checkOption
        let arguments = Arguments(from: isAsked ? 1 : 0)
        if !isAsked, arguments.startsService { holdSignals() }
        let executable = CommandLine.arguments.first ?? "fpmd"
        switch arguments.immediate {
        case .help?:
            print(Arguments.usage(executable, prefix: installationPrefix), terminator: "")
            return Status.success
        case .usageError?:
            print(Arguments.usage(executable, prefix: installationPrefix), terminator: "")
            fflush(nil)
            // Last, where it is seen; php-fpm leaves its users to find out.
            complain("fpmd: " + arguments.complaint)
            return Status.usage
        case .modules?, .version?, nil: break
        }
        guard var program = EngineProgram.locate(executable: commandLine().first ?? "fpmd") else {
            complain(
                "fpmd-php, the PHP engine, is neither beside this program nor in ../libexec/fpmd: install it there"
            )
            return Status.software
        }
        let choice = getenv("FPMD_PHP_HOST").map { String(cString: $0) }
        if let host = program.hostCandidate(choice: choice), EngineQuery(program: program).isHosted(by: host)
        {
            program.host = host
        }
        program.iniPath = arguments.iniPath
        program.noIni = arguments.noIni
        program.extendedInfo = arguments.extendedInfo
        program.defines = arguments.defines
        let engine = EngineQuery(program: program)
        switch arguments.immediate {
        case .version?: return engine.become("--version")
        case .modules?: return engine.become("--modules")
        default: break
        }
        if arguments.showsInfo { return engine.become("--info") }
        if isAsked { return checkTakeover(arguments, engine) }
        return serve(arguments, engine)
    }

    /// Opens those that whoever starts this has closed, as with `<&-`: what is opened next would be taken for them.
    private static func openStandardStreams() {
        var null: CInt
        repeat { null = open("/dev/null", O_RDWR) } while 0...STDERR_FILENO ~= null
        if null >= 0 { close(null) }
    }

    // MARK: - Configuration

    private static func loadOptions(_ arguments: Arguments) -> LoadOptions {
        var options = LoadOptions()
        options.purpose = arguments.testCount == 0 ? .start : arguments.testCount == 1 ? .test : .dump
        options.prefix = arguments.prefix
        options.pidFile = arguments.pidFile
        options.daemonize = arguments.daemonize
        options.isRoot = getuid() == 0
        options.allowsRoot = arguments.allowsRoot
        return options
    }

    /// `-y`, else php.ini's fpm.config, else the prefix's or the system's file.
    ///
    /// An empty one, as of a variable that is not set, names none, and then fpm.config is not asked either: so does php-fpm.
    private static func configurationPath(_ arguments: Arguments, _ engine: EngineQuery) -> ByteString {
        let named = arguments.configurationFile ?? engine.resolve("i:fpm.config") ?? ""
        if !named.isEmpty { return named }
        if let prefix = arguments.prefix { return prefix + "/etc/php-fpm.conf" }
        return ByteString(systemConfiguration)
    }

    /// What this program was called with, as it was.
    private static func commandLine() -> [ByteString] {
        (0..<Int(CommandLine.argc)).compactMap { index in
            CommandLine.unsafeArgv[index].map {
                ByteString(UnsafeRawBufferPointer(start: $0, count: strlen($0)))
            }
        }
    }

    private static func report(_ outcome: LoadOutcome, to log: Log) {
        for line in outcome.diagnostics {
            let text = line.text
            if line.isRaw {
                complain(text.description)
            } else {
                log.write(line.level, text)
            }
        }
    }

    static func complain(_ text: String) {
        let line = text + "\n"
        _ = write(STDERR_FILENO, line, line.utf8.count)
    }

    // MARK: - Service

    private static func serve(_ arguments: Arguments, _ engine: EngineQuery) -> CInt {
        detachStandardInput()
        let log = Log()
        do throws(Takeover.Unreadable) {
            if let former = try Takeover.inherited() { return resume(former, arguments, engine, log) }
        } catch {
            log.error(
                "the image of the program before this one has left what this one cannot read; restart it"
            )
            return Status.software
        }
        var options = loadOptions(arguments)
        let path = configurationPath(arguments, engine)
        let isTest = options.purpose != .start
        // A terminal in the foreground, or -O: the log is what the person sees.
        let isForeground = arguments.daemonize == false
        if !isTest, isForeground, arguments.forcesStandardError || isatty(STDERR_FILENO) == 1 {
            log.pinToStandardError()
        }
        let host = SystemHost(engine: engine, log: log, opensLogs: true)
        let outcome = load(path, options: options, host: host)
        // The file may say that this is the foreground; what is wrong with it is not said in its log either then.
        if !isTest, outcome.configuration?.global.daemonize == false,
            arguments.forcesStandardError || isatty(STDERR_FILENO) == 1
        {
            log.pinToStandardError()
        }
        report(outcome, to: log)
        guard let configuration = outcome.configuration else { return Status.configuration }
        if isTest { return Status.success }
        let global = configuration.global
        log.level = global.effectiveLogLevel
        log.limit = global.logLimit
        log.format = global.logsAsJSON ? .json : .text
        if global.logsToJournal { log.use(.journal) }
        if global.logsToSyslog {
            log.openSyslog(
                ident: global.syslogIdent ?? "php-fpm",
                facility: global.syslogFacility
            )
            log.use(.syslog)
            // To stderr, as long as that has copies; php-fpm says nothing at all then.
            if let problem = log.syslogProblem {
                log.warning(
                    "error_log = syslog: nobody listens on /dev/log: \(problem); lines are lost until a syslog daemon does, or set error_log to a file"
                )
            }
        }
        if options.isRoot, let priority = global.processPriority, cepoll_set_priority(CInt(priority)) < 0 {
            log.error("Unable to set priority for the master process: \(describe(currentErrno))")
            return Status.configuration
        }
        var start = StartReport(to: nil)
        if global.daemonize {
            switch Daemon.detach(log: log) {
            case .parent(let status): return status
            case .child(let report):
                log.releaseStandardError()
                start = report
            }
        }
        options.purpose = .start
        let service = Service(engine: engine, log: log, path: path, options: options)
        return run(configuration, host, service, after: nil, start)
    }

    /// What a master is made of beside its configuration.
    private struct Service {
        let engine: EngineQuery
        let log: Log
        let path: ByteString
        let options: LoadOptions
    }

    /// Runs the master; returns if it cannot be.
    private static func run(
        _ configuration: ServiceConfiguration,
        _ host: SystemHost,
        _ service: Service,
        after former: TakeoverState?,
        _ start: StartReport
    ) -> CInt {
        defer { start.failed() }
        let (engine, log, path, options) = (service.engine, service.log, service.path, service.options)
        guard let file = ProgramFile(calledAs: CommandLine.arguments.first ?? "") else {
            log.error("/proc is not mounted: this program cannot find itself")
            return Status.software
        }
        var again = options
        again.purpose = .reload
        let masterOptions = MasterOptions(
            program: engine.program,
            arguments: commandLine(),
            file: file,
            takeover: former,
            configurationPath: path,
            loadOptions: options,
            realUserID: getuid(),
            reload: { [again] in
                load(path, options: again, host: SystemHost(engine: engine, log: log, opensLogs: false))
            },
            reloadPool: { [again] name, current in
                let host = SystemHost(engine: engine, log: log, opensLogs: false)
                return loadPool(name, of: current, options: again, host: host)
            },
            pageFacts: { pageFacts(SystemHost(engine: engine, log: log, opensLogs: false)) },
            onRunning: { start.runs() },
            onReady: { start.succeeded() }
        )
        do {
            let master = try Master(
                configuration: configuration,
                host: host,
                options: masterOptions,
                log: log
            )
            // Nothing is torn down piece by piece: the process ends here.
            withExtendedLifetime(master) { () -> Never in
                let status = master.run()
                start.failed()
                exit(status)
            }
        } catch {
            log.error("cannot set up the event loop: \(describe(error))")
            return Status.configuration
        }
    }

    // MARK: - Another image's service

    /// Goes on with the service of the image before this one.
    private static func resume(
        _ former: TakeoverState,
        _ arguments: Arguments,
        _ engine: EngineQuery,
        _ log: Log
    ) -> CInt {
        var options = loadOptions(arguments)
        options.purpose = .start
        let path = configurationPath(arguments, engine)
        let global = GlobalSettings(pairs: former.global.map { ($0.name, $0.value) })
        if !former.hasOriginalStandardError { log.releaseStandardError() }
        let mayPin = arguments.daemonize == false || !global.daemonize
        if mayPin, former.hasOriginalStandardError,
            arguments.forcesStandardError || isatty(STDERR_FILENO) == 1
        {
            log.pinToStandardError()
        }
        log.level = global.effectiveLogLevel
        log.limit = global.logLimit
        log.format = global.logsAsJSON ? .json : .text
        if global.logsToJournal {
            log.use(.journal)
        } else if global.logsToSyslog {
            log.openSyslog(
                ident: global.syslogIdent ?? "php-fpm",
                facility: global.syslogFacility
            )
            log.use(.syslog)
        } else if let path = global.errorLog, let file = former.errorLog {
            log.use(.file(path: path, descriptor: SharedDescriptor(adopting: CInt(file))))
        }
        log.finishStartup()
        let pools = former.pools.filter { !$0.isDraining }
        let configuration = ServiceConfiguration(
            global: global,
            pools: pools.map { PoolSettings(name: $0.name, pairs: $0.settings.map { ($0.name, $0.value) }) }
        )
        let host = SystemHost(engine: engine, log: log, opensLogs: false)
        let service = Service(engine: engine, log: log, path: path, options: options)
        return run(configuration, host, service, after: former, StartReport(to: nil))
    }

    /// Answers the image before this one: whether this one would take over, with the configuration as it is now.
    private static func checkTakeover(_ arguments: Arguments, _ engine: EngineQuery) -> CInt {
        guard Takeover.check() else {
            complain("ERROR: this version cannot take over from the running one: restart the service")
            return Status.software
        }
        let log = Log()
        var options = loadOptions(arguments)
        options.purpose = .reload
        let host = SystemHost(engine: engine, log: log, opensLogs: false)
        let outcome = load(configurationPath(arguments, engine), options: options, host: host)
        for line in outcome.diagnostics where line.level >= .warning {
            complain("\(line.level.name): \(line.text)")
        }
        guard outcome.configuration != nil else { return Status.configuration }
        Takeover.consent()
        return Status.success
    }

    private static func pageFacts(_ host: SystemHost) -> PageFacts {
        let exposed = host.iniSetting("expose_php")?.description.lowercased() ?? "1"
        let isExposed = !["", "0", "off", "no", "false", "none"].contains(exposed)
        return PageFacts(
            poweredBy: isExposed ? host.constant("PHP_VERSION").map { "PHP/\($0)" } : nil,
            charset: host.iniSetting("default_charset") ?? "UTF-8"
        )
    }

    /// Signals that come before there is a loop wait for it, as in php-fpm: a reload is not the end of the start.
    ///
    /// What ends a service ends its start as well.
    private static func holdSignals() {
        cepoll_ignore_signals([SIGPIPE], 1)
        let held = [SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD]
        cepoll_block_signals(held, held.count)
    }

    private static func detachStandardInput() {
        let null = open("/dev/null", O_RDWR)
        guard null >= 0 else { return }
        dup2(null, STDIN_FILENO)
        if null > STDERR_FILENO { close(null) }
    }
}
