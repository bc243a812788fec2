internal import CScoreboard
public import StatusPage
internal import Syscalls

/// The figures that php-fpm's status page does not have.
///
/// The same caution as there: what a worker could have written is clamped.
extension Scoreboard {
    /// All figures of the pool, under its name and style.
    ///
    /// - Parameters:
    ///   - name: The pool's name.
    ///   - processManager: Its `pm`.
    ///   - withWorkers: Whether the workers are wanted too.
    /// - Returns: What the pages say now.
    public func figures(pool name: [UInt8], processManager: [UInt8], withWorkers: Bool) -> PoolFigures {
        var figures = PoolFigures(
            status: poolStatus(pool: name, processManager: processManager),
            maxChildren: UInt64(cscoreboard_load_word(&pool.pointee.max_children))
        )
        let page = pool
        figures.queue.depth = count(&page.pointee.queue_depth)
        let now = MonotonicTime.now
        let oldest = cscoreboard_load_time(&page.pointee.queue_oldest_ns)
        if oldest > 0 {
            let waited = now - MonotonicTime(nanoseconds: oldest)
            figures.queue.oldestWaitMicroseconds = UInt64(max(0, waited.nanoseconds / 1000))
        }
        figures.queue.isSaturated = cscoreboard_load_time(&page.pointee.saturated_since_ns) > 0
        figures.drainingResponses = count(&page.pointee.drains)
        figures.drainingBytes = count(&page.pointee.drain_bytes)
        figures.hasServed = memory != nil
        figures.totals = figures.hasServed ? totals() : .none
        if withWorkers { figures.workers = workerFigures() }
        return figures
    }

    /// The status page that answers `query`.
    public func statusPage(_ query: StatusQuery, pool name: [UInt8], processManager: [UInt8]) -> StatusPage {
        let figures =
            query.hasFigures
            ? figures(pool: name, processManager: processManager, withWorkers: false) : nil
        return StatusPage(
            pool: figures?.status ?? poolStatus(pool: name, processManager: processManager),
            processes: query.isFull || query.isDashboard ? processStatuses() : [],
            figures: figures
        )
    }

    /// What adds up, of this generation.
    public func totals() -> PoolTotals {
        var totals = PoolTotals()
        let page = pool
        totals.passed = count(&page.pointee.queue_passed)
        totals.rejected = count(&page.pointee.queue_rejected)
        totals.expired = count(&page.pointee.queue_expired)
        totals.abandoned = count(&page.pointee.queue_abandoned)
        totals.saturations = count(&page.pointee.saturations)
        totals.drained = count(&page.pointee.drained)
        for cause in WorkerExitCause.allCases {
            totals.exits[cause] = count(cscoreboard_exits(page, UInt32(cause.rawValue)))
        }
        add(&page.pointee.queue_wait, to: &totals.wait)
        add(&page.pointee.retired_service, to: &totals.service)
        guard memory != nil else { return totals }
        for index in 0..<slotCount { add(&slot(index).pointee.service, to: &totals.service) }
        return totals
    }

    /// Shows how many workers have ended for this cause; only the master calls this.
    public func publish(_ count: UInt64, of cause: WorkerExitCause) {
        cscoreboard_store(cscoreboard_exits(pool, UInt32(cause.rawValue)), Int64(clamping: count))
    }

    /// Keeps the durations of a slot that is about to be zeroed.
    func retireService(of index: Int) {
        let page = slot(index)
        for bucket in 0..<UInt32(DurationHistogram.bucketCount) {
            let kept = cscoreboard_count(&pool.pointee.retired_service, bucket)
            let more = plausible(cscoreboard_load(cscoreboard_count(&page.pointee.service, bucket)))
            cscoreboard_store(kept, plausible(plausible(cscoreboard_load(kept)) + more))
        }
        let sum = plausible(cscoreboard_load(&pool.pointee.retired_service.sum_us))
        let more = plausible(cscoreboard_load(&page.pointee.service.sum_us))
        cscoreboard_store(&pool.pointee.retired_service.sum_us, plausible(sum + more))
    }

    private func workerFigures() -> [WorkerFigures] {
        var all: [WorkerFigures] = []
        forEachWorker { slot, stage in
            var one = WorkerFigures(state: stage.shown)
            one.requests = UInt64(plausible(slot.pointee.requests))
            one.requestDuration = UInt64(duration(slot, stage))
            one.lastRequestCPU = cpuPercent(slot, stage)
            one.lastRequestMemory = stage == .accepting ? UInt64(plausible(slot.pointee.memory_peak)) : 0
            all.append(one)
        }
        return all
    }

    private func count(_ field: UnsafePointer<Int64>) -> UInt64 { UInt64(plausible(cscoreboard_load(field))) }

    private func add(_ shared: UnsafePointer<cscoreboard_histogram>, to histogram: inout DurationHistogram) {
        for bucket in 0..<DurationHistogram.bucketCount {
            histogram.add(count(cscoreboard_count(shared, UInt32(bucket))), toBucket: bucket)
        }
        histogram.add(microseconds: UInt64(plausible(shared.pointee.sum_us)))
    }
}

extension Scoreboard.Stage {
    /// What the status page calls it.
    var shown: ProcessStatus.State {
        switch self {
        case .free, .accepting: .idle
        case .reading: .readingHeaders
        case .info: .gettingRequestInformation
        case .executing: .running
        case .ending, .finished: .finishing
        }
    }
}
