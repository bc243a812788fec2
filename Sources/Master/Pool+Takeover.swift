internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// A pool that goes from one image of the program to the next, with its processes and connections.
extension Pool {
    // MARK: - Handing over

    /// What the next image must know of the pool; the listeners are its caller's.
    func handedOver() -> TakeoverState.Pool {
        madeShared?.takeAll()
        var state = TakeoverState.Pool()
        state.name = name
        state.settings = settings.pairs.map { NamedValue(name: $0.name, value: $0.value) }
        state.userID = identity.userID.map { Int($0) } ?? -1
        state.groupID = identity.groupID.map { Int($0) } ?? -1
        state.groupsOf = identity.supplementaryGroupsOf
        state.userName = identity.userName
        state.home = identity.home
        state.isDraining = self.state == .draining
        state.isHeld = isHeld
        state.maxChildren = policy.limits.maxChildren
        state.startEpoch = Int(cscoreboard_load(&scoreboard.pool.pointee.start_epoch))
        state.slotCount = scoreboard.slotCount
        if let memory = scoreboard.memory, let (writer, reader) = madeQueue?.socketEnds {
            var shared = TakeoverState.Shared()
            shared.scoreboard = Int(memory.descriptor.rawValue)
            shared.queueWriter = Int(writer)
            shared.queueReader = Int(reader)
            state.shared = shared
        }
        state.accessLog = accessLog.map { Int($0.rawValue) }
        state.nextSerial = Int(nextSerial)
        state.limitReached = Int(limitReachedCount)
        state.slowRequests = Int(slowRequestCount)
        state.mostQueued = Int(mostQueued)
        state.zygote = zygote.map { $0.handedOver() }
        state.workers = workers.values.map { $0.handedOver() }.sorted { $0.slot < $1.slot }
        state.connections = (madeConnections?.handedOver ?? []) + (madeQueue?.handedOver ?? [])
        state.responses = madeResponses?.handedOver ?? []
        return state
    }

    // MARK: - Taking over

    /// A pool of the image before this one.
    ///
    /// - Throws: `Errno` of what could not be mapped or watched: the image before this one is gone, so there is no pool.
    static func adopt(
        _ state: TakeoverState.Pool,
        listener: Listener,
        generation: Generation,
        owner: any PoolOwner
    ) throws(Errno) -> Pool {
        var identity = PoolIdentity()
        identity.userID = state.userID < 0 ? nil : UInt32(truncatingIfNeeded: state.userID)
        identity.groupID = state.groupID < 0 ? nil : UInt32(truncatingIfNeeded: state.groupID)
        identity.supplementaryGroupsOf = state.groupsOf
        identity.userName = state.userName
        identity.home = state.home
        let pages = try state.shared.map { shared throws(Errno) in
            try Scoreboard(
                mapping: SharedDescriptor(adopting: CInt(shared.scoreboard)),
                slotCount: state.slotCount
            )
        }
        let pool = Pool(
            settings: PoolSettings(name: state.name, pairs: state.settings.map { ($0.name, $0.value) }),
            identity: identity,
            generation: generation,
            listener: listener,
            accessLog: state.accessLog.map { SharedDescriptor(adopting: CInt($0)) },
            owner: owner,
            scoreboard: pages ?? Scoreboard(unsharedSlotCount: state.slotCount)
        )
        try pool.adopt(state)
        return pool
    }

    private func adopt(_ former: TakeoverState.Pool) throws(Errno) {
        cscoreboard_store(&scoreboard.pool.pointee.start_epoch, Int64(former.startEpoch))
        nextSerial = Int64(former.nextSerial)
        limitReachedCount = Int64(former.limitReached)
        slowRequestCount = Int64(former.slowRequests)
        mostQueued = Int64(former.mostQueued)
        if let shared = former.shared {
            let reader = MessageSocket(adopting: CInt(shared.queueReader))
            let writer = MessageSocket(adopting: CInt(shared.queueWriter))
            writer.isBounded = true
            reader.isBounded = true
            queueReader = reader
            queue.attach(writer, reader: reader)
        }
        let used = Set(former.workers.map(\.slot))
        freeSlots.take { used.contains($0) }
        for worker in former.workers { try adopt(worker) }
        // What an operator has set holds until a reload takes effect, and the one that follows may be refused.
        isHeld = former.isHeld
        policy.adopt(
            maxChildren: min(former.maxChildren, scoreboard.slotCount),
            running: workers.count,
            starting: workers.values.count { !$0.isReady && !$0.isLeaving }
        )
        if let zygote = former.zygote {
            self.zygote = try ZygoteLink(
                adopting: zygote,
                pool: name,
                // If not it loses nothing by what ends a gentle start.
                startedGently: settings.processPriority == nil,
                reactor: owner.reactor,
                log: owner.log
            ) { [weak self] event in self?.handle(event) }
            owner.register(ProcessID(Int32(zygote.process)), as: .zygote(self))
            zygoteWasAdopted()
        } else {
            for worker in workers.values { worker.isUnnamed = true }
        }
        isReady = true
        wasAdopted = true
        state = .serving
        if settings.processManager != .ondemand || hasProcesses { owner.poolIsActive(self) }
        if !workers.isEmpty {
            requestTimeouts?.workerStarted()
            keeper.beginAfterTakeover()
            watch.width.beginAfterTakeover()
        }
    }

    private func adopt(_ former: TakeoverState.Worker) throws(Errno) {
        let slot = former.slot
        var output: WorkerOutput?
        if former.standardOutput >= 0 || former.standardError >= 0 {
            let catcher = makeOutput(slot: slot)
            for (number, stream) in [
                (former.standardOutput, OutputLines.Stream.standardOutput),
                (former.standardError, .standardError),
            ] where number >= 0 {
                try catcher.watch(SharedDescriptor(adopting: CInt(number)), stream, on: owner.reactor)
            }
            output = catcher
        }
        let channel = MessageSocket(adopting: CInt(former.channel))
        channel.isBounded = true
        let worker = WorkerRecord(
            slot: slot,
            serial: Int64(former.serial),
            isRespawn: former.isRespawn,
            channel: channel,
            output: output
        )
        if former.deposit >= 0 { worker.deposit = WorkerDeposit(inherited: CInt(former.deposit)) }
        let process = ProcessID(Int32(former.process))
        let role = ChildRole.worker(self, slot: slot, serial: worker.serial)
        switch former.stage {
        case .requested: worker.state = .requested
        case .starting:
            worker.state = .starting(process)
            _ = owner.claim(process, for: role)
        case .ready:
            worker.state = .ready(process)
            owner.register(process, as: role)
        case .leaving:
            worker.state = .leaving(process)
            owner.register(process, as: role)
        }
        worker.startTime = MonotonicTime(nanoseconds: UInt64(clamping: former.startTime))
        worker.wasAskedToLeave = former.wasAskedToLeave
        worker.isRetiring = former.isRetiring
        worker.isReplaced = former.isReplaced
        workers[slot] = worker
        try watch(worker)
    }

    /// Serves as before: takes back the connections, and looks after the listener.
    func goOn(with former: TakeoverState.Pool) {
        if former.isDraining {
            state = .draining
        } else {
            listener.pool = self
        }
        for one in former.connections {
            let connection = Connection(adopting: CInt(one.descriptor))
            let flags = Message.Flags(rawValue: UInt8(truncatingIfNeeded: one.flags))
            let time = UInt64(clamping: one.acceptedTime)
            switch one.purpose {
            case .lingering: connections.linger(connection)
            case .waiting:
                queue.append(
                    WaitingRequest(
                        connection: connection,
                        flags: flags,
                        arrival: time,
                        bytes: one.bytes.bytes
                    )
                )
            case .silent, .idle, .assembling:
                connections.park(connection, flags: flags, acceptedTime: time, bytes: one.bytes.bytes)
            }
        }
        for one in former.responses {
            let source: OutgoingResponses.Source =
                if let file = one.file {
                    .file(SharedDescriptor(adopting: CInt(file)), offset: one.position, end: one.end)
                } else { .memory(one.bytes.bytes) }
            let next: OutgoingResponses.Next =
                switch one.next {
                case .close: .close
                case .linger: .linger
                case .keep: .keep(one.nextBytes.bytes)
                }
            responses.send(source, to: Connection(adopting: CInt(one.descriptor)), then: next)
        }
        guard state == .serving else { return }
        watch.start()
        if queue.total > 0 { watch.connectionsAreWaiting() }
        keepIdleZygote()
    }
}

extension WorkerRecord {
    fileprivate func handedOver() -> TakeoverState.Worker {
        var former = TakeoverState.Worker()
        former.slot = slot
        former.serial = Int(serial)
        former.isRespawn = isRespawn
        former.process = process.map { Int($0.rawValue) } ?? 0
        former.stage =
            switch state {
            case .requested: .requested
            case .starting: .starting
            case .ready: .ready
            case .leaving: .leaving
            }
        former.channel = Int(channel.descriptor)
        if let output {
            output.handOver()
            former.standardOutput = output.descriptor(of: .standardOutput).map { Int($0) } ?? -1
            former.standardError = output.descriptor(of: .standardError).map { Int($0) } ?? -1
        }
        former.deposit = deposit.map { Int($0.descriptor) } ?? -1
        former.wasAskedToLeave = wasAskedToLeave
        former.isRetiring = isRetiring
        former.isReplaced = isReplaced
        former.startTime = Int(clamping: startTime.nanoseconds)
        return former
    }
}

extension ZygoteLink {
    fileprivate func handedOver() -> TakeoverState.Zygote {
        var former = TakeoverState.Zygote()
        former.process = Int(process.rawValue)
        former.channel = Int(channel.descriptor)
        former.output = output.descriptor.map { Int($0.rawValue) } ?? -1
        former.isReady = state == .ready
        former.isEnding = state == .ending
        former.report = report.map { ByteString($0.encoded()) } ?? ByteString()
        return former
    }
}
