internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import FastCGI
internal import Glibc
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// Taking connections: from the listener, and from the pool's queue.
extension Worker {
    private static let shortRequestMicroseconds: Int64 = 1000

    /// Whether the service stops and another one gets the listener: whoever waits there is the other's.
    var leavesListener: Bool {
        cscoreboard_load_word(&settings.scoreboard.pool.pointee.leaves_listener) != 0
    }

    /// Whether the service stops, or the pool has gone from the configuration.
    ///
    /// Otherwise a connection that is kept outlives its worker: a client that sends its next request may not find it
    /// closed.
    var closesKept: Bool {
        cscoreboard_load_word(&settings.scoreboard.pool.pointee.closes_kept) != 0
    }

    /// Waits at the listener and the queue, or rests from one or both, as the master has it: where processors are
    /// scarce a pool needs no more workers there than there are processors.
    func followWidth() {
        let resting = cscoreboard_resting_of(processor.slot)
        // Without memory to register again the next look is after the next wake-up.
        switch (isAtQueue, resting == CSCOREBOARD_RESTS_FROM_ALL) {
        case (true, true):
            _ = cepoll_remove(epoll.rawValue, settings.queue.descriptor)
            isAtQueue = false
        case (false, false):
            isAtQueue = (try? watch(settings.queue.descriptor, .queue, exclusive: true)) != nil
        case (true, false), (false, true): break
        }
        let isToListen = resting == CSCOREBOARD_LISTENS
        guard isToListen != isListening else { return }
        guard isToListen else { return leaveListener() }
        guard !leavesListener else { return }
        isListening = (try? watch(settings.listener, .listener, exclusive: true)) != nil
    }

    private func leaveListener() {
        if isListening { _ = cepoll_remove(epoll.rawValue, settings.listener) }
        isListening = false
    }

    /// What has come out of the pool's queue.
    enum Taken {
        case nothing
        /// Something that is not to be served: there may be more behind it.
        case skipped
        case client(Client)
    }

    /// Takes what the master has put next into the pool's queue.
    func takeFromQueue() -> Taken {
        // What is received without a number for it is lost, and scripts may have left none. A file may come with it.
        guard cepoll_has_two_numbers(settings.queue.descriptor) else {
            cannotTake("no descriptor for a connection", .tooManyOpenFiles)
            return .nothing
        }
        switch try? settings.queue.receive(into: message) {
        case .message(let head, let payload, let descriptors, _) where head.kind == .serve:
            return client(head, payload: payload, descriptors).map { .client($0) } ?? .skipped
        case .message(_, _, let descriptors, _), .malformed(let descriptors):
            for descriptor in descriptors { closeDescriptor(descriptor) }
            return .skipped
        case .descriptorsLost(let descriptors):
            // Something else in this process has been faster; the next one would be lost likewise.
            for descriptor in descriptors { closeDescriptor(descriptor) }
            cannotTake("recvmsg() failed", .tooManyOpenFiles)
            return .nothing
        case .wouldBlock, .closed, nil: return .nothing
        }
    }

    /// The connection of a message, if it is to be served.
    private func client(_ head: Message, payload: Int, _ descriptors: [CInt]) -> Client? {
        guard let descriptor = descriptors.first else { return nil }
        defer { for surplus in descriptors.dropFirst() { closeDescriptor(surplus) } }
        setHeldAside()
        cscoreboard_connection_taken(settings.scoreboard.pool)
        processor.reader.reset()
        if head.flags.contains(.bytesInFile), let file = descriptors.last {
            guard processor.reader.buffer.fill(from: file) else {
                closeDescriptor(descriptor)
                return nil
            }
        } else if payload > 0 {
            processor.reader.buffer.fill(
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(message)[0..<payload])
            )
        }
        let client = Client(
            descriptor: descriptor,
            acceptedTime: head.value,
            isKeptAlive: head.flags.contains(.keptAlive)
        )
        client.wasQueued = head.flags.contains(.queued)
        // Whoever has given up while it waited is not served: nobody would read the answer.
        if client.wasQueued, cepoll_peer_is_gone(descriptor, settings.plan.isTCP) {
            client.close()
            return nil
        }
        if !head.flags.contains(.peerChecked), let allowed = settings.allowedPeers {
            var peer = cepoll_address()
            guard cepoll_peer(descriptor, &peer) == 0, isAllowed(peer, allowed) else {
                client.close()
                return nil
            }
            client.peer = peer
        }
        return client
    }

    private func isAllowed(_ peer: cepoll_address, _ allowed: AllowedPeers) -> Bool {
        if allowed.allows(peer) { return true }
        log.write(.error, "Connection disallowed: IP address '\(addressText(peer))' has been dropped.")
        return false
    }

    /// Who has no descriptor for a connection, or no memory, makes room for a worker that has, as in php-fpm.
    private func cannotTake(_ operation: ByteString, _ error: Errno) {
        log.write(.error, "\(operation): \(describe(error)); another worker takes this one's place")
        leaveListener()
        isDraining = true
        hasFailed = cscoreboard_load(&processor.slot.pointee.requests) == 0
    }

    func takeFromListener() -> Client? {
        guard !leavesListener else {
            // Nothing new until the signal to leave: what has been taken already has that time to be served.
            leaveListener()
            return nil
        }
        var peer = cepoll_address()
        let descriptor =
            settings.plan.isTCP
            ? cepoll_accept(settings.listener, &peer) : cepoll_accept(settings.listener, nil)
        guard descriptor >= 0 else {
            // EAGAIN: another worker was faster.
            if errno != EAGAIN { cannotTake("accept() failed", currentErrno) }
            return nil
        }
        if let allowed = settings.allowedPeers, !isAllowed(peer, allowed) {
            closeDescriptor(descriptor)
            return nil
        }
        setHeldAside()
        processor.reader.reset()
        return Client(
            descriptor: descriptor,
            acceptedTime: MonotonicTime.now.nanoseconds,
            isKeptAlive: false,
            peer: settings.plan.isTCP ? peer : nil
        )
    }

    /// The next connection of a listener where several wait: asking for each of them first what is ready would be one
    /// system call in ten.
    ///
    /// Only after short requests and for some in a row, so that the queue and the master wait a few milliseconds at most.
    func takeAtOnce() -> Client? {
        guard takesAtOnce > 0 else { return nil }
        takesAtOnce -= 1
        guard held == nil, parting == nil, isListening, !cepoll_drain_requested(),
            processor.slot.pointee.duration_us < Self.shortRequestMicroseconds, takingAtOnce.isWorthwhile()
        else {
            takesAtOnce = 0
            return nil
        }
        let client = takeFromListener()
        takingAtOnce.ended(successfully: client != nil)
        if client == nil { takesAtOnce = 0 }
        return client
    }

    /// This worker was told of a new connection and will serve something else first.
    ///
    /// If another one sleeps, it was not told: the master is given the connection, and wakes it.
    func handOn() {
        let board = settings.scoreboard
        let own = processor.slotIndex
        guard !leavesListener else { return }
        let isOtherSleeping = (0..<min(board.slotCount, 256)).contains { slot in
            slot != own && board.stage(slot) == .accepting
                && cscoreboard_resting_of(board.slot(slot)) == CSCOREBOARD_LISTENS
        }
        guard isOtherSleeping else { return }
        let descriptor = cepoll_accept(settings.listener, nil)
        guard descriptor >= 0 else { return }
        // Not checked: whoever serves it asks where it comes from.
        let head = Message(.park, value: MonotonicTime.now.nanoseconds)
        if cepoll_was_accepted(descriptor) { _ = tell(head, descriptors: [descriptor]) }
        closeDescriptor(descriptor)
    }
}
