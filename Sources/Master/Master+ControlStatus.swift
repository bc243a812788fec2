internal import CScoreboard
internal import Configuration
internal import Control
internal import Glibc
internal import PoolPolicy
internal import Scoreboard
internal import StatusPage
internal import Syscalls

/// What `fpmctl status`, `top` and `health` show.
extension Master {
    /// Workers that are shown with what the kernel says of them.
    static var mostShownWorkers: Int { 4096 }

    func status(_ request: ControlRequest) -> ControlAnswer {
        var shown = pools
        if request.pool != nil {
            switch controlPool(request) {
            case .success(let pool): shown = [pool]
            case .failure(let failure): return failure.answer
            }
        }
        // Who asks for none wants to know of the master: to look at thousands of pools would hold up the loop.
        if let most = request.count { shown = Array(shown.prefix(most)) }
        var left = request.showsWorkers ? Self.mostShownWorkers : 0
        let leaving = Dictionary(grouping: drainingPools.values, by: \.name)
        let list = shown.map { pool -> JSON in
            let value = status(of: pool, workers: left, leaving: leaving)
            left = max(0, left - pool.workers.count)
            return value
        }
        return .done(["master": masterStatus, "pools": .array(list)])
    }

    /// For whoever reads it elsewhere: a relative one counts from where this process is.
    private var absoluteConfigurationPath: String {
        let path = options.configurationPath
        guard !path.isAbsolutePath, let directory = getcwd(nil, 0) else { return path.description }
        defer { free(directory) }
        return String(cString: directory) + "/" + path.description
    }

    private var masterStatus: JSON {
        let figures = ProcessFigures(ProcessID.current)
        return [
            "pid": JSON(getpid()), "state": .string(controlState),
            "configuration": .string(absoluteConfigurationPath),
            "instance": JSON(startedAt.nanoseconds),
            "uptime": JSON((MonotonicTime.now - startedAt).components.seconds),
            "reloads": JSON(reloadsDone), "reloads_refused": JSON(reloadsRefused),
            "last_reload_worked": .bool(lastReloadWorked), "memory": JSON(figures?.resident ?? 0),
            "processor_ms": JSON(figures?.processorTime ?? 0),
            "process_max": JSON(configuration.global.processMax),
            "drain_patience": JSON(drainPatience.components.seconds),
            "draining_pools": JSON(drainingPools.count),
        ]
    }

    private func status(of pool: Pool, workers most: Int, leaving: [ByteString: [Pool]]) -> JSON {
        let board = pool.scoreboard
        // The same that the metrics and the dashboard show.
        let known = figures(of: pool, withWorkers: false, leaving: leaving[pool.name] ?? [])
        let (figures, totals) = (known.status, known.totals)
        var members: [JSON.Member] = [
            JSON.Member("name", .string(pool.name.description)),
            JSON.Member("state", .string(stateWord(pool))),
            JSON.Member("process_manager", .string((pool.settings.processManager ?? .static).name)),
            JSON.Member("listen", .string(pool.settings.listenText?.description ?? "")),
            JSON.Member("user", .string(pool.settings.user?.description ?? "")),
            JSON.Member("max_children", JSON(pool.policy.limits.maxChildren)),
            JSON.Member("configured_max_children", JSON(pool.settings.maxChildren)),
            JSON.Member("scale_limit", JSON(pool.scaleBounds.upperBound)),
            JSON.Member("running", JSON(pool.runningWorkers)),
            JSON.Member("starting", JSON(pool.policy.starting)),
            JSON.Member("idle", JSON(figures.idleProcesses)),
            JSON.Member("active", JSON(figures.activeProcesses)),
            JSON.Member("accepted", JSON(figures.acceptedConnections)),
            JSON.Member("max_active", JSON(figures.maxActiveProcesses)),
            JSON.Member("max_children_reached", JSON(figures.maxChildrenReached)),
            JSON.Member("slow_requests", JSON(figures.slowRequests)),
            JSON.Member("listen_queue", JSON(figures.listenQueue)),
            JSON.Member("max_listen_queue", JSON(figures.maxListenQueue)),
            JSON.Member("listen_queue_length", JSON(figures.listenQueueLength)),
            JSON.Member("queued", JSON(known.queue.depth)),
            JSON.Member("oldest_queued_us", JSON(known.queue.oldestWaitMicroseconds)),
            JSON.Member("rejected", JSON(totals.rejected)),
            JSON.Member("expired", JSON(totals.expired)),
            JSON.Member("abandoned", JSON(totals.abandoned)),
            JSON.Member("parked", JSON(pool.parkedCount)),
            JSON.Member("uptime", JSON(figures.start.secondsSince)),
        ]
        if let link = pool.zygote { members.append(JSON.Member("zygote", JSON(link.process.rawValue))) }
        if most > 0 {
            let sorted = pool.workers.values.sorted { $0.serial < $1.serial }.prefix(most)
            members.append(JSON.Member("workers", .array(sorted.map { status(of: $0, board) })))
        }
        return .object(members)
    }

    private func stateWord(_ pool: Pool) -> String {
        if pool.isHeld { return "drained" }
        switch pool.state {
        case .created: return "starting"
        case .draining: return "draining"
        case .serving: return pool.isReady ? "serving" : "starting"
        }
    }

    /// The process is the master's own knowledge; what it does is the worker's word, for display.
    private func status(of worker: WorkerRecord, _ board: Scoreboard) -> JSON {
        var members: [JSON.Member] = []
        func add(_ name: String, _ value: JSON) { members.append(JSON.Member(name, value)) }
        add("pid", worker.process.map { JSON($0.rawValue) } ?? .null)
        let life: String =
            switch worker.state {
            case .requested, .starting: "starting"
            case .ready: worker.isRetiring ? "retiring" : "ready"
            case .leaving: "leaving"
            }
        add("life", .string(life))
        add("uptime", JSON((MonotonicTime.now - worker.startTime).components.seconds))
        if let process = worker.namedProcess, let figures = ProcessFigures(process) {
            add("memory", JSON(figures.resident))
            add("processor_ms", JSON(figures.processorTime))
        }
        withUnsafeTemporaryAllocation(of: cscoreboard_slot.self, capacity: 1) { copy in
            guard let copy = copy.baseAddress else { return }
            _ = cscoreboard_copy(board.slot(worker.slot), copy)
            let stage = Scoreboard.Stage(rawValue: copy.pointee.stage) ?? .executing
            let text = RequestText(copy)
            let duration = stage == .free ? 0 : board.duration(copy, stage)
            add("stage", .string("\(stage.name)"))
            add("requests", JSON(max(0, copy.pointee.requests)))
            add("duration_us", JSON(duration))
            add("request", .string(text.request.description))
            add("method", .string(printable(cscoreboard_method(copy)).description))
            add("uri", .string(printable(cscoreboard_uri(copy)).description))
            add("query", .string(printable(cscoreboard_query(copy)).description))
            add("script", .string(text.script.description))
            add("memory_peak", JSON(max(0, copy.pointee.memory_peak)))
            add("request_processor", .number(board.cpuPercent(copy, stage)))
        }
        return .object(members)
    }

    // MARK: - Health

    /// Whether the service can take requests, and whether it is busy: that it answers at all says that it lives.
    func health(_ request: ControlRequest) -> ControlAnswer {
        var shown = pools
        if request.pool != nil {
            switch controlPool(request) {
            case .success(let pool): shown = [pool]
            case .failure(let failure): return failure.answer
            }
        }
        var reasons: [JSON] = []
        if state != .serving && state != .reloading {
            reasons.append(.string("the service is \(controlState)"))
        }
        if shown.isEmpty, reasons.isEmpty { reasons.append("there is no pool") }
        var isBusy = false
        var list: [JSON] = []
        for pool in shown {
            let reason = unreadiness(pool)
            let busy = reason == nil && pool.isSaturated
            isBusy = isBusy || busy
            if let reason { reasons.append(.string("pool \(pool.name): \(reason)")) }
            list.append([
                "name": .string(pool.name.description), "ready": .bool(reason == nil), "busy": .bool(busy),
            ])
        }
        return .done([
            "live": true, "ready": .bool(reasons.isEmpty), "busy": .bool(isBusy),
            "state": .string(controlState),
            "reasons": .array(reasons), "pools": .array(list),
        ])
    }

    /// Why a pool takes no requests; nil when it does.
    private func unreadiness(_ pool: Pool) -> String? {
        if pool.isHeld { return "it is drained" }
        guard pool.isReady else { return "it starts" }
        if pool.settings.processManager == .ondemand || pool.workers.values.contains(where: \.isReady) {
            return nil
        }
        return "it has no worker"
    }
}

extension Pool {
    /// Requests wait, and no worker is free.
    var isSaturated: Bool {
        watch.width.idleWorkers == 0 && (watch.saturation.isActive || (madeQueue?.total ?? 0) > 0)
            && policy.running > 0
    }
}
