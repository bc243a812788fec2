internal import CEpoll
internal import Configuration
internal import Logging
internal import Reactor
internal import Scoreboard
internal import Syscalls

/// What happens every second, or every so often for systemd.
extension Master {
    /// Once a second while there are workers or zygotes; an idle service with no process does not wake up.
    func scheduleTick() {
        guard tickDeadline == nil, mayStartWorkers else { return }
        tickDeadline = reactor.after(.seconds(1)) { [weak self] in
            guard let self else { return }
            tickDeadline = nil
            guard mayStartWorkers else { return }
            for (identifier, pool) in activePools {
                // Who does not get ready holds the start up.
                if pool.isReady { pool.tick() } else { pool.checkOverdue() }
                let isIdle = !pool.hasProcesses && pool.parkedCount == 0
                if isIdle, pool.settings.processManager == .ondemand { activePools[identifier] = nil }
            }
            if !activePools.isEmpty { scheduleTick() }
        }
    }

    /// How long the service has been calm when the master gives back what only a start or a reload needs.
    private static var restPatience: Duration { .seconds(2) }

    /// Once start or reload is over for a moment: free heap goes back, and so do the program's pages; those that
    /// the calm service runs come back from the page cache, which is a quarter of them.
    func restSoon() {
        restDeadline = reactor.after(Self.restPatience) { [weak self] in
            guard let self else { return }
            restDeadline = nil
            if state == .serving { rest() } else if state == .reloading { restSoon() }
        }
    }

    private func rest() {
        var memory = cepoll_memory()
        cepoll_open_memory(&memory)
        cepoll_release_memory(&memory)
        cepoll_close_memory(&memory)
    }
}
