internal import CEpoll
internal import CSystemd
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
        if global.rlimitFiles != 0 {
            guard cepoll_set_file_limit(Int64(global.rlimitFiles)) == 0 else {
                log.error(limitMessage("rlimit_files", "RLIMIT_NOFILE", global.rlimitFiles))
                return false
            }
            let limit = UInt64(max(0, global.rlimitFiles))
            (inheritedFileLimit, fileLimit) = (limit, limit)
        } else if inheritedFileLimit == 0 {
            inheritedFileLimit = cepoll_raise_file_limit(&fileLimit)
            // A listener for each pool, and what its first processes need; root may have more than it was given.
            let wanted = 1024 + 8 * configuration.pools.count
            if fileLimit < wanted, cepoll_set_file_limit(Int64(wanted)) == 0 { fileLimit = UInt64(wanted) }
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

    /// The pools of a generation, and where their listeners came from.
    struct NewPools {
        let generation: Generation
        var pools: [Pool] = []
        var source: ListenerSource
    }

    /// Binds what is new, and builds pools around their listeners.
    ///
    /// - Throws: ``Listener/Unavailable`` with what it is, after logging the reason; what was bound here is closed again.
    func makePools(_ settings: [PoolSettings], in generation: Generation, reusing existing: [Listener])
        throws(Listener.Unavailable) -> NewPools
    {
        var made = NewPools(generation: generation, source: ListenerSource(existing: existing, host: host))
        made.pools.reserveCapacity(settings.count)
        let users = LookupCache(host)
        var engines = EngineVariants()
        var facts: PageFacts?
        // What is being set up.
        var what: ByteString = ""
        do throws(Listener.Unavailable) {
            for one in settings {
                what = "user or group of pool \(one.name)"
                let (identity, diagnostics) = one.resolveIdentity(
                    options: options.loadOptions,
                    realUserID: options.realUserID,
                    host: users
                )
                for line in diagnostics { log.write(line.level, line.text) }
                guard let identity else { throw Listener.Unavailable() }
                what = "listen = \(one.listenText ?? "") of pool \(one.name)"
                let listener = try made.source.listener(for: one, log: log, users: users)
                what = "access.log = \(one.accessLog ?? "") of pool \(one.name)"
                let pool = try makePool(one, generation, identity, listener)
                if let extra = one.statusListenerSettings {
                    what = "pm.status_listen = \(extra.listenText ?? "") of pool \(one.name)"
                    let known = facts ?? options.pageFacts()
                    facts = known
                    pool.statusListener = StatusListener(
                        listener: try made.source.listener(
                            for: extra,
                            of: "pm.status_listen of pool \(one.name)",
                            log: log,
                            users: users
                        ),
                        pool: pool,
                        facts: known,
                        reactor: reactor,
                        log: log
                    )
                }
                pool.triesEngine = engines.isUntried(one)
                made.pools.append(pool)
            }
        } catch {
            made.source.withdraw()
            throw Listener.Unavailable(what: what)
        }
        return made
    }

    private func makePool(
        _ settings: PoolSettings,
        _ generation: Generation,
        _ identity: PoolIdentity,
        _ listener: Listener
    ) throws(Listener.Unavailable) -> Pool {
        do throws(Errno) {
            return Pool(
                settings: settings,
                identity: identity,
                generation: generation,
                listener: listener,
                accessLog: try settings.openAccessLog(),
                owner: self
            )
        } catch {
            let remedy = fileLimitRemedy(error).map { "; \($0)" as ByteString } ?? ""
            log.error(
                "[pool \(settings.name)] cannot be set up: \(describe(error))\(remedy)",
                .pool(settings.name)
            )
            throw Listener.Unavailable()
        }
    }

    /// Writes the pid file, if there is to be one.
    ///
    /// - Parameter consequence: What the line about a failure begins with.
    /// - Returns: False after logging why it cannot be written.
    func writePIDFile(orSay consequence: ByteString = "") -> Bool {
        guard let path = configuration.global.pidFile else { return true }
        let text = path.cString
        var file = stat()
        // php-fpm puts its file in the place of /dev/null.
        if lstat(text, &file) == 0, [S_IFCHR, S_IFBLK].contains(file.st_mode & S_IFMT) {
            log.error(
                "\(consequence)Unable to create the PID file (\(path)).: it is a device; for no PID file leave pid out"
            )
            return false
        }
        let descriptor = cepoll_create_file(text, 0o644)
        let digits = ProcessID.current.description
        let isWritten = descriptor >= 0 && write(descriptor, digits, digits.utf8.count) == digits.utf8.count
        if !isWritten {
            let error = currentErrno
            let remedy =
                directoryRemedy(for: path, code: error.rawValue).map { "; \($0)" as ByteString } ?? ""
            log.error("\(consequence)Unable to create the PID file (\(path)).: \(describe(error))\(remedy)")
        }
        if descriptor >= 0 { close(descriptor) }
        return isWritten
    }

    /// Whether the pid file still names this process: another instance may have started meanwhile.
    func isOwn(_ path: ByteString) -> Bool {
        guard let bytes = try? host.readFile(path) else { return true }
        return bytes == Array(ProcessID.current.description.utf8)
    }

    func checkReady() {
        guard state == .starting, unreadyPools <= 0 else { return }
        state = .serving
        options.onReady()
        announceReady()
        scheduleTick()
        startZygotesAhead()
        reloadAgain()
    }

    func announceReady() {
        log.notice("ready to handle connections")
        log.releaseOutput()
        switch systemd.ready(status: "Ready to handle connections") {
        case .failed(let code):
            log.warning("failed to notify start to systemd: \(String(cString: strerror(code)))")
        case .sent, .absent: log.debug("have notify start to systemd")
        }
        scheduleSystemd()
        restSoon(.afterStart)
    }
}

extension PoolSettings {
    /// Opens what `access.log` names: a file, or a socket to journald, which workers then speak to; nil without one.
    func openAccessLog() throws(Errno) -> SharedDescriptor? {
        guard let path = accessLog else { return nil }
        let text = path.cString
        let isJournal = logsAccessToJournal
        return SharedDescriptor(
            adopting: try retryingOnInterrupt {
                isJournal ? csystemd_connect(Log.journalPath) : cepoll_open_append(text)
            }
        )
    }
}
