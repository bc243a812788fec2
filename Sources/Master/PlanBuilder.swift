internal import Channel
internal import Configuration

/// Turns a pool's settings into what its zygote must know.
enum PlanBuilder {
    /// The plan, with what `global`, of the pool's generation, has other than `current`.
    ///
    /// A process inherits the master's limits and priority, which are the former ones until a reload's new pools serve.
    static func plan(
        for pool: PoolSettings,
        on listener: Listener,
        global: GlobalSettings,
        inForce current: GlobalSettings,
        identity: PoolIdentity,
        isRoot: Bool,
        program: EngineProgram,
        host: some ConfigurationHost
    ) -> ZygotePlan {
        var plan = ZygotePlan()
        program.apply(to: &plan)
        // Some settings are only read when PHP starts; in php-fpm a pool cannot have its own.
        plan.defines += pool.phpSettings.filter { $0.name.bytes.starts(with: "opcache.".utf8) }
            .map { NamedValue(name: $0.name, value: $0.value) }
        plan.pool = pool.name
        plan.isPrivileged = isRoot
        plan.userID = identity.userID ?? 0
        plan.groupID = identity.groupID ?? 0
        plan.userName = identity.supplementaryGroupsOf
        plan.chroot = isRoot ? pool.chroot.flatMap { $0.isEmpty ? nil : $0 } : nil
        plan.chdir = pool.chdir.flatMap { $0.isEmpty ? nil : $0 }
        plan.fileLimit = pool.rlimitFiles
        if plan.fileLimit == 0, global.rlimitFiles != current.rlimitFiles {
            plan.fileLimit = global.rlimitFiles
        }
        plan.coreLimit = pool.rlimitCore
        if plan.coreLimit == 0, global.rlimitCore != current.rlimitCore { plan.coreLimit = global.rlimitCore }
        plan.priority = pool.processPriority
        if plan.priority == nil, global.processPriority != current.processPriority {
            plan.priority = global.processPriority ?? 0
        }
        plan.isDumpable = pool.processDumpable
        plan.allowsTracing =
            !isRoot && (pool.requestSlowLogTimeout > .zero || pool.requestTerminateTimeout > .zero)
        plan.apparmorHat = pool.apparmorHat.flatMap { $0.isEmpty ? nil : $0 }
        plan.clearsEnvironment = pool.clearEnvironment
        plan.environment = environment(of: pool, identity, host)
        plan.settings = pool.phpSettings
        plan.limitExtensions = pool.limitedExtensions
        plan.logLimit = global.logLimit
        plan.logLevel = global.effectiveLogLevel
        plan.catchesOutput = pool.catchWorkersOutput
        plan.processManager = ByteString((pool.processManager ?? .static).name)
        plan.slotCount = pool.slotCount
        plan.maxRequests = pool.maxRequests
        plan.maxMemory = pool.maxMemory
        plan.limitsQueue = pool.limitsQueue
        plan.requestBuffer = pool.requestBuffer
        plan.responseBuffer = pool.responseBuffer
        plan.pingPath = pool.pingPath
        plan.pingResponse = pool.pingResponse ?? "pong"
        plan.statusPath = pool.statusPath
        plan.accessFormat = pool.accessLogFormat?.text
        plan.suppressedPaths = pool.suppressedPaths
        plan.logsAccessToJournal = pool.logsAccessToJournal
        plan.allowedClients = pool.allowedClients
        plan.isTCP = listener.isTCP
        return plan
    }

    /// `env[]`, then USER and HOME unless `env[]` has them.
    private static func environment(
        of pool: PoolSettings,
        _ identity: PoolIdentity,
        _ host: some ConfigurationHost
    ) -> [NamedValue] {
        var entries = pool.environment.map { NamedValue(name: $0.name, value: $0.resolved(by: host)) }
        func add(_ name: ByteString, _ value: ByteString?) {
            guard let value, !entries.contains(where: { $0.name == name }) else { return }
            entries.append(NamedValue(name: name, value: value))
        }
        add("USER", identity.userName)
        add("HOME", identity.home)
        return entries
    }
}
