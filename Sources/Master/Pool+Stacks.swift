internal import CEpoll
internal import CScoreboard
internal import Configuration
internal import Glibc
internal import Logging
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// Call stacks of workers in the logs.
///
/// Those with slow requests are in the slow log; those that are told to end, and those that die, in the log.
extension Pool {
    private static var loggedFrames: Int { 20 }

    /// Has the call stack of a worker written to the slow log.
    func trace(_ process: ProcessID, script: ByteString, request: ByteString) {
        slowRequestCount += 1
        cscoreboard_store(&scoreboard.pool.pointee.slow_requests, slowRequestCount)
        guard let path = settings.slowLog, let layout = traceLayout else { return }
        log.write(.notice, "about to trace \(process)", worker: process)
        let slowLog = SlowLog(path: path, pool: name, log: log)
        // Taken while the worker cannot have been reaped yet: its number is its own.
        let handle = cepoll_pidfd(process.rawValue)
        defer { if handle >= 0 { closeDescriptor(handle) } }
        let trace = WorkerTrace(
            process: process,
            handle: handle,
            layout: layout,
            depth: settings.requestSlowLogTraceDepth
        )
        if handle < 0 || !owner.runElsewhere({ slowLog.record(trace, script: script, request: request) }) {
            log.write(
                .error,
                "failed to trace child \(process): \(describe(currentErrno))",
                worker: process
            )
        }
    }

    /// Has the call stack of a worker written to the log; false when there is no way to.
    ///
    /// `then` runs in the helper process, after the last line.
    func traceToLog(_ process: ProcessID, then: () -> Void = {}) -> Bool {
        guard let layout = traceLayout else { return false }
        let handle = cepoll_pidfd(process.rawValue)
        guard handle >= 0 else { return false }
        defer { closeDescriptor(handle) }
        let trace = WorkerTrace(
            process: process,
            handle: handle,
            layout: layout,
            depth: Self.loggedFrames,
            showsPosition: true
        )
        let log = log
        let name = name
        return owner.runElsewhere {
            let frames = trace.frames()
            for line in frames.lines {
                log.write(
                    .notice,
                    "[pool \(name)] child \(process) is at \(ByteString(line))",
                    worker: process
                )
            }
            if let code = frames.failure {
                log.write(
                    .notice,
                    "[pool \(name)] child \(process): its call stack cannot be read: \(describe(Errno(rawValue: code)))",
                    worker: process
                )
            }
            then()
        }
    }

    /// A worker dies in a request, and waits for a moment until its call stack has been read.
    ///
    /// It could lie, and then holds nobody but itself: the helper reads what it likes to show, once in its life, and a
    /// pool gets few helpers.
    func workerCrashes(_ worker: WorkerRecord, signal: UInt64) {
        guard let process = worker.namedProcess, !worker.hasCrashed else { return }
        worker.hasCrashed = true
        let slot = scoreboard.slot(worker.slot)
        let isTraced =
            scoreboard.stage(worker.slot).isRunning && crashTraces.take(at: MonotonicTime.now)
            && reportCrash(process, slot, signal)
        if !isTraced { cepoll_let_die(cscoreboard_dying(slot)) }
    }

    private func reportCrash(
        _ process: ProcessID,
        _ slot: UnsafeMutablePointer<cscoreboard_slot>,
        _ signal: UInt64
    ) -> Bool {
        let text = RequestText(of: slot)
        let number = Signal(CInt(clamping: min(signal, 64)))
        let how = signal == 0 ? "exits" : "crashed on signal \(number.rawValue) (\(number.name))"
        owner.log.warning(
            "[pool \(name)] child \(process), script '\(text.script)' (request: \"\(text.request)\") \(how)",
            text.context(pool: name, worker: process)
        )
        return traceToLog(process) { cepoll_let_die(cscoreboard_dying(slot)) }
    }
}
