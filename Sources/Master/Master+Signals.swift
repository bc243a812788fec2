internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Signals, and the ends of children.
extension Master {
    func receiveSignals() {
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

    func handle(_ signal: Signal) {
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

    func reap() {
        for _ in 0..<Self.reapedAtOnce {
            guard let exit = reapChild() else { return finishStopping() }
            var roles = claims.removeValue(forKey: exit.process) ?? []
            if let known = children.removeValue(forKey: exit.process) { roles = [known] }
            if roles.isEmpty { keepUnclaimed(exit) }
            for role in roles {
                switch role {
                case .helper: helperDeadlines[exit.process] = nil
                case .upgradeCheck: upgrade?.ended(exit)
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
    func keepUnclaimed(_ exit: ProcessExit) {
        let deadline = reactor.after(.seconds(1)) { [weak self] in
            guard let self, let late = unclaimed.removeValue(forKey: exit.process) else { return }
            reportUnknown(late.exit)
        }
        unclaimed[exit.process] = (exit, deadline)
    }

    func reportUnknown(_ exit: ProcessExit) {
        if let pool = poolThatLost() {
            log.write(
                mayStartWorkers ? .warning : .debug,
                "[pool \(pool)] child \(exit.process) exited \(describeExit(exit)) before it or its zygote, which has ended too, had named it",
                .pool(pool, worker: "\(exit.process)")
            )
        } else if getpid() == 1 {
            log.debug(
                "unknown child (\(exit.process)) exited \(describeExit(exit)) - most likely an orphan process (master process is the init process)"
            )
        } else {
            log.warning(
                "unknown child (\(exit.process)) exited \(describeExit(exit)) - potentially a bug or pre exec child (e.g. s6-notifyoncheck)"
            )
        }
    }

    /// The one pool that has lost a worker of unknown number just now; nil if there is none, or more than one.
    ///
    /// As the first process of a container the master reaps anybody's orphans: then nobody knows.
    private func poolThatLost() -> ByteString? {
        let now = MonotonicTime.now
        lostUnnamed.removeAll { now - $0.time > .seconds(3) }
        guard getpid() != 1, let first = lostUnnamed.first,
            lostUnnamed.allSatisfy({ $0.pool == first.pool })
        else { return nil }
        return lostUnnamed.removeFirst().pool
    }

    func reopenLogs() {
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
        for pool in pools + Array(drainingPools.values) + (reload?.pools ?? []) {
            switch pool.reopenAccessLog() {
            case .success(false): continue
            case .success(true): log.notice("access log file re-opened")
            case .failure(let error): log.error("unable to re-opened access log file: \(describe(error))")
            }
        }
    }
}
