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
        guard unclaimed.count < Self.mostUnclaimed else { return reportUnknown(exit) }
        let deadline = reactor.after(.seconds(1)) { [weak self] in
            guard let self, let late = unclaimed.removeValue(forKey: exit.process) else { return }
            reportUnknown(late.exit)
        }
        unclaimed[exit.process] = (exit, deadline)
    }

    func reportUnknown(_ exit: ProcessExit) {
        let losses = losses(behind: exit)
        let isExpected = losses.contains { $0.isAlive } || !mayStartWorkers
        // Any process of a pool can have as many children in its parent's name as it likes (CLONE_PARENT).
        guard isExpected || getpid() == 1 || unknownChildren.take(at: MonotonicTime.now) else { return }
        // As the first process of a container the master reaps anybody's orphans.
        if getpid() != 1, let first = losses.first, losses.allSatisfy({ $0.pool == first.pool }) {
            if let index = lostUnnamed.firstIndex(of: first) { lostUnnamed.remove(at: index) }
            log.write(
                isExpected ? .debug : .warning,
                "[pool \(first.pool)] child \(exit.process) exited \(describeExit(exit)) before it or its zygote, which has ended too, had named it",
                .pool(first.pool, worker: "\(exit.process)")
            )
        } else if getpid() == 1 {
            log.debug(
                "unknown child (\(exit.process)) exited \(describeExit(exit)) - most likely an orphan process (master process is the init process)"
            )
        } else {
            log.write(
                isExpected ? .debug : .warning,
                "unknown child (\(exit.process)) exited \(describeExit(exit)) - potentially a bug or pre exec child (e.g. s6-notifyoncheck)"
            )
        }
    }

    /// What may explain the end of a child that nobody has named.
    private func losses(behind exit: ProcessExit) -> [LostWorker] {
        let now = MonotonicTime.now
        lostUnnamed.removeAll { now - $0.time > ($0.isAlive ? .seconds(60) : .seconds(3)) }
        // Who leaves by itself was alive when its zygote had gone.
        return exit.reason == .code(0) ? lostUnnamed.filter(\.isAlive) : lostUnnamed
    }

    func reopenLogs() {
        if case .file(let path, _) = log.destination {
            let text = path.cString
            let descriptor = cepoll_open_append(text)
            if descriptor >= 0 {
                log.use(.file(path: path, descriptor: SharedDescriptor(adopting: descriptor)))
                log.notice("error log file re-opened")
            } else {
                let reason = describe(currentErrno)
                log.error("failed to open error_log (\(path)): \(reason)")
                log.error("unable to re-opened error log file")
            }
        } else {
            log.notice("error log file re-opened")
        }
        for pool in pools + Array(drainingPools.values) + (reload?.pools ?? []) {
            switch pool.reopenAccessLog() {
            case .success(false): continue
            case .success(true): log.notice("access log file re-opened")
            case .failure(let error):
                pool.log.write(
                    .error,
                    "failed to open access log (\(pool.settings.accessLog ?? "")): \(describe(error))"
                )
                log.error("unable to re-opened access log file")
            }
        }
    }
}

/// A worker whose number nobody will name any more, as its zygote has gone.
struct LostWorker: Equatable {
    let pool: ByteString
    /// It was there, and leaves by itself: its pool drains.
    let isAlive: Bool
    let time: MonotonicTime
}
