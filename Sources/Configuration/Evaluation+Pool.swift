// The checks of one pool, in php-fpm's order.
extension Evaluation {
    mutating func evaluatePool(_ index: Int) throws(Refusal) {
        try checkIdentityAndAddress(index)
        try checkProcessManager(index)
        try checkQueue(index)
        try addStatusPool(index)
        try checkStatusAndPing(index)
        try checkLogs(index)
        try checkDirectories(index)
        if pools[index].settings.limitExtensionsText == nil {
            pools[index].settings.limitExtensionsText = ".php .phar"
        }
        if pools[index].settings.chroot?.isEmpty ?? true { expandPHPPaths(index) }
    }

    /// Reports what is wrong with a pool, with its name in front.
    mutating func refuse(
        _ index: Int,
        _ message: ByteString,
        _ level: LogLevel = .error,
        hint: ByteString? = nil
    ) -> Refusal {
        refuse(level, "[pool \(pools[index].settings.name)] \(message)", hint: hint)
    }

    /// Reports something about a pool that does not end the load.
    private mutating func report(_ level: LogLevel, _ index: Int, _ message: ByteString) {
        log.report(level, "[pool \(pools[index].settings.name)] \(message)")
    }

    private mutating func checkIdentityAndAddress(_ index: Int) throws(Refusal) {
        let pool = pools[index].settings
        if let prefix = pool.prefix, !prefix.isEmpty {
            let path = expand(prefix, in: nil)
            pools[index].settings.prefix = path
            guard host.isDirectory(path) else {
                throw refuse(index, "the prefix '\(path)' does not exist or is not a directory")
            }
        }
        if pool.user == nil, options.isRoot, !options.allowsRoot {
            throw refuse(index, "user has not been defined", .alert)
        }
        guard let address = pool.listenText, !address.isEmpty else {
            throw refuse(index, "no listen address have been defined!", .alert)
        }
        if ListenAddress(address).isUnix {
            pools[index].settings.listenText = expand(address, in: pools[index].settings)
        }
        guard isNiceValue(pool.processPriority) else {
            throw refuse(index, "process.priority must be included into [-19,20]")
        }
    }

    private mutating func checkProcessManager(_ index: Int) throws(Refusal) {
        let pool = pools[index].settings
        guard let manager = pool.processManager else {
            throw refuse(index, "the process manager is missing (static, dynamic or ondemand)", .alert)
        }
        guard pool.maxChildren >= 1 else {
            throw refuse(index, "pm.max_children must be a positive value", .alert)
        }
        switch manager {
        case .static: break
        case .dynamic: try checkDynamic(index)
        case .ondemand: try checkOndemand(index)
        }
    }

    /// Directives that php-fpm does not have.
    private mutating func checkQueue(_ index: Int) throws(Refusal) {
        let pool = pools[index].settings
        func seconds(_ time: Duration) -> Int64 { time.components.seconds }
        guard pool.maxQueue >= 0 else {
            throw refuse(index, "pm.max_queue(\(pool.maxQueue)) must be 0 or more")
        }
        guard pool.queueTimeout >= .zero else {
            throw refuse(index, "pm.queue_timeout(\(seconds(pool.queueTimeout))s) must be 0 or more")
        }
        guard pool.requestSoftTimeout >= .zero else {
            throw refuse(
                index,
                "request_soft_timeout(\(seconds(pool.requestSoftTimeout))s) must be 0 or more"
            )
        }
        guard pool.requestBuffer <= Self.largestRequestBuffer else {
            throw refuse(index, "request_buffer(\(pool.requestBuffer)) must not be more than 64M")
        }
        guard pool.responseBuffer <= Self.largestResponseBuffer else {
            throw refuse(index, "response_buffer(\(pool.responseBuffer)) must not be more than 1G")
        }
    }

    /// The master copies as much at once.
    private static var largestRequestBuffer: Int { 64 << 20 }
    private static var largestResponseBuffer: Int { 1 << 30 }

    private mutating func checkDynamic(_ index: Int) throws(Refusal) {
        let pool = pools[index].settings
        let (least, most) = (pool.minSpareServers, pool.maxSpareServers)
        guard least > 0 else {
            throw refuse(index, "pm.min_spare_servers(\(least)) must be a positive value", .alert)
        }
        guard most > 0 else {
            throw refuse(index, "pm.max_spare_servers(\(most)) must be a positive value", .alert)
        }
        let spares: ByteString = "pm.min_spare_servers(\(least)) and pm.max_spare_servers(\(most))"
        guard least <= pool.maxChildren, most <= pool.maxChildren else {
            throw refuse(
                index,
                "\(spares) cannot be greater than pm.max_children(\(pool.maxChildren))",
                .alert
            )
        }
        guard most >= least else {
            throw refuse(
                index,
                "pm.max_spare_servers(\(most)) must not be less than pm.min_spare_servers(\(least))",
                .alert
            )
        }
        let start = pool.startServers
        if start <= 0 {
            let computed = least + (most - least) / 2
            pools[index].settings.startServers = computed
            report(.notice, index, "pm.start_servers is not set. It's been set to \(computed).")
        } else if !(least...most).contains(start) {
            let bounds: ByteString =
                "pm.min_spare_servers(\(least)) and not greater than pm.max_spare_servers(\(most))"
            throw refuse(index, "pm.start_servers(\(start)) must not be less than \(bounds)", .alert)
        }
        guard pool.maxSpawnRate >= 1 else {
            throw refuse(index, "pm.max_spawn_rate must be a positive value", .alert)
        }
    }

    private mutating func checkOndemand(_ index: Int) throws(Refusal) {
        let pool = pools[index].settings
        guard global.eventsMechanism == "epoll" else {
            throw refuse(
                index,
                """
                ondemand process manager can ONLY be used when events.mechanism is either epoll (Linux) or \
                kqueue (*BSD).
                """,
                .alert
            )
        }
        let timeout = pool.processIdleTimeout.components.seconds
        guard timeout >= 1 else {
            throw refuse(index, "pm.process_idle_timeout(\(timeout)s) must be greater than 0s", .alert)
        }
        if pool.listenBacklog < -1 {
            report(
                .warning,
                index,
                """
                listen.backlog(\(pool.listenBacklog)) was too low for the ondemand process manager. \
                I updated it for you to -1.
                """
            )
            pools[index].settings.listenBacklog = -1
        }
        pools[index].settings.startServers = 0
        pools[index].settings.minSpareServers = 0
        pools[index].settings.maxSpareServers = 0
    }

    /// Appends the hidden pool that listens on `pm.status_listen`.
    private mutating func addStatusPool(_ index: Int) throws(Refusal) {
        let owner = pools[index].settings
        guard let address = owner.statusListenText, pools[index].owner == nil else { return }
        if owner.statusPath == nil { pools[index].settings.statusPath = "/" }
        var hidden = PoolSettings(name: "\(owner.name)_status")
        hidden.listenText = address
        hidden.processManager = .ondemand
        hidden.maxChildren = 2
        hidden.user = owner.user
        hidden.group = owner.group
        hidden.listenACLUsers = owner.listenACLUsers
        hidden.listenACLGroups = owner.listenACLGroups
        hidden.listenOwner = owner.listenOwner
        hidden.listenGroup = owner.listenGroup
        hidden.listenModeText = owner.listenModeText
        hidden.listenAllowedClients = owner.listenAllowedClients
        hidden.statusPath = pools[index].settings.statusPath
        hidden.pingPath = owner.pingPath
        hidden.pingResponse = owner.pingResponse
        pools.append(EvaluatedPool(settings: hidden, owner: index))
    }

    private mutating func checkStatusAndPing(_ index: Int) throws(Refusal) {
        let pool = pools[index].settings
        let hasStatusListener = pool.statusListenText != nil || pools[index].owner != nil
        if let path = pool.statusPath, !path.isEmpty {
            try checkURI(path, "status", index, mayBeRoot: hasStatusListener)
        }
        guard let path = pool.pingPath, !path.isEmpty else {
            pools[index].settings.pingResponse = nil
            return
        }
        try checkURI(path, "ping", index, mayBeRoot: false)
        guard let response = pool.pingResponse else {
            pools[index].settings.pingResponse = "pong"
            return
        }
        guard !response.isEmpty else {
            throw refuse(index, "the ping response page '\(response)' is not long enough")
        }
    }

    private mutating func checkURI(
        _ path: ByteString,
        _ purpose: String,
        _ index: Int,
        mayBeRoot: Bool
    ) throws(Refusal) {
        let subject: ByteString = "the \(purpose) path '\(path)'"
        guard path.isAbsolutePath else {
            throw refuse(index, "\(subject) must start with a '/'")
        }
        guard mayBeRoot || path.count >= 2 else {
            throw refuse(index, "\(subject) is not long enough")
        }
        let punctuation: [UInt8] = Array("/_-.~".utf8)
        guard path.bytes.allSatisfy({ $0.isASCIIDigit || $0.isASCIILetter || punctuation.contains($0) })
        else {
            throw refuse(
                index,
                "\(subject) must contain only the following characters '[alphanum]/_-.~'"
            )
        }
    }
}
