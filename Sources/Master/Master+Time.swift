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

    /// For how long a start or a reload has been over when the master gives back what only it needs; reloads may follow
    /// one another.
    enum RestPatience {
        case afterStart, afterReload

        fileprivate var length: Duration { self == .afterStart ? .milliseconds(100) : .seconds(2) }
    }

    /// Once start or reload is over for a moment: free heap goes back, and so do the program's pages; those that
    /// the calm service runs come back from the page cache, which is a quarter of them.
    func restSoon(_ patience: RestPatience) {
        restDeadline = reactor.after(patience.length) { [weak self] in
            guard let self else { return }
            restDeadline = nil
            if state == .serving { rest() } else if state == .reloading { restSoon(.afterReload) }
        }
    }

    private func rest() {
        var memory = cepoll_memory()
        cepoll_open_memory(&memory)
        cepoll_release_memory(&memory)
        cepoll_close_memory(&memory)
    }
}
