internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Reloading: a new generation beside the one that serves.
extension Master {
    func startReload() {
        switch state {
        case .stopping: return
        case .starting, .reloading:
            if !reloadsAgain { log.notice("a reload follows as soon as the service is ready") }
            reloadsAgain = true
            return
        case .serving: break
        }
        reloadBegan()
        // First of all: where systemd has sent the signal it waits for this, and then for the end of the reload.
        systemd.reloading()
        if startUpgrade() { return }
        let outcome = options.reload()
        for line in outcome.diagnostics where line.level > .debug {
            log.write(line.level, line.text)
        }
        guard let fresh = outcome.configuration else {
            return refuseReload("the new configuration is not valid")
        }
        log.notice(
            "reloading: new generation of \(fresh.pools.count) pool(s) from \(options.configurationPath)"
        )
        startGeneration(
            Generation(fresh.global),
            of: fresh.pools,
            .service(fresh),
            global: fresh.global,
            replacing: pools
        )
    }

    /// Reloads one pool: its part of the configuration is read, and it alone gets another PHP and other workers.
    ///
    /// The other pools and the global settings stay as they are. That the files as a whole are not valid is no reason to
    /// refuse it, but is said: the next start or reload would fail.
    ///
    /// - Returns: Why it is not even begun; nil when the log says what comes of it.
    func reload(pool name: ByteString) -> ByteString? {
        switch state {
        case .stopping: return "the service stops"
        case .starting: return "the service starts"
        case .reloading: return "another reload is under way"
        case .serving: break
        }
        guard let old = pool(named: name), let index = poolIndices[name] else {
            return "there is no pool \(name)"
        }
        reloadBegan()
        let outcome = options.reloadPool(name, configuration)
        for line in outcome.diagnostics where line.level > .debug {
            log.write(line.level, line.text, .pool(name))
        }
        guard let settings = outcome.configuration?.pools.first(where: { $0.name == name }) else {
            refuseReload("the new configuration of pool \(name) is not valid")
            return nil
        }
        warnOfRest(besides: name)
        systemd.reloading()
        log.notice("reloading pool \(name)", .pool(name))
        let size = old.generation.running - old.runningWorkers
        startGeneration(
            Generation(configuration.global, running: size),
            of: [settings],
            .pool(settings, index: index),
            global: configuration.global,
            replacing: [old]
        )
        return nil
    }

    /// Says if the configuration as a whole would be refused, though the part of one pool is accepted.
    private func warnOfRest(besides pool: ByteString) {
        // Of many pools it would hold up the loop for longer than all the rest of the reload.
        guard pools.count <= Self.mostReadForOne else { return }
        let whole = options.reload()
        guard whole.configuration == nil else { return }
        let reason = whole.diagnostics.first { $0.level >= .error }?.text ?? "it cannot be read"
        log.warning(
            "pool \(pool) is reloaded, but the configuration as a whole is not valid, the next start or reload would fail: \(reason)"
        )
    }

    /// So many pools' files are read for the reload of one.
    private static var mostReadForOne: Int { 100 }

    private func startGeneration(
        _ generation: Generation,
        of settings: [PoolSettings],
        _ outcome: Reload.Settings,
        global: GlobalSettings,
        replacing replaced: [Pool]
    ) {
        state = .reloading
        var newMetrics: MetricsListener?
        do throws(Listener.Unavailable) {
            // An address of TCP is taken until the last process that listens on it has gone.
            let leaving = drainingPools.values.map(\.listener).filter { $0.isTCP && $0.pool == nil }
            let former = replaced.flatMap(\.listeners)
            let isPartial = if case .pool = outcome { true } else { false }
            let listener = isPartial ? metrics : try makeMetricsListener(global)
            newMetrics = listener
            let made = try makePools(settings, in: generation, reusing: former + leaving)
            // All that were there, also those that this generation does not want any more: as in php-fpm.
            for listener in former where !made.source.isReplaced(listener) { listener.announce(to: log) }
            if isPartial, let old = replaced.first, let new = made.pools.first {
                spareTrial(of: new, for: old)
            }
            reload = Reload(made, replacing: replaced, settings: outcome)
            reload?.metrics = listener
            limitReload()
            for pool in made.pools { pool.begin() }
        } catch {
            discardMetrics(newMetrics)
            refuseReload("\(error.what) cannot be set up")
        }
    }

    /// The new pools get ready one after the other, however many there are.
    func limitReload() {
        reload?.deadline = reactor.after(Reload.patience) { [weak self] in
            self?.abandonReload("no further pool was ready within \(Reload.patience.components.seconds) s")
        }
    }

    /// PHP is not started for a pool that has no process and is to start PHP as before: its next request would find the
    /// same PHP without the reload.
    private func spareTrial(of new: Pool, for old: Pool) {
        if !old.hasProcesses, EngineVariants.areSame(old.settings, new.settings) { new.triesEngine = false }
    }

    func refuseReload(_ reason: ByteString) {
        state = .serving
        reloadsRefused += 1
        lastReloadWorked = false
        log.error("reload refused: \(reason); the old configuration goes on serving")
        systemd.reloadRefused(reason.description)
        reloadEnded(refusal: reason)
        scheduleTick()
        restSoon(.afterReload)
        reloadAgain()
    }

    /// Gives a reload up; what was started for it drains, what served before goes on.
    func abandonReload(_ reason: ByteString, isStopping: Bool = false) {
        upgrade = nil
        guard let given = reload else { return }
        reload = nil
        for pool in given.pools {
            let predecessor = pool.listener.pool
            pool.drain()
            // Its address is free before the last worker has gone.
            pool.statusListener = nil
            // What it had taken goes back.
            if let predecessor, predecessor !== pool { predecessor.takeOver(from: pool) }
            keepDraining(pool)
            pool.end(.quit, patience: drainPatience)
        }
        given.source.withdraw()
        discardMetrics(given.metrics)
        if isStopping {
            log.notice("reload given up: \(reason)")
        } else {
            refuseReload(reason)
        }
    }

    /// The new pools are up: connections go to them, the old ones drain.
    func finishReloadIfReady() {
        guard let done = reload, done.unready <= 0 else { return }
        reload = nil
        let isPartial = done.isPartial
        changeGenerations(consume done)
        reloadsDone += 1
        lastReloadWorked = true
        state = .serving
        storeListeners()
        log.notice("fpm is running, pid \(ProcessID.current)")
        announceReady()
        reloadEnded(refusal: nil)
        scheduleTick()
        startZygotesAhead()
        // The settings of the old generation are a good part of a large service's memory.
        if !isPartial { cepoll_give_memory_back() }
        reloadAgain()
    }

    /// Addresses that nobody has any more are closed at its end: the reload knows them all.
    private func changeGenerations(_ done: consuming Reload) {
        let predecessors = done.pools.map { pool in
            // Where the socket was bound anew, nobody else takes what waits at the former one.
            let former = done.source.rebound.first { $0.fresh === pool.listener }?.former.pool
            former?.watch.acceptAll()
            return former ?? pool.listener.pool
        }
        if done.isPartial {
            replacePool(by: done)
        } else {
            use(done.pools)
            aheadIndex = 0
        }
        switch done.settings {
        case .pool(let settings, let index): configuration.pools[index] = settings
        case .service(let fresh):
            let former = configuration.global
            configuration = fresh
            emergency = EmergencyRestart(configuration.global)
            log.withOriginalStandardError { applyGlobals(former: former) }
            useMetrics(done.metrics)
            forgetFormerTotals()
        }
        for (listener, pool, access) in done.source.kept { listener.adapt(to: access, pool, log) }
        for old in done.replaced { old.statusListener?.retire() }
        for old in done.replaced { old.drain() }
        // Behind those that drain: one of them may have listened for requests where status is asked for now.
        for pool in done.pools { pool.statusListener?.start() }
        for (pool, predecessor) in zip(done.pools, predecessors) {
            if let predecessor, predecessor !== pool { pool.takeOver(from: predecessor) }
        }
        unlinkUnused(done.replaced.flatMap(\.listeners), besides: done.isPartial ? done.pools : pools)
        for old in done.replaced {
            if old.listener.pool == nil { old.closeKept() }
            if let status = old.listener.status { old.giveUnbegun(to: status) }
            // Its address is free before the last worker has gone.
            old.statusListener = nil
            keepDraining(old)
            old.end(.quit, patience: drainPatience)
        }
    }

    /// Puts the one new pool in the place of the one it replaces, and into its generation.
    private func replacePool(by done: Reload) {
        for (pool, old) in zip(done.pools, done.replaced) {
            let service = old.generation
            old.join(Generation(service.global))
            pool.join(service)
            if let index = poolIndices[pool.name] { pools[index] = pool }
        }
    }

    var drainPatience: Duration {
        let configured = configuration.global.processControlTimeout
        return configured > .zero ? configured : Reload.defaultDrainPatience
    }

    /// A signal that came during a reload is not lost: what changed meanwhile is read now.
    func reloadAgain() {
        guard reloadsAgain else { return }
        reloadsAgain = false
        // What a reload that was given up had bound is closed by then.
        nextReload = reactor.after(.zero) { [weak self] in
            guard let self else { return }
            log.withOriginalStandardError { startReload() }
        }
    }
}
