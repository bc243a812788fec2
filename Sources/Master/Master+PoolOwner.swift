internal import Channel
internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// What pools need of the master.
extension Master: PoolOwner {
    var program: EngineProgram { options.program }

    var socketDiagnosis: CInt? { diagnosis?.rawValue }

    var mayStartWorkers: Bool {
        switch state {
        case .starting, .serving, .reloading: true
        case .stopping: false
        }
    }

    func plan(for pool: Pool) -> ZygotePlan {
        PlanBuilder.plan(
            for: pool.settings,
            on: pool.listener,
            global: pool.generation.global,
            inForce: configuration.global,
            identity: pool.identity,
            isRoot: options.loadOptions.isRoot,
            program: options.program,
            host: host
        )
    }

    func poolIsActive(_ pool: Pool) {
        activePools[ObjectIdentifier(pool)] = pool
        scheduleTick()
    }

    /// An equal share for each pool of what the master may have open, less what it needs itself and what workers cost.
    var parkingQuota: Int {
        let limit = Int(clamping: fileLimit)
        let count = max(1, configuration.pools.count)
        let own = min(128, limit / 4) + min(16 * count, limit / 4)
        var workers = 0
        for pool in configuration.pools where workers < limit / 2 {
            workers += pool.maxChildren * Pool.descriptorsPerWorker
        }
        return max(min(64, limit / 8), (limit - own - min(workers, limit / 2)) / count)
    }

    /// The kernel gives the lowest number that is free: this one says that only a reserve is left.
    ///
    /// It is for what workers give back, which is lost when there is no number for it.
    var descriptorCeiling: CInt {
        let limit = Int(clamping: fileLimit)
        return CInt(clamping: limit - min(64, limit / 4))
    }

    func closeElsewhere(_ descriptor: CInt) {
        let pid = cepoll_close_elsewhere(descriptor)
        if pid > 0 { addHelper(ProcessID(pid)) } else { cepoll_close_bounded(descriptor) }
    }

    func mayNotSignal(_ process: ProcessID, _ signal: Signal) {
        guard !hasSaidMayNotSignal else { return }
        hasSaidMayNotSignal = true
        log.error(
            "failed to send \(signal.name) to child \(process): \(describe(.notPermitted)); give the service CAP_KILL"
        )
    }

    /// A helper process, which is killed if it takes long.
    func addHelper(_ process: ProcessID) {
        children[process] = .helper
        helperDeadlines[process] = reactor.after(Self.helperPatience) { try? sendSignal(.kill, to: process) }
    }

    func runElsewhere(_ task: () -> Void) -> Bool {
        let pid = cepoll_fork_helper()
        if pid == 0 {
            log.abandonWaiting()
            task()
            _exit(0)
        }
        guard pid > 0 else { return false }
        addHelper(ProcessID(pid))
        return true
    }

    func processMaxReached() {
        guard !warnedProcessMax else { return }
        warnedProcessMax = true
        log.warning(
            "The maximum number of processes has been reached. Please review your configuration and consider raising 'process.max'"
        )
    }

    func register(_ process: ProcessID, as role: ChildRole) -> Bool {
        if let known = children[process] { return isSame(known, role) }
        children[process] = role
        for other in claims.removeValue(forKey: process) ?? [] where !isSame(other, role) {
            if case .worker(let pool, let slot, let serial) = other {
                pool.isSettled(process, slot: slot, serial: serial)
            }
        }
        warnedProcessMax = false
        scheduleTick()
        return true
    }

    /// Whether both are the same worker.
    private func isSame(_ one: ChildRole, _ other: ChildRole) -> Bool {
        guard case .worker(let pool, let slot, let serial) = one,
            case .worker(let otherPool, let otherSlot, let otherSerial) = other
        else { return false }
        return pool === otherPool && slot == otherSlot && serial == otherSerial
    }

    func claim(_ process: ProcessID, for role: ChildRole) -> Bool {
        guard children[process] == nil, case .worker(let pool, _, _) = role else { return false }
        // Others may lie about the same child; whoever says it twice does.
        let isNew = claims[process, default: []].allSatisfy { other in
            if case .worker(let claimant, _, _) = other { claimant !== pool } else { true }
        }
        guard isNew else { return false }
        claims[process, default: []].append(role)
        scheduleTick()
        return true
    }

    func isUnnamedChild(_ process: ProcessID) -> Bool { children[process] == nil && isChild(process) }

    func unnamedWorkerIsLost(by pool: Pool, isAlive: Bool) {
        guard lostUnnamed.count < 1024 else { return }
        lostUnnamed.append(LostWorker(pool: pool.name, isAlive: isAlive, time: MonotonicTime.now))
    }

    func claimExit(of process: ProcessID) -> ProcessExit? { unclaimed.removeValue(forKey: process)?.exit }

    func poolBecameReady(_ pool: Pool) {
        // No copy of the reload: its end closes what only it knows.
        if reload?.generation === pool.generation {
            reload?.unready -= 1
            limitReload()
            return finishReloadIfReady()
        }
        unreadyPools -= 1
        checkReady()
        scheduleTick()
    }

    func poolFailed(_ pool: Pool, _ reason: ByteString) {
        log.releaseOutput()
        log.error("[pool \(pool.name)] cannot start: \(reason)", .pool(pool.name))
        switch state {
        case .starting:
            log.error("FPM initialization failed")
            exitStatus = 70
            stop(graceful: false)
        case .reloading: abandonReload("pool \(pool.name) cannot start")
        case .serving, .stopping: break
        }
    }

    func poolMayBeGone(_ pool: Pool) {
        if !pool.hasWork, drainingPools.removeValue(forKey: ObjectIdentifier(pool)) != nil {
            keepTotals(of: pool)
        }
        finishStopping()
    }

    /// A service starts with it, as php-fpm does, and is reloaded as long as it is the same one; but what serves with all
    /// of its settings is not replaced by something without them.
    func refuses(syntaxError: ByteString) -> Bool {
        guard case .reloading = state else { return false }
        return !pools.contains { $0.syntaxError == syntaxError || $0.wasAdopted }
    }

    func workerCrashed() {
        guard emergency?.workerCrashed(at: MonotonicTime.now) == true, let emergency else { return }
        log.warning(
            "failed processes threshold (\(emergency.threshold) in \(emergency.interval.components.seconds) sec) is reached, initiating reload"
        )
        log.withOriginalStandardError { startReload() }
    }

    func whenZygoteMayStart(_ pool: Pool) {
        zygoteStarts.add(pool)
        startZygotes()
    }

    private func startZygotes() {
        while let pool = zygoteStarts.next() {
            if !pool.launchZygote() { zygoteStarts.finish() }
        }
    }

    func adoptedZygoteStarts() { zygoteStarts.adopt() }

    func zygoteLeavesStartPlace() {
        zygoteStarts.finish()
        startZygotes()
    }

    func zygoteFinishedStarting() { startZygotesAhead() }
}
