internal import CEpoll
internal import Channel
internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// A reload that finds another program in the place of the running one: the master executes it in its own process, and
/// it goes on with the listeners, the children and the connections that it is handed.
///
///     serving ── the file differs ──► asked ── no ──► refused, go on as before
///                                       │ yes
///                                       ▼
///                              execve, same process number
///                                       │
///             adopted: the old generation serves ── reload ──► a new generation, as after any reload
///                                                   └── refused ──► the old generation goes on serving
///
/// Children stay children, whatever their parent executes. What is handed over is a ``TakeoverState`` in a sealed memory
/// file, and the descriptors it names.
extension Master {
    /// The variable with the descriptor of the state.
    static var takeoverVariable: String { "FPMD_TAKEOVER" }

    /// Begins to replace this image, if there is a new one; false if there is none.
    func startUpgrade() -> Bool {
        guard options.file.isReplaced || isRestartAsked else { return false }
        isRestartAsked = false
        state = .reloading
        systemd.reloading()
        log.notice("\(options.file.path) is asked to take over")
        do throws(Errno) {
            let file = try stateFile(handOver())
            let check = try UpgradeCheck(
                path: options.file.path,
                arguments: options.arguments,
                state: file,
                reactor: reactor,
                log: log
            ) { [weak self] accepts in self?.finishUpgrade(accepts) }
            children[check.process] = .upgradeCheck
            upgrade = check
        } catch {
            refuseReload("the new program cannot be started: \(describe(error))")
        }
        return true
    }

    private func finishUpgrade(_ accepts: Bool) {
        guard state == .reloading else { return }
        upgrade = nil
        guard accepts else { return refuseReload("the new program does not take over") }
        becomeNewProgram(latest: MonotonicTime.now + .seconds(2))
    }

    private func becomeNewProgram(latest: MonotonicTime) {
        // The end of a child that its zygote has not named yet would be nobody's: the zygote will, within a second. There
        // may always be some: as the first process of a container the master reaps anybody's orphans.
        guard unclaimed.isEmpty || MonotonicTime.now >= latest else {
            upgradeDelay = reactor.after(.milliseconds(20)) { [weak self] in
                if self?.state == .reloading { self?.becomeNewProgram(latest: latest) }
            }
            return
        }
        let former = handOver()
        // It was, when the new program was asked; since then zygotes may have named more.
        guard TakeoverState(decoding: former.encoded()) != nil else {
            return refuseReload("a zygote has named a worker twice")
        }
        do throws(Errno) {
            let file = try stateFile(former)
            let inherited = former.descriptors.map { CInt($0) } + [file.rawValue]
            for descriptor in inherited {
                _ = try retryingOnInterrupt { cepoll_survive_exec(descriptor, true) }
            }
            setenv(Self.takeoverVariable, "\(file.rawValue)", 1)
            log.notice("executing \(options.file.path)")
            let error = log.withOriginalStandardError { () -> Errno in
                _ = cepoll_become_program(options.file.path)
                return currentErrno
            }
            unsetenv(Self.takeoverVariable)
            for descriptor in inherited { _ = cepoll_survive_exec(descriptor, false) }
            throw error
        } catch {
            refuseReload("cannot execute \(options.file.path): \(describe(error))")
        }
    }

    private func stateFile(_ state: TakeoverState) throws(Errno) -> SharedDescriptor {
        let bytes = state.encoded()
        let memory = try SharedMemory(name: "fpmd-takeover", size: bytes.count)
        bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { memory.base.copyMemory(from: start, byteCount: source.count) }
        }
        return memory.descriptor
    }

    /// All that the next image must know.
    private func handOver() -> TakeoverState {
        var former = TakeoverState()
        former.childFileLimit = Int(clamping: inheritedFileLimit)
        former.fileLimit = Int(clamping: fileLimit)
        former.global = configuration.global.pairs.map { NamedValue(name: $0.name, value: $0.value) }
        if case .file(_, let file) = log.destination { former.errorLog = Int(file.rawValue) }
        former.hasOriginalStandardError = log.hasOriginalStandardError
        former.helpers = children.compactMap { process, role in
            if case .helper = role { Int(process.rawValue) } else { nil }
        }.sorted()
        var indices: [ObjectIdentifier: Int] = [:]
        func index(of listener: Listener) -> Int {
            if let known = indices[ObjectIdentifier(listener)] { return known }
            indices[ObjectIdentifier(listener)] = former.listeners.count
            former.listeners.append(listener.handedOver())
            return former.listeners.count - 1
        }
        for pool in pools + drainingPools.values {
            var one = pool.handedOver()
            one.listener = index(of: pool.listener)
            one.statusListener =
                pool.state == .draining ? nil : pool.statusListener.map { index(of: $0.listener) }
            former.pools.append(one)
        }
        former.metricsListener = metrics.map { index(of: $0.listener) }
        return former
    }

    // MARK: - In the new image

    /// Goes on where the image before this one has stopped, and reloads.
    func run(after former: TakeoverState) -> CInt {
        guard watchSignals() else { return 70 }
        (inheritedFileLimit, fileLimit) = (UInt64(former.childFileLimit), UInt64(former.fileLimit))
        for process in former.helpers { addHelper(ProcessID(Int32(process))) }
        adopt(former)
        state = .serving
        log.notice("fpm is running, pid \(ProcessID.current): taken over with \(pools.count) pool(s)")
        openControl()
        // What ended meanwhile was not told to this image.
        reap()
        scheduleTick()
        scheduleSystemd()
        log.withOriginalStandardError { startReload() }
        return runLoop()
    }

    /// Takes over pools and listeners.
    ///
    /// Apart from ``run(after:)``, which lasts as long as the service and must not hold what a reload gives up.
    private func adopt(_ former: TakeoverState) {
        let generation = Generation(configuration.global)
        let leaving = Generation(configuration.global)
        let listeners = former.listeners.map { Listener(adopting: $0) }
        var serving: [Pool] = []
        for one in former.pools {
            do throws(Errno) {
                let pool = try Pool.adopt(
                    one,
                    listener: listeners[one.listener],
                    generation: one.isDraining ? leaving : generation,
                    owner: self
                )
                if let index = one.statusListener { answerStatus(of: pool, on: listeners[index]) }
                pool.goOn(with: one)
                if one.isDraining {
                    keepDraining(pool)
                    pool.end(.quit, patience: drainPatience)
                } else {
                    serving.append(pool)
                }
            } catch {
                log.error("[pool \(one.name)] cannot be taken over: \(describe(error))", .pool(one.name))
            }
        }
        use(serving)
        if let index = former.metricsListener { useMetrics(metricsListener(on: listeners[index])) }
    }

    private func answerStatus(of pool: Pool, on listener: Listener) {
        pool.statusListener = StatusListener(
            listener: listener,
            pool: pool,
            facts: options.pageFacts(),
            reactor: reactor,
            log: log
        )
        pool.statusListener?.start()
    }
}

extension Listener {
    fileprivate func handedOver() -> TakeoverState.Listener {
        var former = TakeoverState.Listener()
        former.descriptor = Int(descriptor.rawValue)
        former.name = name
        former.path = path
        switch origin {
        case .own: break
        case .stored: former.wasStored = true
        case .socketUnit(let name): former.socketUnit = name
        }
        former.storedName = storedName.map { ByteString($0) }
        if let file {
            former.hasFile = true
            former.device = Int(bitPattern: UInt(file.device))
            former.inode = Int(bitPattern: UInt(file.inode))
        }
        former.queueLimit = queueLimit.map { Int($0) }
        if let access {
            former.hasAccess = true
            former.userID = access.userID.map { Int($0) } ?? -1
            former.groupID = access.groupID.map { Int($0) } ?? -1
            former.mode = Int(access.mode)
            former.aclUsers = access.aclUsers.map { Int($0) }
            former.aclGroups = access.aclGroups.map { Int($0) }
            former.backlog = access.backlog
        }
        return former
    }

    fileprivate convenience init(adopting former: TakeoverState.Listener) {
        self.init(
            taking: CInt(former.descriptor),
            name: former.name,
            path: former.path,
            file: former.hasFile
                ? (UInt64(UInt(bitPattern: former.device)), UInt64(UInt(bitPattern: former.inode))) : nil,
            origin: former.socketUnit.map { .socketUnit(name: $0) } ?? (former.wasStored ? .stored : .own)
        )
        storedName = former.storedName?.description
        queueLimit = former.queueLimit.map { UInt32(truncatingIfNeeded: $0) }
        guard former.hasAccess else { return }
        var access = SocketAccess(backlog: former.backlog, queueLimit: queueLimit)
        access.userID = former.userID < 0 ? nil : UInt32(truncatingIfNeeded: former.userID)
        access.groupID = former.groupID < 0 ? nil : UInt32(truncatingIfNeeded: former.groupID)
        access.mode = UInt32(truncatingIfNeeded: former.mode)
        access.aclUsers = former.aclUsers.map { UInt32(truncatingIfNeeded: $0) }
        access.aclGroups = former.aclGroups.map { UInt32(truncatingIfNeeded: $0) }
        self.access = access
    }
}
