internal import Configuration
internal import Logging
internal import Reactor
internal import Scoreboard
internal import Syscalls

/// What happens every second, or every so often for systemd.
extension Master {
    /// Once a second while there are workers; an idle service with no process does not wake up.
    func scheduleTick() {
        guard tickDeadline == nil else { return }
        tickDeadline = reactor.after(.seconds(1)) { [weak self] in
            guard let self else { return }
            tickDeadline = nil
            guard state == .serving || state == .reloading else { return }
            for (identifier, pool) in activePools {
                pool.tick()
                let isIdle = !pool.hasProcesses && pool.parkedCount == 0
                if isIdle, pool.settings.processManager == .ondemand { activePools[identifier] = nil }
            }
            if !activePools.isEmpty { scheduleTick() }
        }
    }

    func scheduleSystemd() {
        guard let interval = configuration.global.systemdInterval, interval > .zero else {
            return log.notice("systemd monitor disabled")
        }
        log.notice("systemd monitor interval set to \(interval.nanoseconds / 1_000_000)ms")
        // Where nobody listens, nothing is said, and an idle master is not woken for it.
        if systemd.isListening { armSystemd(interval) }
    }

    func armSystemd(_ interval: Duration) {
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
}
