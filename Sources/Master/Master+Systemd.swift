internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Scoreboard
internal import Syscalls

/// What systemd is told: that the loop turns, how far things are, and which listeners it is to keep.
extension Master {
    /// Asked for anew well before it is over.
    private static var extensionPatience: Duration { .seconds(30) }
    private static var extensionInterval: Duration { .seconds(10) }

    func scheduleSystemd() {
        guard let interval = configuration.global.systemdInterval, interval > .zero else {
            systemdDeadline = nil
            return log.notice("systemd monitor disabled")
        }
        log.notice("systemd monitor interval set to \(interval.nanoseconds / 1_000_000)ms")
        // Where nobody listens, nothing is said, and an idle master is not woken for it.
        if systemd.isListening { armSystemd(interval) }
    }

    func armSystemd(_ interval: Duration) {
        systemdDeadline = reactor.after(interval) { [weak self] in
            guard let self else { return }
            var figures = SystemdMessage.Figures()
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

    /// While it starts or stops, the service says that it is still at it: how long that may take is for its own deadlines
    /// (a zygote's start, `process_control_timeout`) to say, and not for TimeoutStartSec= and TimeoutStopSec=.
    func extendTimeout() {
        guard systemd.isListening else { return systemdDeadline = nil }
        switch state {
        case .serving, .reloading: return
        case .starting, .stopping: break
        }
        systemd.extend(by: Self.extensionPatience)
        var interval = Self.extensionInterval
        if configuration.global.answersSystemdWatchdog {
            systemd.watchdog()
            // A short WatchdogSec= is not longer now.
            interval = min(interval, configuration.global.systemdInterval ?? interval)
        }
        systemdDeadline = reactor.after(interval) { [weak self] in self?.extendTimeout() }
    }

    // MARK: - Listeners

    /// Whether systemd has the listener too, so that it listens on when this process ends.
    func isKept(_ listener: Listener) -> Bool {
        if case .socketUnit = listener.origin { return true }
        return storesListeners && listener.storedName != nil
    }

    /// The service starts with listeners from systemd: those that no pool wants any more are given up, what was bound is
    /// stored.
    func adopt(_ source: ListenerSource, _ activated: [Listener]) {
        let kept = Set(source.kept.map { ObjectIdentifier($0.listener) })
        for listener in activated where !kept.contains(ObjectIdentifier(listener)) {
            switch listener.origin {
            case .own: continue
            case .stored: forget(listener)
            case .socketUnit(let name):
                log.warning(
                    "socket activation: no pool listens on \"\(listener.name)\" or is called \"\(name)\"; what connects there waits in vain: stop that socket unit, or give it a pool"
                )
            }
        }
        for (listener, pool, access) in source.kept where listener.origin == .stored {
            listener.adapt(to: access, pool, log)
        }
        storeListeners()
    }

    /// Gives systemd copies of the listeners that it does not have.
    func storeListeners() {
        guard storesListeners else { return }
        for listener in pools.flatMap(\.listeners) where listener.origin == .own && listener.storedName == nil
        {
            let name = StoredName.name(for: listener.name)
            systemd.store(listener.descriptor, name: name)
            listener.storedName = name
        }
    }

    /// Nobody serves on it any more: removes the file, and systemd's copy.
    func forget(_ listener: Listener) {
        listener.unlinkPath()
        if let name = listener.storedName { systemd.remove(name) }
        listener.storedName = nil
    }
}
