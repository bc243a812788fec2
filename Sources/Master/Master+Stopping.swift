internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Stopping, at once or when requests have finished.
extension Master {
    func stop(graceful: Bool) {
        switch state {
        case .stopping(graceful: false): return
        case .stopping(graceful: true) where graceful: return
        case .starting, .serving, .reloading, .stopping: break
        }
        log.releaseOutput()
        abandonReload("the service stops", isStopping: true)
        let isFirst: Bool
        if case .stopping = state { isFirst = false } else { isFirst = true }
        state = .stopping(graceful: graceful)
        if isFirst { systemd.stopping() }
        tickDeadline = nil
        extendTimeout()
        let patience = configuration.global.processControlTimeout
        let isPassedOn =
            graceful && patience > .zero && pools.contains { $0.listeners.contains { isKept($0) } }
        for pool in pools {
            pool.statusListener?.stop()
            pool.drain(
                servesWaiting: graceful && patience > .zero,
                acceptsWaiting: pool.listeners.allSatisfy { !isKept($0) }
            )
            pool.closeKept()
            keepDraining(pool)
            // Web servers see at once that nobody listens here any more; what systemd keeps is a successor's.
            for listener in pool.listeners where !isKept(listener) { listener.unlinkPath() }
        }
        use([])
        guard isPassedOn else {
            stopDeadline = nil
            endPools(graceful ? .quit : .terminate)
            return finishStopping()
        }
        // A connection that has been accepted and not spoken yet is nobody else's: workers stay for its request.
        stopDeadline = reactor.after(.milliseconds(100)) { [weak self] in self?.endPools(.quit) }
    }

    private func endPools(_ first: Signal) {
        let patience = configuration.global.processControlTimeout
        for pool in drainingPools.values { pool.end(first, patience: patience) }
    }

    func finishStopping() {
        guard case .stopping = state, drainingPools.isEmpty, !hasFinished else { return }
        hasFinished = true
        closeControl()
        log.notice("exiting, bye-bye!")
        useMetrics(nil)
        if let path = configuration.global.pidFile, isOwn(path), unlink(path.cString) != 0 {
            log.warning("Unable to remove the PID file (\(path)).: \(describe(currentErrno))")
        }
        systemd.flush()
        reactor.stop()
    }
}
