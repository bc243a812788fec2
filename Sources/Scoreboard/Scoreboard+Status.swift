internal import CEpoll
public import CScoreboard
internal import Glibc
public import StatusPage
internal import Syscalls

/// The figures of status pages. Workers may have written anything into the pages: numbers are clamped, texts are
/// copied within their bounds.
extension Scoreboard {
    /// The pool's figures under its name and style.
    public func poolStatus(pool name: [UInt8], processManager: [UInt8]) -> PoolStatus {
        let counts = counts()
        func figure(_ field: UnsafePointer<Int64>) -> UInt64 { UInt64(plausible(cscoreboard_load(field))) }
        var status = PoolStatus(
            pool: name,
            processManager: processManager,
            start: startTime(cscoreboard_load(&pool.pointee.start_epoch))
        )
        status.acceptedConnections = UInt64(acceptedRequests())
        status.listenQueue = figure(&pool.pointee.listen_queue)
        status.maxListenQueue = figure(&pool.pointee.max_listen_queue)
        status.listenQueueLength = figure(&pool.pointee.listen_queue_len)
        status.idleProcesses = UInt64(counts.idle)
        status.activeProcesses = UInt64(counts.active)
        let most = max(figure(&pool.pointee.max_active), UInt64(counts.active))
        status.maxActiveProcesses = min(UInt64(slotCount), most)
        status.maxChildrenReached = figure(&pool.pointee.max_children_reached)
        status.slowRequests = figure(&pool.pointee.slow_requests)
        return status
    }

    /// The figures of each worker, in slot order.
    public func processStatuses() -> [ProcessStatus] {
        var all: [ProcessStatus] = []
        forEachWorker { slot, stage in
            var one = ProcessStatus(
                pid: Int32(truncatingIfNeeded: slot.pointee.pid),
                state: stage.shown,
                start: startTime(slot.pointee.start_epoch)
            )
            one.requests = UInt64(plausible(slot.pointee.requests))
            one.requestDuration = UInt64(duration(slot, stage))
            one.requestMethod = text(cscoreboard_method(slot))
            one.requestURI = text(cscoreboard_uri(slot))
            one.queryString = text(cscoreboard_query(slot))
            one.contentLength = UInt64(plausible(slot.pointee.content_length))
            one.user = text(cscoreboard_user(slot))
            one.script = text(cscoreboard_script(slot))
            one.lastRequestCPU = cpuPercent(slot, stage)
            one.lastRequestMemory = stage == .accepting ? UInt64(plausible(slot.pointee.memory_peak)) : 0
            all.append(one)
        }
        return all
    }

    /// Calls `body` with a stable copy of each slot in use and its stage.
    public func forEachWorker(_ body: (UnsafeMutablePointer<cscoreboard_slot>, Stage) -> Void) {
        guard memory != nil else { return }
        withUnsafeTemporaryAllocation(of: cscoreboard_slot.self, capacity: 1) { copy in
            guard let copy = copy.baseAddress else { return }
            for index in 0..<slotCount where stage(index) != .free {
                _ = cscoreboard_copy(slot(index), copy)
                let stage = Stage(rawValue: copy.pointee.stage) ?? .executing
                if stage != .free { body(copy, stage) }
            }
        }
    }

    /// Microseconds, at least 0: since the request began, or what the last one took.
    public func duration(_ slot: UnsafeMutablePointer<cscoreboard_slot>, _ stage: Stage) -> Int64 {
        if stage == .accepting { return max(0, slot.pointee.duration_us) }
        let begin = MonotonicTime(nanoseconds: slot.pointee.accepted_ns)
        return Int64((MonotonicTime.now - begin).nanoseconds / 1000)
    }

    /// Per cent of one processor during the last request; 0 while one is served.
    public func cpuPercent(_ slot: UnsafeMutablePointer<cscoreboard_slot>, _ stage: Stage) -> Double {
        guard stage == .accepting, slot.pointee.duration_us > 0 else { return 0 }
        let seconds = Double(slot.pointee.cpu_ticks) / Double(cepoll_ticks_per_second())
        return seconds * 100 / (Double(slot.pointee.duration_us) / 1_000_000)
    }

    private func startTime(_ written: Int64) -> StartTime {
        let seconds = min(plausible(written), Self.latestTime)
        return StartTime(
            epochSeconds: seconds,
            text: Array(formatLocalTime("%d/%b/%Y:%H:%M:%S %z", seconds).utf8),
            secondsSince: max(0, wallClockSeconds() - seconds)
        )
    }

    /// The end of the year 9999, in seconds since the epoch.
    private static let latestTime: Int64 = 253_402_300_799

    private func text(_ pointer: UnsafePointer<CChar>) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: pointer, count: strlen(pointer)))
    }
}
