internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import Glibc
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import Syscalls

/// Workers: what they say, and their ends.
extension Pool {
    func receive(from worker: WorkerRecord) {
        let capacity = Message.length + MessageSocket.maximumPayload
        withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 16) { buffer in
            // Connections come by the thousand: one timer for all that one needs. Other messages lead anywhere.
            let other: MessageSocket.Arrival? = withBoundedWaiting {
                guard let arrival = try? worker.channel.receive(into: buffer) else {
                    worker.registration = nil
                    return nil
                }
                guard case .message(let message, _, _, _) = arrival,
                    [.park, .linger, .deliver].contains(message.kind)
                else { return arrival }
                take(arrival, buffer, worker)
                return nil
            }
            if let other { take(other, buffer, worker) }
        }
    }

    /// The connection is lost for want of a number; if it was one, the worker did nothing wrong.
    private func loseConnection(_ descriptors: [CInt], _ worker: WorkerRecord) {
        guard descriptors.allSatisfy({ cepoll_is_stream_socket($0) }) else {
            return refuse(descriptors, worker, "gave back something that is not a connection")
        }
        for descriptor in descriptors { cepoll_close_connection(descriptor) }
        reportLostConnection()
    }

    /// Closing an arbitrary file may wait for a file server that answers to the worker's user.
    private func refuse(
        _ descriptors: [CInt],
        _ worker: WorkerRecord,
        _ reason: ByteString,
        sender: ProcessID? = nil
    ) {
        for descriptor in descriptors { owner.closeElsewhere(descriptor) }
        distrust(worker, reason, sender: sender)
    }

    private func take(
        _ arrival: MessageSocket.Arrival,
        _ buffer: UnsafeMutableRawBufferPointer,
        _ worker: WorkerRecord
    ) {
        switch arrival {
        case .wouldBlock: return
        // The kernel reports its death; a worker that breaks the protocol is one that must go.
        case .closed:
            worker.registration = nil
            if worker.isUnnamed, case .requested = worker.state { unnamedWorkerIsGone(worker) }
        case .descriptorsLost(let descriptors): loseConnection(descriptors, worker)
        case .malformed(let descriptors): refuse(descriptors, worker, "sent a malformed message")
        case .message(let message, let payload, let descriptors, let sender):
            let bytes = Array(UnsafeRawBufferPointer(rebasing: buffer[0..<payload]))
            handle(message, descriptors, sender, bytes, worker)
        }
    }

    func handle(
        _ message: Message,
        _ descriptors: [CInt],
        _ sender: Int32,
        _ bytes: [UInt8],
        _ worker: WorkerRecord
    ) {
        switch message.kind {
        case .workerReady where descriptors.count <= 1:
            let process = ProcessID(sender)
            if let descriptor = descriptors.first, !takeDeposit(descriptor, worker, process) { return }
            workerBecameReady(worker, process)
        case .busy where descriptors.isEmpty: keeper.wake()
        case .park:
            keeper.release(worker)
            park(message, descriptors, bytes, worker)
        case .linger:
            keeper.release(worker)
            guard let descriptor = takeOne(descriptors, from: worker) else { return }
            (listener.pool ?? self).connections.linger(descriptor)
        case .deliver:
            keeper.release(worker)
            deliver(message, descriptors, bytes, worker)
        case .share: share(message, descriptors, worker)
        case .unshare where descriptors.isEmpty: madeShared?.end(message, of: worker)
        case .retiring where descriptors.isEmpty:
            workerRetires(worker, mustLeave: message.flags.contains(.mustLeave))
        case .opcacheDone where descriptors.count <= 1:
            if let file = descriptors.first, !ScriptPages.mayBe(file) {
                return refuse(descriptors, worker, "gave something that is not a list of scripts")
            }
            let file = descriptors.first.map { SharedDescriptor(adopting: $0) }
            guard workerCalls.returned(message, bytes, file: file, from: worker) else {
                return distrust(worker, "answered what another worker was asked")
            }
        case .crashed where descriptors.isEmpty: workerCrashes(worker, signal: message.value)
        case .workerReady, .busy, .retiring, .crashed, .unshare, .opcache, .opcacheDone, .listen, .leave,
            .spawn,
            .accessLog,
            .zygoteReady, .deposited,
            .spawned, .spawnFailed, .serve:
            refuse(descriptors, worker, "sent a message that is not a worker's")
        }
    }

    /// Takes back a connection, and what has been received on it.
    private func park(
        _ message: Message,
        _ descriptors: [CInt],
        _ bytes: [UInt8],
        _ worker: WorkerRecord
    ) {
        var (connections, bytes) = (descriptors, bytes)
        if message.flags.contains(.bytesInFile), descriptors.count == 2, let file = connections.popLast() {
            // No more than the worker may receive, and some for its buffer.
            let most = max(settings.requestBuffer, 1 << 20) * 2
            guard let received = BytesFile.contents(of: file, atMost: most) else {
                return refuse(descriptors, worker, "gave something that is not the beginning of a request")
            }
            closeDescriptor(file)
            bytes = received
        }
        guard let descriptor = takeOne(connections, from: worker) else { return }
        // Its word: a moment that has not come yet would never grow old.
        let acceptedTime = max(1, min(message.value, MonotonicTime.now.nanoseconds))
        if message.flags.isSuperset(of: [.gathers, .keptAlive]), bytes.isEmpty, state == .serving,
            let gatherer = gatherer(other: worker),
            shared.give(descriptor, acceptedTime: acceptedTime, to: gatherer)
        {
            return
        }
        park(
            descriptor,
            flags: message.flags.intersection([.keptAlive, .peerChecked]),
            acceptedTime: acceptedTime,
            bytes: bytes
        )
    }

    /// Keeps a connection for whoever serves on the listener when its request comes.
    func park(_ connection: Connection, flags: Message.Flags, acceptedTime: UInt64, bytes: [UInt8]) {
        if bytes.isEmpty, !flags.contains(.keptAlive), let status = listener.status {
            return status.take(connection)
        }
        (listener.pool ?? self).connections.park(
            connection,
            flags: flags,
            acceptedTime: acceptedTime,
            bytes: bytes
        )
    }

    /// The worker that holds the most connections, by its own word.
    private func gatherer(other worker: WorkerRecord) -> WorkerRecord? {
        func held(_ worker: WorkerRecord) -> UInt32 {
            cscoreboard_load_word(&scoreboard.slot(worker.slot).pointee.held)
        }
        let others = workers.values.filter { $0 !== worker && $0.isReady && !$0.isRetiring && held($0) > 0 }
        return others.max { (held($0), $1.slot) < (held($1), $0.slot) }
    }

    /// Takes a duplicate of a connection that the worker keeps.
    private func share(_ message: Message, _ descriptors: [CInt], _ worker: WorkerRecord) {
        guard let connection = takeOne(descriptors, from: worker) else { return }
        let isFirst = sharedCount == 0
        guard shared.add(connection, message, of: worker) else {
            return distrust(worker, "shared a connection in a place that there is not")
        }
        if isFirst { keeper.sharingBegan() }
    }

    /// Takes the end of the pair in which the worker leaves connections; false if it is anything else.
    private func takeDeposit(_ descriptor: CInt, _ worker: WorkerRecord, _ sender: ProcessID) -> Bool {
        guard worker.deposit == nil, let deposit = WorkerDeposit(given: descriptor) else {
            refuse([descriptor], worker, "gave something that is not a place for connections", sender: sender)
            return false
        }
        // The last descriptors are for connections that nobody else has.
        if descriptor < owner.descriptorCeiling { worker.deposit = deposit }
        return true
    }

    /// The connection that a worker gave back; nil, and the worker killed, if it is anything else.
    func takeOne(_ descriptors: [CInt], from worker: WorkerRecord) -> Connection? {
        if descriptors.count == 1, let descriptor = descriptors.first, cepoll_is_stream_socket(descriptor) {
            return Connection(adopting: descriptor)
        }
        refuse(descriptors, worker, "gave back something that is not a connection")
        return nil
    }

    /// Sends the rest of a response, which a worker has put into a sealed file.
    private func deliver(
        _ message: Message,
        _ descriptors: [CInt],
        _ bytes: [UInt8],
        _ worker: WorkerRecord
    ) {
        // Nobody can change a sealed file any more, and reading it does not wait.
        let size = descriptors.count == 2 ? cepoll_sealed_size(descriptors[1]) : -1
        let most = settings.responseBuffer + Self.largestBuffer
        guard size > 0, cepoll_is_stream_socket(descriptors[0]), message.value <= UInt64(size),
            Int(size) - Int(message.value) <= most, size <= 2 * settings.responseBuffer + Self.largestBuffer
        else {
            return refuse(descriptors, worker, "gave something that is not the rest of a response")
        }
        let next: OutgoingResponses.Next =
            message.flags.contains(.lingers)
            ? .linger : message.flags.contains(.keptAlive) ? .keep(bytes) : .close
        responses.send(
            .file(
                SharedDescriptor(adopting: descriptors[1]),
                offset: Int(message.value),
                end: Int(size)
            ),
            to: Connection(adopting: descriptors[0]),
            then: next
        )
    }

    /// A worker's buffer for output, which may be in the file beside what it may keep.
    private static var largestBuffer: Int { 128 << 10 }

    /// A worker that does not keep to the protocol is not one to keep.
    ///
    /// Until it has spoken, its number is its zygote's word, which may be that of another pool's worker: then nobody is
    /// killed but the zygote, which has its channel. `sender`: the process that the kernel names, if it does.
    func distrust(_ worker: WorkerRecord, _ reason: ByteString, sender: ProcessID? = nil) {
        worker.registration = nil
        worker.isDistrusted = true
        // Its number may be another's once it has been reaped.
        guard !worker.hasEnded else { return }
        let named = worker.namedProcess ?? sender.flatMap { owner.isUnnamedChild($0) ? $0 : nil }
        guard let process = named else {
            return distrustZygote("has a worker that is not ready, and \(reason)")
        }
        log.write(.error, "[pool \(name)] child \(process) \(reason): killed", worker: process)
        send(.kill, to: process)
    }

    /// The zygote has said so, or the worker, whose message may overtake the zygote's.
    func started(_ worker: WorkerRecord, _ process: ProcessID) {
        worker.startTime = MonotonicTime.now
        log.write(
            worker.isRespawn ? .notice : .debug,
            "[pool \(name)] child \(process) started",
            worker: process
        )
    }

    /// The kernel names the sender: that is the worker's process, whatever the zygote said.
    func workerBecameReady(_ worker: WorkerRecord, _ process: ProcessID) {
        switch worker.state {
        case .starting(let known) where known != process:
            log.write(
                .error,
                "[pool \(name)] zygote named process \(known) as a worker, but it is \(process)"
            )
        case .requested: started(worker, process)
        case .starting: break
        case .ready, .leaving: return
        }
        // It may have ended meanwhile.
        guard isChild(process) else { return }
        guard owner.register(process, as: .worker(self, slot: worker.slot, serial: worker.serial)) else {
            return distrust(worker, "says it is ready, but is another process")
        }
        worker.state = .ready(process)
        policy.workerReady()
        requestTimeouts?.workerStarted()
        keeper.begin(process)
        if state == .draining || !owner.mayStartWorkers || isHeld {
            worker.wasAskedToLeave = isHeld
            tellToLeave(worker, process)
            return
        }
        replaceRetiring()
        // The master must be woken last: it goes to the end of the listener's waiters again.
        (listener.pool ?? self).watch.workerJoined()
        becomeReadyIfStarted()
    }

    /// Has a worker leave when it has finished what it does.
    ///
    /// Not by a signal, which would end a sleep() in its request early, or a wait for a lock.
    func tellToLeave(_ worker: WorkerRecord, _ process: ProcessID) {
        worker.state = .leaving(process)
        if case .bytes? = try? worker.channel.send(Message(.leave)) { return }
        send(.quit, to: process)
    }

    /// A worker's process has ended.
    func workerEnded(slot: Int, serial: Int64, _ exit: ProcessExit) {
        guard let worker = workers[slot], worker.serial == serial, worker.process == exit.process else {
            return
        }
        let lifetime = MonotonicTime.now - worker.startTime
        let served = cscoreboard_load(&scoreboard.slot(slot).pointee.requests)
        worker.output?.finish()
        worker.hasEnded = true
        drainChannel(of: worker)
        workerCalls.isGone(worker)
        let tookTooLong = requestTimeouts?.hasEnded(worker) ?? false
        if !tookTooLong { reportCutRequest(of: worker, exit) }
        let client = keeper.workerDied(worker, tookTooLong: tookTooLong)
        logLostRequest(of: worker, exit, tookTooLong: tookTooLong, client: client)
        let wasReady = worker.isReady || worker.isLeaving
        let isClean = exit.reason == .code(0) || isSignal(exit, .quit)
        let wasRetired = worker.wasAskedToLeave && (isCode(exit) || isSignal(exit, .quit))
        logExit(exit, lifetime, wasRetired: wasRetired, isClean: isClean)
        countExit(exit, of: worker)
        remove(worker)
        let failure: PoolPolicy.Failure =
            isClean ? .none : served == 0 ? .beforeAnyRequest : .inRequest
        perform(
            policy.workerEnded(
                wasRetired: wasRetired || worker.isReplaced || state != .serving || !owner.mayStartWorkers,
                wasReady: wasReady,
                failure: failure,
                at: MonotonicTime.now.nanoseconds
            )
        )
        if state == .serving {
            watch.width.balance()
            watch.recheck()
        }
        owner.poolMayBeGone(self)
        if state == .serving, isSignal(exit, .segmentationFault) || isSignal(exit, .busError) {
            owner.workerCrashed()
        }
    }

    func isSignal(_ exit: ProcessExit, _ signal: Signal) -> Bool {
        if case .signal(let number, _) = exit.reason { number == signal } else { false }
    }

    func isCode(_ exit: ProcessExit) -> Bool {
        if case .code = exit.reason { true } else { false }
    }

    /// The kernel queues no more than some hundred messages; who has inherited the dead worker's channel could go on
    /// sending as fast as they are read.
    private static let mostLeftMessages = 1024

    /// Connections that the worker gave back before it ended.
    func drainChannel(of worker: WorkerRecord) {
        let capacity = Message.length + MessageSocket.maximumPayload
        withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 16) { buffer in
            for _ in 0..<Self.mostLeftMessages where !worker.isDistrusted {
                guard let arrival = try? worker.channel.receive(into: buffer) else { return }
                switch arrival {
                case .wouldBlock, .closed: return
                case .message, .descriptorsLost, .malformed: take(arrival, buffer, worker)
                }
            }
        }
    }

    func remove(_ worker: WorkerRecord) {
        worker.registration = nil
        guard workers.removeValue(forKey: worker.slot) != nil else { return }
        madeShared?.workerEnded(worker)
        scoreboard.clear(worker.slot)
        freeSlots.put(worker.slot)
        if workers.isEmpty { keepIdleZygote() }
    }
}
