internal import Channel
internal import Configuration
internal import Control
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import Syscalls

/// What an operator may do to a pool.
extension Pool {
    /// The worker of a spawn request, if it is still there.
    func worker(serial: Int64) -> WorkerRecord? { workers.values.first { $0.serial == serial } }

    /// The worker that is this process.
    func worker(process: ProcessID) -> WorkerRecord? { workers.values.first { $0.process == process } }

    // MARK: - Replacing workers

    /// Starts another worker and lets this one go when that is ready; where there may be no more workers it goes first.
    func replace(_ worker: WorkerRecord) {
        guard let process = worker.namedProcess, worker.isReady, !worker.isReplaced else { return }
        worker.isRetiring = true
        guard settings.processManager != .ondemand, !isHeld, policy.surplus == 0, mayStartSuccessor else {
            tellToLeave(worker, process)
            return
        }
        startSuccessor(of: worker)
    }

    // MARK: - Scaling

    /// The limits within which the pool can be scaled without a reload.
    var scaleBounds: ClosedRange<Int> {
        // Pages taken over from another version of the program may have fewer slots.
        let room = scoreboard.slotCount - max(1, settings.replacementOverlap)
        return 1...max(1, min(settings.maxChildren + settings.scaleHeadroom, room))
    }

    /// Sets the limit of workers until the next reload; surplus workers leave when they have finished.
    func scale(to count: Int) {
        perform(policy.scale(to: count))
        retire(policy.surplus - workers.values.count(where: \.wasAskedToLeave))
        watch.recheck()
    }

    /// Lets so many workers go: idle ones first, those that serve when they have finished.
    private func retire(_ count: Int) {
        guard count > 0 else { return }
        let ready = workers.values.filter(\.isReady)
        let idleFirst =
            ready.filter { scoreboard.stage($0.slot) == .accepting }
            + ready.filter { scoreboard.stage($0.slot) != .accepting }
        for worker in idleFirst.prefix(count) { letGo(worker) }
    }

    /// Tells a worker to leave for good: nobody takes its place.
    private func letGo(_ worker: WorkerRecord) {
        guard let process = worker.namedProcess else { return }
        worker.wasAskedToLeave = true
        tellToLeave(worker, process)
    }

    // MARK: - Draining

    /// Lets all workers go when they have finished, and starts none.
    ///
    /// Requests that come now wait in the master's queue, within `pm.max_queue` and `pm.queue_timeout`.
    func hold() {
        isHeld = true
        for _ in wantedSpawns { policy.spawnFailed() }
        wantedSpawns = []
        retiring = []
        for worker in workers.values where worker.isReady { letGo(worker) }
    }

    /// Starts workers again.
    func unhold() {
        isHeld = false
        perform(policy.begin())
        if let waiting = madeQueue?.total, waiting > 0 { _ = grow(depth: waiting) }
        watch.recheck()
    }

    // MARK: - opcache

    /// What may be done with the opcache; the raw value is the message's flags.
    enum OpcacheAction: UInt8, CaseIterable {
        case status = 1
        case reset, invalidate, scripts

        /// Its name in requests.
        init?(name: String) {
            guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
            self = found
        }

        var name: String { "\(self)" }
    }

    /// What a list of scripts begins with; the raw value is the message's.
    enum OpcacheOrder: UInt64, CaseIterable {
        case path, hits, memory, used
    }

    /// Has a worker do it between two requests; an idle one if there is one.
    ///
    /// - Returns: Whether there was a worker to ask.
    func callOpcache(
        _ action: OpcacheAction,
        file: String?,
        order: OpcacheOrder,
        patience: Duration,
        reply: @escaping (WorkerCalls.Outcome) -> Void
    ) -> Bool {
        let ready = workers.values.filter(\.isReady)
        let idle = ready.first { scoreboard.stage($0.slot) == .accepting }
        guard let worker = idle ?? ready.first else { return false }
        let number = workerCalls.begin(worker, patience: patience, reply: reply)
        let message = Message(
            .opcache,
            flags: Message.Flags(rawValue: action.rawValue),
            slot: UInt32(worker.slot),
            serial: number,
            value: order.rawValue
        )
        let payload = Array((file ?? "").utf8)
        let sent = payload.withUnsafeBytes { try? worker.channel.send(message, payload: $0, descriptors: []) }
        if case .bytes? = sent { return true }
        workerCalls.failed(number)
        return true
    }
}
