internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import FastCGI
internal import Logging
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// The pool's queue while it is saturated: what comes in, and what is answered here.
extension Pool {
    /// How many requests the workers have begun until now, by their own count.
    func pace() -> Pace {
        Pace(begun: scoreboard.acceptedRequests(), time: MonotonicTime.now.nanoseconds)
    }

    /// Whether a worker has begun its current or last request within so long before a look.
    func hasBegun(within duration: Duration, before look: Pace) -> Bool {
        let time = look.time - min(look.time, duration.nanoseconds)
        return workers.values.contains {
            cscoreboard_load_time(&scoreboard.slot($0.slot).pointee.accepted_ns) > time
        }
    }

    /// Whether there can be no more workers than there are.
    var cannotGrow: Bool { policy.starting == 0 && wantedSpawns.isEmpty && startable() <= 0 }

    /// Whether another connection may be accepted: what waits and what is parked share the pool's descriptors.
    var hasRoomForConnections: Bool {
        connections.parkedCount + queue.count + otherDescriptors < connections.quota
    }

    /// Descriptors of its clients' connections that neither are parked nor wait, and of files beside them.
    var otherDescriptors: Int { sharedCount + 2 * (madeResponses?.count ?? 0) }

    func saturationBegan() {
        queueFigures.saturationBegan()
        queue.socket.ahead = Saturation.ahead(workers: policy.running)
        queue.meter(true)
        publishQueue()
    }

    func saturationEnded() {
        queue.meter(false)
        publishQueue()
        queueFigures.saturationEnded(pool: self)
        publishQueue()
    }

    /// Takes a connection that the master has accepted while the pool is saturated.
    func arrive(_ connection: Connection) {
        if isAllowed(connection) { connections.arrive(connection) }
    }

    /// Whether the client may connect; if not, it is said.
    private func isAllowed(_ connection: Connection) -> Bool {
        guard let allowedPeers else { return true }
        var peer = cepoll_address()
        guard cepoll_peer(connection.rawValue, &peer) == 0 else { return false }
        if allowedPeers.allows(peer) { return true }
        log.write(.error, "Connection disallowed: IP address '\(addressText(peer))' has been dropped.")
        return false
    }

    /// The same for a client that may have been checked already: not what a worker has handed on as it came.
    private func isAllowed(_ waiting: WaitingRequest) -> Bool {
        waiting.flags.contains(.peerChecked) || isAllowed(waiting.connection)
    }

    /// A request is complete: whether it is to wait for a worker; if not it has been answered.
    func admits(_ waiting: WaitingRequest) -> Bool {
        guard watch.saturation.isActive || startsToQueue() else { return true }
        let most = settings.maxQueue
        let isFull = most > 0 && queue.total >= most && queue.exactTotal() >= most
        guard isFull || hasPages else { return true }
        let waiting = isFull ? received(waiting) : waiting
        let request = read(waiting)
        // Not to be understood, or too large to be assembled: a worker says so, or reads on. Nothing has come: it is no
        // request yet.
        guard request != nil || (isFull && !waiting.bytes.isEmpty) else { return true }
        guard isAllowed(waiting) else { return false }
        let target = RequestTarget(&scratch.table)
        if let request, answersItself(waiting, request, target) { return false }
        guard isFull else { return true }
        queueFigures.rejected += 1
        queueFigures.reportRefusals(pool: self)
        refuse(waiting, request, target)
        return false
    }

    /// The workers have not taken a request that was brought to them, and the pool is saturated now: whether it waits on; if not,
    /// it has been answered here, or is read first.
    func waitsOn(_ waiting: WaitingRequest) -> Bool {
        guard waiting.bytes.isEmpty else { return !answersItself(waiting) }
        if isAllowed(waiting) { connections.arrive(waiting) }
        return false
    }

    /// Whether a request is none for a worker: it asks for status or ping, and has been answered here, or its client may not
    /// connect.
    func answersItself(_ waiting: WaitingRequest) -> Bool {
        guard hasPages, let request = read(waiting) else { return false }
        guard isAllowed(waiting) else { return true }
        return answersItself(waiting, request, RequestTarget(&scratch.table))
    }

    private func answersItself(
        _ waiting: WaitingRequest,
        _ request: AssembledRequest,
        _ target: RequestTarget
    ) -> Bool {
        guard hasPages,
            let page = ownPages.ownResponse(to: target, scratch.table, requestID: request.requestID)
        else { return false }
        answer(waiting, request, with: page.records)
        ownAccessLog?.write(page, to: target, waiting, scratch.table)
        return true
    }

    /// With limits on the queue a request that finds nobody asleep belongs into it at once.
    private func startsToQueue() -> Bool {
        settings.limitsQueue && watch.saturateNow()
    }

    /// A request has waited for `pm.queue_timeout`.
    func expired(_ waiting: WaitingRequest) {
        queueFigures.expired += 1
        queueFigures.reportRefusals(pool: self)
        refuse(waiting)
    }

    /// A request cannot be handed to the workers.
    func couldNotSend(_ waiting: WaitingRequest, _ error: Errno) {
        reportUnsendable(error)
        refuse(waiting)
    }

    private func refuse(_ waiting: WaitingRequest) {
        guard isAllowed(waiting) else { return }
        let waiting = received(waiting)
        let request = read(waiting)
        refuse(waiting, request, RequestTarget(&scratch.table))
    }

    /// The request, and its parameters in the table; nil, and no parameters: they are incomplete or not well formed.
    private func read(_ waiting: WaitingRequest) -> AssembledRequest? {
        let request = AssembledRequest.read(waiting.bytes, into: &scratch.table)
        if request == nil { scratch.table.reset() }
        return request
    }

    /// What has come of a request that has waited unread, for want of memory.
    private func received(_ waiting: WaitingRequest) -> WaitingRequest {
        guard waiting.bytes.isEmpty else { return waiting }
        return withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 8) { buffer in
            guard case .bytes(let count)? = try? waiting.connection.receive(into: buffer) else {
                return waiting
            }
            return WaitingRequest(
                connection: waiting.connection,
                flags: waiting.flags,
                arrival: waiting.arrival,
                bytes: Array(buffer[0..<count])
            )
        }
    }

    /// Answers 503.
    ///
    /// - Parameters:
    ///   - waiting: Closed if it does not begin like a request.
    ///   - request: What could be read of it; nil: its parameters have not come to their end.
    ///   - target: What it asks for, with the parameters in the table.
    private func refuse(_ waiting: WaitingRequest, _ request: AssembledRequest?, _ target: RequestTarget) {
        guard let request = request ?? AssembledRequest.beginning(of: waiting.bytes) else { return }
        // Who comes again when what waits now has been served finds a place.
        let oldest = queue.oldestArrival
        let wait = oldest == 0 ? .zero : MonotonicTime.now - MonotonicTime(nanoseconds: oldest)
        let seconds = max(1, min(60, Int(wait.components.seconds) + 1))
        let refusal = ServiceUnavailable.answer(requestID: request.requestID, retryAfter: seconds)
        answer(waiting, request, with: refusal.records)
        ownAccessLog?.writeRefusal(refusal, to: target, waiting, scratch.table)
    }

    private func answer(_ waiting: WaitingRequest, _ request: AssembledRequest, with bytes: [UInt8]) {
        var next = OutgoingResponses.Next.close
        if let end = request.end {
            if request.keepsConnection { next = .keep(Array(waiting.bytes[end...])) }
        } else {
            next = .linger
        }
        responses.send(.memory(bytes), to: waiting.connection, then: next)
    }

    private var hasPages: Bool {
        !(settings.statusPath ?? "").isEmpty || !(settings.pingPath ?? "").isEmpty
    }

    // MARK: - Figures

    /// Shows the queue in the pool's page.
    func publishQueue() {
        guard let queue = madeQueue else { return }
        let page = scoreboard.pool
        let waiting = queue.total
        queueFigures.most = max(queueFigures.most, waiting)
        cscoreboard_store(&page.pointee.queue_depth, Int64(waiting))
        cscoreboard_store_time(&page.pointee.queue_oldest_ns, queue.oldestArrival)
        cscoreboard_store(&page.pointee.queue_passed, queueFigures.passed)
        cscoreboard_store(&page.pointee.queue_rejected, queueFigures.rejected)
        cscoreboard_store(&page.pointee.queue_expired, queueFigures.expired)
        cscoreboard_store(&page.pointee.queue_abandoned, queueFigures.abandoned)
        cscoreboard_store(&page.pointee.queue_wait_us, queueFigures.waitMicroseconds)
        cscoreboard_publish_histogram(&page.pointee.queue_wait, &queueFigures.wait)
        cscoreboard_store(&page.pointee.saturations, queueFigures.saturations)
        cscoreboard_store_time(
            &page.pointee.saturated_since_ns,
            queueFigures.since?.nanoseconds ?? 0
        )
    }

    /// Says what the workers are doing, if the saturation has lasted.
    func reportSaturation() { queueFigures.report(pool: self) }

    func publishResponses() {
        let page = scoreboard.pool
        cscoreboard_store(&page.pointee.drains, Int64(responses.count))
        cscoreboard_store(&page.pointee.drain_bytes, Int64(responses.bytesLeft))
        cscoreboard_store(&page.pointee.drained, responses.completed)
        if responses.count == 0 { owner.poolMayBeGone(self) }
    }

    /// What waits for a worker in the kernel, and the most that may; nil if the kernel does not say.
    private func kernelQueue() -> (queued: UInt32, limit: UInt32)? {
        // The kernel looks for a Unix socket among all there are: not for each of thousands of pools at a start or a tick.
        if let limit = listener.queueLimit,
            cepoll_poll_one(listener.descriptor.rawValue, UInt32(CEPOLL_IN), 0) == 0
        {
            return (0, limit)
        }
        var queued: UInt32 = 0
        var limit: UInt32 = 0
        if listener.isTCP {
            guard cepoll_tcp_queue(listener.descriptor.rawValue, &queued, &limit) == 0 else { return nil }
        } else {
            guard let diag = owner.socketDiagnosis,
                cepoll_unix_queue(diag, listener.descriptor.rawValue, &queued, &limit) == 0
            else { return nil }
        }
        listener.queueLimit = limit
        return (queued, limit)
    }

    /// How many connections wait at the listener.
    func backlog() -> Int { kernelQueue().map { Int($0.queued) } ?? .max }

    /// What waits for a worker in the kernel and here, and the kernel's limit.
    func refreshQueueFigures() {
        guard let (queued, limit) = kernelQueue() else { return }
        let page = scoreboard.pool
        let waiting = Int64(queued) + Int64(madeQueue?.total ?? 0)
        cscoreboard_store(&page.pointee.listen_queue, waiting)
        cscoreboard_store(&page.pointee.listen_queue_len, Int64(limit))
        mostQueued = max(mostQueued, waiting)
        cscoreboard_store(&page.pointee.max_listen_queue, mostQueued)
        publishQueue()
    }
}
