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
        let outcome = options.reload()
        for line in outcome.diagnostics where line.level > .debug {
            log.write(line.level, line.message)
        }
        guard let fresh = outcome.configuration else {
            return refuseReload("the new configuration is not valid")
        }
        systemd.reloading()
        log.notice(
            "reloading: new generation of \(fresh.pools.count) pool(s) from \(options.configurationPath)"
        )
        state = .reloading
        let former = listeners
        do {
            let made = try makePools(fresh, reusing: former)
            for listener in former { listener.announce(to: log) }
            reload = Reload(configuration: fresh, pools: made, formerListeners: former)
            for pool in made { pool.begin() }
            reload?.deadline = reactor.after(.seconds(60)) { [weak self] in
                self?.abandonReload("the new pools were not ready within 60 s")
            }
            finishReloadIfReady()
        } catch {
            listeners = former
            refuseReload("a pool of the new configuration cannot be set up")
        }
    }

    func refuseReload(_ reason: ByteString) {
        state = .serving
        log.error("reload refused: \(reason); the old configuration goes on serving")
        systemd.reloadRefused(reason.description)
        scheduleTick()
        reloadAgain()
    }

    /// Gives a reload up; what was started for it drains, what served before goes on.
    func abandonReload(_ reason: ByteString, isStopping: Bool = false) {
        guard let given = reload else { return }
        reload = nil
        for pool in given.pools {
            pool.drain()
            pool.end(.quit, patience: drainPatience)
        }
        drainingPools += given.pools
        for listener in listeners where !given.formerListeners.contains(where: { $0 === listener }) {
            listener.unlinkPath()
        }
        listeners = given.formerListeners
        // What the new generation had taken goes back to the old one.
        for pool in given.pools {
            if let old = pools.first(where: { $0.listener === pool.listener }) { old.takeOver(from: pool) }
        }
        if isStopping {
            log.notice("reload given up: \(reason)")
        } else {
            refuseReload(reason)
        }
    }

    /// The new generation is up: connections go to it, the old one drains.
    func finishReloadIfReady() {
        guard let done = reload, done.pools.allSatisfy(\.isReady) else { return }
        reload = nil
        let former = pools
        pools = done.pools
        configuration = done.configuration
        emergency = EmergencyRestart(configuration.global)
        log.withOriginalStandardError { applyGlobals() }
        for old in former { old.drain() }
        for pool in pools { pool.statusListener?.start() }
        for pool in pools {
            for old in former where old.listener === pool.listener { pool.takeOver(from: old) }
        }
        drainingPools += former
        dropUnusedListeners()
        for old in former { old.end(.quit, patience: drainPatience) }
        state = .serving
        log.notice("fpm is running, pid \(ProcessID.current)")
        announceReady()
        scheduleTick()
        reloadAgain()
    }

    var drainPatience: Duration {
        let configured = configuration.global.processControlTimeout
        return configured > .zero ? configured : Reload.defaultDrainPatience
    }

    /// A signal that came during a reload is not lost: what changed meanwhile is read now.
    func reloadAgain() {
        guard reloadsAgain else { return }
        reloadsAgain = false
        startReload()
    }

    func applyGlobals() {
        let global = configuration.global
        log.level = global.effectiveLogLevel
        log.limit = global.logLimit
        if !log.isPinnedToStandardError, !global.logsToSyslog, let path = global.errorLog {
            let descriptor = cepoll_open_append(path.description)
            if descriptor >= 0 {
                log.use(.file(path: path, descriptor: SharedDescriptor(adopting: descriptor)))
            }
        }
    }
}
