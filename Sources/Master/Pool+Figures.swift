internal import CScoreboard
internal import Configuration
internal import Glibc
internal import Scoreboard
internal import StatusPage
internal import Syscalls

/// The pool in figures, and why its workers ended.
extension Pool {
    /// The figures of this generation.
    func figures(withWorkers: Bool) -> PoolFigures {
        var figures = scoreboard.figures(
            pool: name.bytes,
            processManager: Array((settings.processManager ?? .static).name.utf8),
            withWorkers: withWorkers
        )
        let path = settings.statusPath ?? ""
        if let socket = listener.path {
            figures.scrapeURI = ("unix://" + socket + ";" + path).bytes
        } else {
            figures.scrapeURI = ("tcp://" + listener.name + path).bytes
        }
        return figures
    }

    /// Counts the end of a worker whose slot is still as it left it.
    func countExit(_ exit: ProcessExit, of worker: WorkerRecord) {
        let leaving = cscoreboard_load_word(&scoreboard.slot(worker.slot).pointee.leaving)
        let cause = exitCause(exit, of: worker, leaving: leaving)
        // Counted here and only shown there: the page can be written by workers.
        exits[cause] += 1
        scoreboard.publish(exits[cause], of: cause)
    }

    /// Why a worker has ended; `leaving` is what it said itself, which counts only if nothing is known better.
    private func exitCause(_ exit: ProcessExit, of worker: WorkerRecord, leaving: UInt32) -> WorkerExitCause {
        switch exit.reason {
        case .signal(let signal, _) where signal != .quit:
            if worker.ranOutOfTime { return .terminateTimeout }
            return Self.crashSignals.contains(signal.rawValue) ? .crash : .killed
        case .code(let code) where code != 0: return .failure
        case .code, .signal: break
        }
        if state != .serving { return .recycled }
        switch cscoreboard_leaving(leaving) {
        case CSCOREBOARD_LEAVES_MAX_REQUESTS: return .maxRequests
        case CSCOREBOARD_LEAVES_MAX_MEMORY: return .maxMemory
        case CSCOREBOARD_LEAVES_SPOILT: return .spoilt
        default: return worker.wasAskedToLeave ? .surplus : .exit
        }
    }

    private static let crashSignals = [SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS, SIGTRAP]
}
