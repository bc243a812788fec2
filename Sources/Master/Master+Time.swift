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
}
