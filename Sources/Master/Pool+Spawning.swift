internal import CEpoll
internal import Channel
internal import Configuration
internal import Logging
internal import PoolPolicy
internal import Reactor
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// Workers are asked for.
extension Pool {
    func spawn(_ count: Int, isRespawn: Bool) {
        guard owner.mayStartWorkers, state == .serving, !isHeld else { return }
        let allowed = min(count, generation.allowance, freeSlots.count - wantedSpawns.count)
        if allowed < count, generation.allowance < count { owner.processMaxReached() }
        guard allowed > 0 else { return }
        policy.spawnRequested(allowed)
        for _ in 0..<allowed { wantedSpawns.append(isRespawn) }
        pumpSpawns()
    }

    func pumpSpawns() {
        guard !wantedSpawns.isEmpty else { return }
        guard let zygote, zygote.state == .ready else { return startZygote() }
        owner.zygoteIsWanted(self)
        while let isRespawn = wantedSpawns.first {
            guard let slot = freeSlots.take() else { return }
            wantedSpawns.removeFirst()
            do throws(Errno) {
                try requestWorker(zygote, slot: slot, isRespawn: isRespawn)
            } catch {
                freeSlots.put(slot)
                reportUnstartableWorker(error)
                for _ in wantedSpawns { policy.spawnFailed() }
                wantedSpawns = []
                return perform(policy.forkFailed(at: MonotonicTime.now.nanoseconds))
            }
        }
    }

    func makeOutput(slot: Int) -> WorkerOutput {
        WorkerOutput(
            pool: name,
            pid: { [weak self] in ByteString(self?.workers[slot]?.process?.description ?? "?") },
            decorates: settings.decorateWorkersOutput,
            log: owner.log
        )
    }

    /// Listens to what a worker says.
    func watch(_ worker: WorkerRecord) throws(Errno) {
        worker.registration = try owner.reactor.watch(worker.channel.descriptor, for: .readable) {
            [weak self, weak worker] _ in
            if let worker { self?.receive(from: worker) }
        }
    }

    /// What a worker costs the master: its channel, its deposit, and the pipes of its output.
    static let descriptorsPerWorker = 4

    func requestWorker(_ zygote: ZygoteLink, slot: Int, isRespawn: Bool) throws(Errno) {
        scoreboard.clear(slot)
        nextSerial += 1
        let serial = nextSerial
        let (mine, theirs) = try MessageSocket.pair()
        mine.isBounded = true
        guard mine.descriptor < owner.descriptorCeiling else { throw .tooManyOpenFiles }
        try mine.passCredentials()
        var output: WorkerOutput?
        var standardOutput: SharedDescriptor
        var standardError: SharedDescriptor
        if settings.catchWorkersOutput {
            let catcher = makeOutput(slot: slot)
            let first = try makePipe()
            let second = try makePipe()
            try catcher.watch(first.read, .standardOutput, on: owner.reactor)
            try catcher.watch(second.read, .standardError, on: owner.reactor)
            (output, standardOutput, standardError) = (catcher, first.write, second.write)
        } else {
            let null = SharedDescriptor(adopting: try retryingOnInterrupt { cepoll_open_null() })
            (standardOutput, standardError) = (null, null)
        }
        let worker = WorkerRecord(
            slot: slot,
            serial: serial,
            isRespawn: isRespawn,
            channel: mine,
            output: output
        )
        try watch(worker)
        guard
            zygote.spawn(
                slot: slot,
                serial: serial,
                channel: theirs,
                output: standardOutput.rawValue,
                errors: standardError.rawValue
            )
        else { throw .brokenPipe }
        workers[slot] = worker
    }
}
