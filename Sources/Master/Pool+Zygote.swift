internal import CEpoll
internal import Channel
internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// The zygote's life, as far as the pool is concerned.
extension Pool {
    func startZygote() {
        guard zygote == nil, !zygoteRequested, zygoteRetry == nil, state == .serving else { return }
        zygoteRequested = true
        owner.whenZygoteMayStart(self)
    }

    /// Starts the zygote that has waited for its turn.
    ///
    /// - Returns: Whether one starts.
    func launchZygote() -> Bool {
        zygoteRequested = false
        guard zygote == nil, state == .serving else { return false }
        owner.poolIsActive(self)
        do throws(Errno) {
            let queue = try prepareForProcesses()
            let link = try ZygoteLink(
                program: owner.program,
                plan: owner.plan(for: self),
                scoreboard: scoreboard,
                queue: queue,
                listener: listener,
                accessLog: accessLog,
                reactor: owner.reactor,
                log: owner.log,
                fileLimit: owner.inheritedFileLimit,
                startsGently: startsGently
            ) { [weak self] event in self?.handle(event) }
            zygote = link
            owner.register(link.process, as: .zygote(self))
            limitZygoteStart()
            return true
        } catch {
            let remedy = fileLimitRemedy(error).map { "; \($0)" } ?? ""
            zygoteFailed("cannot start \(owner.program.executed): \(describe(error))\(remedy)")
            return false
        }
    }

    /// Nobody waits for it: the generation before serves, or no worker is wanted.
    ///
    /// Starting PHP takes a processor for some 20 ms, which requests would have to wait for.
    private var startsGently: Bool {
        wantedSpawns.isEmpty || (!isReady && listener.pool !== self && listener.pool != nil)
    }

    func handle(_ event: ZygoteLink.Event) {
        switch event {
        case .ready:
            zygoteDeadline = nil
            heed(zygote?.report)
            if let error = zygote?.syntaxError {
                if !isReady, owner.refuses(syntaxError: error) { return owner.poolFailed(self, error) }
                syntaxError = error
            }
            zygoteBackoff.succeeded()
            let wasTried = triesEngine
            triesEngine = false
            pumpSpawns()
            keepIdleZygote()
            leaveStartPlace()
            owner.zygoteFinishedStarting()
            if wasTried { becomeReadyIfStarted() }
        case .spawned(let slot, let serial, let process):
            // The number is the zygote's word: it must name a child of ours that is not known already.
            guard let worker = workers[slot], worker.serial == serial, case .requested = worker.state else {
                return
            }
            // A claim, until the worker itself speaks: then the kernel names the process.
            let exit = owner.claimExit(of: process)
            let isOurs = exit != nil || isChild(process)
            guard isOurs, exit != nil || owner.claim(process, for: .worker(self, slot: slot, serial: serial))
            else {
                return distrustZygote("named process \(process) as a worker, which is none of its own")
            }
            worker.state = .starting(process)
            started(worker, process)
            if let exit { return workerEnded(slot: slot, serial: serial, exit) }
        case .spawnFailed(let slot, let serial, let error):
            guard let worker = workers[slot], worker.serial == serial, case .requested = worker.state else {
                return
            }
            remove(worker)
            reportForkFailure(error)
            perform(policy.forkFailed(at: MonotonicTime.now.nanoseconds))
            if !isReady, policy.running == 0, wantedSpawns.isEmpty {
                return owner.poolFailed(self, "none of its first workers can be forked: \(describe(error))")
            }
            // Those that could be forked serve.
            becomeReadyIfStarted()
        case .unexpected(let descriptors):
            for descriptor in descriptors { owner.closeElsewhere(descriptor) }
            distrustZygote("sent something that is not a zygote's")
        case .gone:
            // Of no more use, whatever it is doing; its death is reported by the kernel.
            if let link = zygote { send(.kill, to: link.process) }
        }
    }

    /// What a zygote has said of its PHP.
    private func heed(_ report: ZygoteReport?) {
        traceLayout = report?.traceLayout
        guard let report else { return }
        ownPages.facts = PageFacts(poweredBy: report.poweredBy, charset: report.charset)
    }

    /// The image of the program before this one has started it.
    func zygoteWasAdopted() {
        guard let zygote else { return }
        heed(zygote.report)
        switch zygote.state {
        case .starting:
            owner.adoptedZygoteStarts()
            limitZygoteStart()
        case .ending: limitZygoteEnd()
        case .ready: return
        }
    }

    private func limitZygoteStart() {
        zygoteDeadline = owner.reactor.after(.seconds(60)) { [weak self] in
            self?.distrustZygote("has not started PHP within 60 s")
        }
        keepStartPlace(since: 0)
    }

    /// The places are for those that need a processor.
    ///
    /// Who has used next to none for half a second waits for something else, a preloading script for a database, an
    /// extension for ever, and other pools do not wait with it.
    private func keepStartPlace(since used: UInt64) {
        zygotePlace = owner.reactor.after(.milliseconds(500)) { [weak self] in
            guard let self, let zygote else { return }
            let now = cepoll_processor_time(zygote.process.rawValue)
            if now >= used + 5_000_000 { keepStartPlace(since: now) } else { leaveStartPlace() }
        }
    }

    private func leaveStartPlace() {
        guard zygotePlace != nil else { return }
        zygotePlace = nil
        owner.zygoteLeavesStartPlace()
    }

    private func limitZygoteEnd() {
        zygoteDeadline = owner.reactor.after(.seconds(5)) { [weak self] in
            self?.distrustZygote("has not ended within 5 s")
        }
    }

    /// An ondemand pool's zygote waits without a worker, as far as such are kept.
    func keepIdleZygote() {
        guard settings.processManager == .ondemand, state == .serving, workers.isEmpty, wantedSpawns.isEmpty,
            let zygote, zygote.state == .ready
        else { return }
        owner.zygoteIsIdle(self)
    }

    /// There are too many that wait.
    func endIdleZygote() {
        guard let zygote, workers.isEmpty, wantedSpawns.isEmpty else { return }
        zygote.expectEnd()
        terminate(zygote)
        limitZygoteEnd()
    }

    func distrustZygote(_ reason: ByteString) {
        guard let link = zygote, !link.hasEnded else { return }
        log.write(.error, "[pool \(name)] zygote \(link.process) \(reason): killed")
        send(.kill, to: link.process)
    }

    /// The zygote's process has ended.
    func zygoteEnded(_ exit: ProcessExit) {
        guard let link = zygote, link.process == exit.process else { return }
        let wasStarting = link.state == .starting
        let wasTold = link.state == .ending
        owner.zygoteIsWanted(self)
        link.ended { [weak self] in self?.handle($0) }
        zygote = nil
        zygoteDeadline = nil
        // Also of one that was told to end while it started.
        leaveStartPlace()
        if wasStarting { owner.zygoteFinishedStarting() }
        loseUnnamedWorkers()
        guard state == .serving else { return owner.poolMayBeGone(self) }
        if wasTold {
            log.write(.debug, "[pool \(name)] zygote \(exit.process) has ended, as it was not needed")
        } else if wasStarting {
            zygoteFailed("its zygote exited \(describeExit(exit)) while starting")
        } else if !isReady, zygotesLostAtStart >= Self.mostZygotesLostAtStart {
            owner.poolFailed(self, "its zygotes end before a worker is ready, \(describeExit(exit))")
        } else {
            if !isReady { zygotesLostAtStart += 1 }
            log.write(
                .warning,
                "[pool \(name)] zygote \(exit.process) exited \(describeExit(exit)); a new one is started when a worker is needed"
            )
            perform(
                policy.tick(
                    PoolPolicy.Counts(idle: scoreboard.counts().idle),
                    at: MonotonicTime.now.nanoseconds
                )
            )
        }
        pumpSpawns()
    }

    /// How many zygotes may end before the pool's first workers are ready: one that was killed by somebody is replaced.
    private static let mostZygotesLostAtStart = 2

    func zygoteFailed(_ reason: ByteString) {
        for _ in wantedSpawns { policy.spawnFailed() }
        wantedSpawns = []
        if !isReady { return owner.poolFailed(self, reason) }
        let delay = zygoteBackoff.failed(at: MonotonicTime.now.nanoseconds) ?? 100_000_000
        log.write(.error, "[pool \(name)] \(reason); next attempt in \(delay / 1_000_000) ms")
        zygoteRetry = owner.reactor.after(.nanoseconds(Int64(clamping: delay))) { [weak self] in
            guard let self else { return }
            zygoteRetry = nil
            perform(policy.tick(PoolPolicy.Counts(idle: 0), at: MonotonicTime.now.nanoseconds))
            // Workers that were wanted meanwhile count as under way: the policy asks for no others.
            pumpSpawns()
            watch.recheck()
        }
    }
}
