internal import CEpoll
internal import CPHP
internal import Channel
internal import Configuration
internal import Glibc
internal import Scoreboard
internal import Syscalls
internal import SystemPackage
internal import Worker

/// A pool's template process: takes the pool's user, starts PHP once, and forks workers on request.
///
/// It is exec'ed by the master, so that PHP never runs in a privileged process and every reload picks up a new
/// php.ini, extension or PHP build. Its workers are the master's children (CLONE_PARENT): the master reaps them.
///
/// Order at start: limits and priority (need root), identity (CAP_SYS_CHROOT is kept if a chroot is still to come), PHP,
/// environment, PHP settings, chroot and no capability any more, then `zygoteReady`.
public enum Zygote {
    /// Runs the zygote on the descriptors of ``ZygoteDescriptor``.
    ///
    /// Never returns; exits 70 if PHP or the identity cannot be had, 0 when the master closes the channel.
    public static func run() -> Never {
        cepoll_close_on_exec(ZygoteDescriptor.channel, ZygoteDescriptor.end)
        // The terminal's keys are for the master; workers get the defaults back.
        let ignored = [SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2]
        cepoll_ignore_signals(ignored, ignored.count)
        guard let plan = readPlan() else { fail("the plan from the master cannot be read") }
        cepoll_set_title(("fpmd: zygote of pool \(plan.pool)" as ByteString).cString)
        applyLimits(plan)
        var memory = cepoll_memory()
        cepoll_open_memory(&memory)
        takeIdentity(plan)
        let processor = makeProcessor(plan)
        startPHP(plan, processor)
        // Extensions that the pool's settings load find the pool's environment, as in php-fpm's workers.
        setEnvironment(plan)
        applySettings(plan)
        enterRoot(plan)
        if plan.isDumpable { _ = cepoll_set_dumpable(true) }
        let channel = MessageSocket(adopting: ZygoteDescriptor.channel)
        let report = ZygoteReport(
            traceLayout: traceLayout(),
            poweredBy: poweredBy(),
            charset: Engine.iniSetting("default_charset") ?? ""
        )
        guard
            case .bytes? = report.encoded().withUnsafeBytes({
                try? channel.send(Message(.zygoteReady), payload: $0)
            })
        else {
            _exit(0)
        }
        serve(plan, processor, channel, memory)
    }

    // MARK: - Start

    private static func readPlan() -> ZygotePlan? {
        let size = lseek(ZygoteDescriptor.plan, 0, CInt(SEEK_END))
        guard size > 0, lseek(ZygoteDescriptor.plan, 0, CInt(SEEK_SET)) == 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        let count = bytes.withUnsafeMutableBytes {
            Glibc.read(ZygoteDescriptor.plan, $0.baseAddress, $0.count)
        }
        close(ZygoteDescriptor.plan)
        guard count == Int(size) else { return nil }
        return ZygotePlan(decoding: bytes)
    }

    /// Failures here are said and survived, as in php-fpm; only a priority that cannot be set ends the start.
    private static func applyLimits(_ plan: ZygotePlan) {
        if plan.fileLimit != 0, cepoll_set_file_limit(Int64(plan.fileLimit)) < 0 {
            complain(plan, limitMessage("rlimit_files", "RLIMIT_NOFILE", plan.fileLimit))
        }
        if plan.coreLimit != 0, cepoll_set_core_limit(Int64(plan.coreLimit)) < 0 {
            complain(plan, limitMessage("rlimit_core", "RLIMIT_CORE", plan.coreLimit))
        }
        if plan.isPrivileged, let priority = plan.priority, cepoll_set_priority(CInt(priority)) < 0 {
            fail("[pool \(plan.pool)] Unable to set priority for this new process: \(describe(currentErrno))")
        }
    }

    private static func limitMessage(_ directive: String, _ limit: String, _ value: Int) -> ByteString {
        ByteString(
            "failed to set \(directive) for this pool. Please check your system limits or decrease \(directive). "
                + "setrlimit(\(limit), \(value)): \(describe(currentErrno))"
        )
    }

    private static func takeIdentity(_ plan: ZygotePlan) {
        guard plan.isPrivileged else { return }
        var step = noStep()
        let name = plan.userName?.cString
        let result =
            plan.chroot == nil
            ? cepoll_become(plan.userID, plan.groupID, name, false, &step)
            : cepoll_become_keeping_chroot(plan.userID, plan.groupID, name, &step)
        if result < 0 { identityFailure(plan, step) }
    }

    /// chroot (which had to wait for PHP's start, and is the one privilege kept until now), chdir, and the AppArmor hat.
    private static func enterRoot(_ plan: ZygotePlan) {
        // Opened before a chroot hides it.
        let confinement = plan.apparmorHat == nil ? -1 : cepoll_open_confinement()
        if plan.apparmorHat != nil, confinement < 0 {
            fail("[pool \(plan.pool)] failed to query apparmor confinement: \(describe(currentErrno))")
        }
        defer { if let hat = plan.apparmorHat { confine(plan, confinement, hat) } }
        if plan.isPrivileged, let chroot = plan.chroot {
            if cepoll_change_root(chroot.cString) < 0 {
                fail("[pool \(plan.pool)] failed to chroot(\(chroot)): \(describe(currentErrno))")
            }
        }
        if let chdir = plan.chdir, Glibc.chdir(chdir.cString) < 0 {
            fail("[pool \(plan.pool)] failed to chdir(\(chdir)): \(describe(currentErrno))")
        }
        if plan.isPrivileged, plan.chroot != nil, cepoll_drop_capabilities() < 0 {
            fail("[pool \(plan.pool)] failed to drop CAP_SYS_CHROOT: \(describe(currentErrno))")
        }
    }

    private static func confine(_ plan: ZygotePlan, _ file: CInt, _ hat: ByteString) {
        var step = noStep()
        if cepoll_confine(file, hat.cString, &step) < 0 {
            fail("[pool \(plan.pool)] failed to \(String(cString: step)): \(describe(currentErrno))")
        }
        close(file)
    }

    /// Where a call names its failed step.
    private static func noStep() -> UnsafePointer<CChar> {
        let text = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
        text.initialize(to: 0)
        return UnsafePointer(text)
    }

    private static func identityFailure(_ plan: ZygotePlan, _ step: UnsafePointer<CChar>) -> Never {
        fail("[pool \(plan.pool)] failed to \(String(cString: step)): \(describe(currentErrno))")
    }

    private static func makeProcessor(_ plan: ZygotePlan) -> RequestProcessor {
        let memory = SharedDescriptor(adopting: ZygoteDescriptor.scoreboard)
        guard let scoreboard = try? Scoreboard(mapping: memory, slotCount: plan.slotCount) else {
            fail("[pool \(plan.pool)] the scoreboard cannot be mapped: \(describe(currentErrno))")
        }
        let settings = WorkerSettings(
            plan: plan,
            scoreboard: scoreboard,
            listener: ZygoteDescriptor.listener,
            queue: MessageSocket(adopting: ZygoteDescriptor.queue),
            accessLog: plan.accessFormat == nil ? nil : SharedDescriptor(adopting: ZygoteDescriptor.accessLog)
        )
        let log = WorkerLog(level: plan.logLevel, limit: plan.logLimit, isCaught: plan.catchesOutput)
        return RequestProcessor(settings: settings, log: log)
    }

    private static func startPHP(_ plan: ZygotePlan, _ processor: RequestProcessor) {
        fpmd_php_hide_notices(plan.logLevel > .notice)
        let started = Engine.withOptions(plan) { options in processor.startPHP { fpmd_php_start(options, $0) }
        }
        if started < 0 { fail("[pool \(plan.pool)] PHP does not start: see its messages above") }
    }

    private static func applySettings(_ plan: ZygotePlan) {
        for setting in plan.settings
        where !fpmd_php_apply_setting(setting.name.cString, setting.value.cString, setting.isAdmin) {
            let directive = setting.isAdmin ? "php_admin_value" : "php_value"
            say(plan, "Unable to set \(directive) '\(setting.name)'")
        }
        // A thread would not be copied by the fork, and a lock it holds would stay locked in every worker.
        if cepoll_thread_count() > 1 {
            complain(plan, "an extension has started a thread: workers may hang on a lock that it held")
        }
        let suffixes = CTexts(plan.limitExtensions)
        suffixes.withPointers { fpmd_php_set_limit_extensions($0, plan.limitExtensions.count) }
        fpmd_php_set_log_limit(plan.logLimit)
    }

    /// Where the frames of PHP functions are in this process's workers, for the slow log.
    private static func traceLayout() -> TraceLayout? {
        var layout = fpmd_trace_layout()
        fpmd_php_trace_layout(&layout)
        return TraceLayout([
            layout.current_frame, layout.frame_function, layout.frame_previous, layout.frame_opline,
            layout.function_type, layout.function_name, layout.function_file, layout.opline_line,
            layout.text_length,
            layout.text_start,
        ])
    }

    /// What PHP says of itself in a header, if it does.
    private static func poweredBy() -> ByteString? {
        let exposed = Engine.iniSetting("expose_php")?.description.lowercased() ?? "1"
        guard !["", "0", "off", "no", "false", "none"].contains(exposed) else { return nil }
        return Engine.constant("PHP_VERSION").map { "PHP/\($0)" }
    }

    private static func setEnvironment(_ plan: ZygotePlan) {
        if plan.clearsEnvironment { cepoll_clear_environment() }
        for entry in plan.environment { setenv(entry.name.cString, entry.value.cString, 1) }
    }

    // MARK: - Forking

    /// Milliseconds without an order after which the zygote gives back what it does not need while it waits: what only PHP's
    /// start used, and later what workers were started with.
    ///
    /// Workers have what they use of the programs anyway.
    private static let restPatience: (first: CInt, later: CInt) = (100, 1000)

    /// Waits for spawn requests until the master closes the channel.
    private static func serve(
        _ plan: ZygotePlan,
        _ processor: RequestProcessor,
        _ channel: MessageSocket,
        _ memory: cepoll_memory
    )
        -> Never
    {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Message.length, alignment: 16)
        var patience = restPatience.first
        while true {
            if cepoll_poll_one(channel.descriptor, UInt32(CEPOLL_IN), patience) == 0 {
                withUnsafePointer(to: memory) { _ = cepoll_release_memory($0) }
                patience = restPatience.later
            }
            guard let arrival = try? channel.receive(into: buffer, wait: true) else { _exit(70) }
            switch arrival {
            case .message(let request, _, let descriptors, _)
            where request.kind == .spawn && descriptors.count == 3:
                spawn(plan, processor, channel, memory, request, descriptors)
            case .message(let order, _, let descriptors, _) where order.kind == .accessLog:
                if let file = descriptors.first { _ = cepoll_replace(file, ZygoteDescriptor.accessLog) }
                for descriptor in descriptors { closeDescriptor(descriptor) }
            case .message(_, _, let descriptors, _):
                for descriptor in descriptors { closeDescriptor(descriptor) }
            case .closed: _exit(0)
            case .wouldBlock: continue
            case .malformed(let descriptors): for descriptor in descriptors { closeDescriptor(descriptor) }
            case .descriptorsLost(let descriptors):
                for descriptor in descriptors { closeDescriptor(descriptor) }
                // The next order would fail likewise.
                fail(
                    "[pool \(plan.pool)] a worker's descriptors cannot be taken: consider raising rlimit_files"
                )
            }
        }
    }

    /// The only fork of the program.
    private static func spawn(
        _ plan: ZygotePlan,
        _ processor: RequestProcessor,
        _ channel: MessageSocket,
        _ memory: cepoll_memory,
        _ request: Message,
        _ descriptors: [CInt]
    ) {
        var reply = Message(.spawned, slot: request.slot, serial: request.serial)
        defer {
            for descriptor in descriptors { closeDescriptor(descriptor) }
            _ = try? channel.send(reply)
        }
        guard request.slot < plan.slotCount else {
            reply.kind = .spawnFailed
            reply.value = UInt64(EINVAL)
            return
        }
        let blocked = [SIGTERM, SIGQUIT, SIGINT, SIGUSR1, SIGUSR2, SIGCHLD]
        cepoll_block_signals(blocked, blocked.count)
        let pid = cepoll_fork_sibling()
        if pid == 0 {
            if plan.allowsTracing { cepoll_allow_tracing() }
            var memory = memory
            cepoll_close_memory(&memory)
            becomeWorker(processor, channel, Int(request.slot), descriptors)
        }
        let error = currentErrno
        cepoll_unblock_all_signals()
        if pid < 0 {
            reply.kind = .spawnFailed
            reply.value = UInt64(error.rawValue)
        } else {
            reply.value = UInt64(pid)
        }
    }

    /// In the new process: closes by list what only the zygote needs, takes its output, and serves.
    private static func becomeWorker(
        _ processor: RequestProcessor,
        _ channel: MessageSocket,
        _ slot: Int,
        _ descriptors: [CInt]
    ) -> Never {
        cepoll_default_dispositions()
        close(channel.descriptor)
        dup2(descriptors[1], STDOUT_FILENO)
        dup2(descriptors[2], STDERR_FILENO)
        close(descriptors[1])
        close(descriptors[2])
        Worker.run(processor: processor, slot: slot, channel: MessageSocket(adopting: descriptors[0]))
    }

    // MARK: - Complaints

    private static func complain(_ plan: ZygotePlan, _ message: ByteString) {
        say(plan, "[pool \(plan.pool)] \(message)")
    }

    private static func say(_ plan: ZygotePlan, _ message: ByteString) {
        WorkerLog(level: plan.logLevel, limit: plan.logLimit, isCaught: false).write(.error, message)
    }

    /// Says why on stderr, which the master logs, and exits 70.
    private static func fail(_ message: ByteString) -> Never {
        WorkerLog(level: .debug, limit: 2048, isCaught: false).write(.error, message)
        _exit(70)
    }
}
