internal import CScoreboard
internal import Configuration
internal import Logging
internal import Reactor
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// The end of a pool: it takes nothing more, its workers finish, and who does not is told ever more harshly.
extension Pool {
    /// Stops taking connections; workers finish what they have.
    ///
    /// Connections that wait stay in `connections`.
    ///
    /// - Parameters:
    ///   - servesWaiting: Workers are to serve what waits before they leave (a graceful stop); otherwise a successor
    ///     takes it over.
    ///   - acceptsWaiting: Also what has not been accepted; otherwise it is the next process's.
    func drain(servesWaiting: Bool = false, acceptsWaiting: Bool = true) {
        guard state != .draining else { return }
        state = .draining
        watch.stop()
        if !servesWaiting {
            madeQueue?.takeBack()
        } else if acceptsWaiting {
            watch.acceptAll()
        } else {
            cscoreboard_store_word(&scoreboard.pool.pointee.leaves_listener, 1)
        }
        if listener.pool === self { listener.pool = nil }
        backoffDeadline = nil
        zygoteRetry = nil
        wantedSpawns = []
        if zygote == nil { loseUnnamedWorkers() }
        closeZygote()
    }

    /// Where this pool listened status is asked for now: whose request has not come yet is answered there.
    func giveUnbegun(to status: StatusListener) {
        madeConnections?.giveSilent(to: status.take)
        madeQueue?.giveUnread(to: status.take)
    }

    /// Nobody takes the pool's kept connections over: they are closed as soon as they are idle.
    func closeKept() {
        closesKept = true
        cscoreboard_store_word(&scoreboard.pool.pointee.closes_kept, 1)
        madeConnections?.closesIdle = true
    }

    /// Tells the processes of a draining pool to end: `first` now, harsher signals when `patience` is over.
    ///
    /// A second call replaces the first (a stop while a reload drains).
    func end(_ first: Signal, patience: Duration) {
        escalation = Escalation(first: first, patience: patience, reactor: owner.reactor) { [weak self] in
            self?.signalAll($0)
        }
        escalation?.start()
    }

    private func closeZygote() {
        zygoteDeadline = nil
        if let link = zygote { terminate(link) }
    }

    /// Tells a zygote to end.
    func terminate(_ link: ZygoteLink) {
        if !send(.terminate, to: link.process) { link.shutChannel() }
    }

    /// Sends a signal to a process of this pool; false if the service may not, as it lacks CAP_KILL.
    @discardableResult func send(_ signal: Signal, to process: ProcessID) -> Bool {
        do { try sendSignal(signal, to: process) } catch {
            guard error == .notPermitted else { return true }
            owner.mayNotSignal(process, signal)
            return false
        }
        return true
    }

    private func signalAll(_ signal: Signal) {
        // Slow readers have had their time.
        if signal != .quit { madeResponses?.dropAll() }
        for worker in workers.values {
            guard let process = worker.process else { continue }
            // Until a worker has spoken its number is only claimed; it is told to leave as soon as it does.
            if case .starting = worker.state {
                guard signal == .kill else { continue }
                guard owner.isUnnamedChild(process) else {
                    claimWasFalse(worker, process)
                    continue
                }
            }
            if signal == .quit, owner.mayStartWorkers {
                log.write(.debug, "[pool \(name)] child \(process) is told to leave", worker: process)
                tellToLeave(worker, process)
                continue
            }
            log.write(
                .debug,
                "[pool \(name)] sending signal \(signal.rawValue) \(signal.name) to child \(process)",
                worker: process
            )
            if !send(signal, to: process) {
                tellToLeave(worker, process)
            } else if signal == .quit {
                worker.state = .leaving(process)
            }
        }
        if signal == .kill, let link = zygote { send(.kill, to: link.process) }
        if !hasWork { owner.poolMayBeGone(self) }
    }
}
