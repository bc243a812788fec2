internal import CScoreboard
internal import Configuration
internal import Control
internal import Glibc
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import Syscalls

/// What `fpmctl` changes.
extension Master {
    // MARK: - Reload

    /// Somebody who waits for the end of a reload.
    struct ReloadWaiter {
        /// It is answered by the end of this reload, or of a later one.
        let number: Int
        let reply: (ControlAnswer) -> Void
    }

    func reload(_ request: ControlRequest, _ reply: @escaping (ControlAnswer) -> Void) {
        if case .stopping = state { return reply(.refused(.busy, "the service stops")) }
        guard request.pool != nil else {
            log.notice("reload asked for on the control socket")
            // One that is under way has read the configuration already: the next one counts.
            reloadWaiters.append(ReloadWaiter(number: reloadsBegun + 1, reply: reply))
            return log.withOriginalStandardError { startReload() }
        }
        switch controlPool(request) {
        case .failure(let failure): reply(failure.answer)
        case .success(let pool):
            guard state == .serving else {
                return reply(
                    .refused(.busy, state == .starting ? "the service starts" : "another reload is under way")
                )
            }
            log.notice("reload of pool \(pool.name) asked for on the control socket", .pool(pool.name))
            reloadWaiters.append(ReloadWaiter(number: reloadsBegun + 1, reply: reply))
            let reason = log.withOriginalStandardError { reload(pool: pool.name) }
            if let reason { reloadEnded(refusal: reason, upTo: reloadsBegun + 1) }
        }
    }

    /// A reload begins: what is logged until its end says why it is refused.
    func reloadBegan() {
        reloadsBegun += 1
        problems = []
        log.observer = { [weak self] level, text in
            guard let self, level >= .warning, problems.count < 32 else { return }
            problems.append("\(level.name): \(text)")
        }
    }

    /// A reload has ended: whoever waits is told.
    ///
    /// - Parameters:
    ///   - refusal: Why it came to nothing.
    ///   - last: The last reload that has ended; the one begun last if nil.
    func reloadEnded(refusal: ByteString?, upTo last: Int? = nil) {
        log.observer = nil
        let last = last ?? reloadsBegun
        let due = reloadWaiters.filter { $0.number <= last }
        reloadWaiters.removeAll { $0.number <= last }
        let lines = JSON.array(problems.map { .string($0.description) })
        for waiter in due {
            if let refusal {
                waiter.reply(
                    .refused(
                        .failed,
                        "reload refused: \(refusal); the old configuration goes on serving",
                        details: lines
                    )
                )
            } else {
                waiter.reply(.done(["pools": JSON(pools.count), "warnings": lines]))
            }
        }
    }

    // MARK: - Restart

    /// Executes the program's file in this process and reloads: see ``startUpgrade()``.
    ///
    /// An answer comes only if that is refused: the next image has other connections.
    func restart(_ reply: @escaping (ControlAnswer) -> Void) {
        guard state == .serving else { return reply(.refused(.busy, "the service is \(controlState)")) }
        log.notice("restart asked for on the control socket")
        isRestartAsked = true
        reloadWaiters.append(ReloadWaiter(number: reloadsBegun + 1, reply: reply))
        log.withOriginalStandardError { startReload() }
    }

    // MARK: - Workers

    /// A number is a worker's process, or else the name of a pool.
    private func addressed(_ request: ControlRequest) -> ControlRequest {
        guard let process = request.process, controlWorker(process) == nil,
            pool(named: "\(process)") != nil
        else { return request }
        var request = request
        (request.process, request.pool) = (nil, String(process))
        return request
    }

    func trace(_ request: ControlRequest, _ reply: @escaping (ControlAnswer) -> Void) {
        let request = addressed(request)
        var chosen: [(Pool, WorkerRecord)] = []
        if let process = request.process {
            guard let found = controlWorker(process) else {
                return reply(.refused(.noWorker, "process \(process) is not a worker of a pool that serves"))
            }
            chosen = [found]
        } else {
            switch controlPool(request) {
            case .failure(let failure): return reply(failure.answer)
            case .success(let pool):
                chosen = pool.workers.values
                    .filter { $0.isReady || $0.isLeaving }
                    .filter { pool.scoreboard.stage($0.slot) != .accepting }
                    .sorted { $0.serial < $1.serial }
                    .prefix(ControlTrace.mostWorkers).map { (pool, $0) }
            }
        }
        let targets = chosen.compactMap { pool, worker in
            pool.traceLayout.flatMap { layout in
                worker.namedProcess.map { ControlTrace.Target(process: $0, layout: layout) }
            }
        }
        let shown = chosen.map { pool, worker in traceHead(pool, worker) }
        guard !targets.isEmpty else { return reply(.done(["workers": .array(shown.map { .object($0) })])) }
        let began = ControlTrace.begin(targets, owner: self) { frames in
            let list = shown.map { head -> JSON in
                let pid = head.first?.value.count.flatMap { Int32(exactly: $0) } ?? 0
                var members = head
                members.append(JSON.Member("frames", .array((frames.lines[pid] ?? []).map { .string($0) })))
                if let failure = frames.failures[pid] {
                    members.append(JSON.Member("failure", .string(failure)))
                }
                return .object(members)
            }
            reply(.done(["workers": .array(list)]))
        }
        if !began { reply(.refused(.failed, "no helper process can be started: \(describe(currentErrno))")) }
    }

    private func traceHead(_ pool: Pool, _ worker: WorkerRecord) -> [JSON.Member] {
        withUnsafeTemporaryAllocation(of: cscoreboard_slot.self, capacity: 1) { copy in
            var members = [JSON.Member("pid", worker.namedProcess.map { JSON($0.rawValue) } ?? .null)]
            guard let copy = copy.baseAddress else { return members }
            _ = cscoreboard_copy(pool.scoreboard.slot(worker.slot), copy)
            let stage = Scoreboard.Stage(rawValue: copy.pointee.stage) ?? .executing
            let text = RequestText(copy)
            let duration = stage == .free ? 0 : pool.scoreboard.duration(copy, stage)
            members += [
                JSON.Member("pool", .string(pool.name.description)),
                JSON.Member("stage", .string("\(stage.name)")),
                JSON.Member("request", .string(text.request.description)),
                JSON.Member("script", .string(text.script.description)),
                JSON.Member("duration_us", JSON(duration)),
            ]
            return members
        }
    }

    func recycle(_ request: ControlRequest, _ reply: @escaping (ControlAnswer) -> Void) {
        let request = addressed(request)
        let pool: Pool
        let serials: [Int64]
        if let process = request.process {
            guard let (found, worker) = controlWorker(process) else {
                return reply(.refused(.noWorker, "process \(process) is not a worker of a pool that serves"))
            }
            (pool, serials) = (found, [worker.serial])
        } else {
            switch controlPool(request) {
            case .failure(let failure): return reply(failure.answer)
            case .success(let found):
                (pool, serials) = (found, found.workers.values.filter(\.isReady).map(\.serial).sorted())
            }
        }
        guard pool.recycling == nil else {
            return reply(.refused(.busy, "the workers of pool \(pool.name) are being replaced already"))
        }
        log.notice(
            "[pool \(pool.name)] \(serials.count) worker(s) are replaced, asked for on the control socket",
            .pool(pool.name)
        )
        let recycling = Recycling(serials, of: pool, patience: drainPatience, reactor: reactor) { result in
            reply(
                .done([
                    "pool": .string(pool.name.description), "workers": JSON(serials.count),
                    "replaced": JSON(result.replaced), "busy": JSON(result.busy),
                ])
            )
        }
        pool.recycling = recycling
        recycling.advance()
    }

    func scale(_ pool: Pool, _ count: Int?) -> ControlAnswer {
        let bounds = pool.scaleBounds
        guard let count, bounds.contains(count) else {
            return .refused(
                .value,
                "pool \(pool.name) can have \(bounds.lowerBound) to \(bounds.upperBound) workers until the next reload "
                    + "(pm.max_children = \(pool.settings.maxChildren)); change pm.max_children for more"
            )
        }
        let before = pool.policy.limits.maxChildren
        log.notice(
            "[pool \(pool.name)] scaled from \(before) to \(count) workers on the control socket, until the next reload",
            .pool(pool.name)
        )
        pool.scale(to: count)
        let processMax = configuration.global.processMax
        return .done([
            "pool": .string(pool.name.description), "before": JSON(before), "max_children": JSON(count),
            "configured_max_children": JSON(pool.settings.maxChildren), "least": JSON(bounds.lowerBound),
            "most": JSON(bounds.upperBound), "process_max": JSON(processMax),
            "process_manager": .string((pool.settings.processManager ?? .static).name),
        ])
    }

    func drain(_ pool: Pool) -> ControlAnswer {
        let active = pool.scoreboard.counts().active
        if !pool.isHeld {
            log.notice(
                "[pool \(pool.name)] drained on the control socket: no request is begun until it is undrained",
                .pool(pool.name)
            )
            pool.hold()
        }
        return .done(["pool": .string(pool.name.description), "running_requests": JSON(active)])
    }

    func undrain(_ pool: Pool) -> ControlAnswer {
        let wasHeld = pool.isHeld
        if wasHeld {
            log.notice("[pool \(pool.name)] serves again, asked for on the control socket", .pool(pool.name))
            pool.unhold()
        }
        return .done(["pool": .string(pool.name.description), "was_drained": .bool(wasHeld)])
    }
}
