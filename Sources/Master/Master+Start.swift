internal import CEpoll
internal import Channel
internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Limits, pools and their listeners, the pid file.
extension Master {
    /// `rlimit_files` and `rlimit_core`, for the master and all it starts; without the former the master takes what it
    /// may have, and its children get what it was given.
    func applyLimits() -> Bool {
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

    func limitMessage(_ directive: String, _ limit: String, _ value: Int) -> ByteString {
        ByteString(
            "failed to set \(directive) for this pool. Please check your system limits or decrease \(directive). "
                + "setrlimit(\(limit), \(value)): \(describe(currentErrno))"
        )
    }

    func fail() -> CInt {
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
    func dropUnusedListeners() {
        let used = pools.flatMap(\.listeners)
        for listener in listeners where !used.contains(where: { $0 === listener }) { listener.unlinkPath() }
        listeners = listeners.filter { listener in used.contains { $0 === listener } }
    }

    func makePool(
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

    func writePIDFile() -> Bool {
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
    func isOwn(_ path: ByteString) -> Bool {
        guard let bytes = try? host.readFile(path) else { return true }
        return bytes == Array(ProcessID.current.description.utf8)
    }

    func checkReady() {
        guard state == .starting, pools.allSatisfy(\.isReady) else { return }
        state = .serving
        announceReady()
        scheduleTick()
        reloadAgain()
    }

    func announceReady() {
        log.notice("ready to handle connections")
        log.releaseOutput()
        switch systemd.ready() {
        case .failed(let reason): log.warning("failed to notify start to systemd: \(reason)")
        case .sent, .absent: log.debug("have notify start to systemd")
        }
        scheduleSystemd()
    }
}
