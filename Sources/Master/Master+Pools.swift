internal import Configuration
internal import Reactor
internal import Syscalls

/// Which pools there are, which of them have something to do, and whose zygotes are kept warm.
extension Master {
    /// These pools serve from now on.
    func use(_ fresh: [Pool]) {
        pools = fresh
        poolNames = fresh.map(\.name)
        poolIndices = Dictionary(
            fresh.enumerated().map { ($1.name, $0) },
            uniquingKeysWith: { first, _ in first }
        )
    }

    /// The pool that serves under this name.
    func pool(named name: ByteString) -> Pool? { poolIndices[name].map { pools[$0] } }

    /// Lets a pool that has been told to drain go when its last process has ended.
    func keepDraining(_ pool: Pool) {
        activePools[ObjectIdentifier(pool)] = nil
        warmZygotes.release(pool)
        if pool.hasWork {
            drainingPools[ObjectIdentifier(pool)] = pool
        } else {
            keepTotals(of: pool)
        }
    }

    /// Gives up the sockets that none of the pools has: their files go, and systemd's copies.
    func unlinkUnused(_ listeners: [Listener], besides pools: [Pool]) {
        guard !listeners.isEmpty else { return }
        let used = Set(pools.flatMap { $0.listeners.map(ObjectIdentifier.init) })
        for listener in listeners where !used.contains(ObjectIdentifier(listener)) { forget(listener) }
    }

    // MARK: - Warm zygotes

    func zygoteIsIdle(_ pool: Pool) {
        warmZygotes.keep(pool)
        for surplus in warmZygotes.surplus(over: configuration.global.idleZygotes) { surplus.endIdleZygote() }
    }

    func zygoteIsWanted(_ pool: Pool) { warmZygotes.release(pool) }

    /// Starts zygotes of ondemand pools before anybody asks for them, one after the other, as many as are kept anyway.
    ///
    /// The first pools of the configuration come first.
    func startZygotesAhead() {
        guard state == .serving, zygoteStarts.count == 0 else { return }
        while warmZygotes.count < configuration.global.idleZygotes, aheadIndex < pools.count {
            let pool = pools[aheadIndex]
            aheadIndex += 1
            guard pool.settings.processManager == .ondemand, !pool.hasProcesses else { continue }
            return pool.startZygote()
        }
    }
}
