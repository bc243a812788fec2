/// Everything that is known of a pool in figures: what php-fpm's status page shows, and what it does not.
///
/// Status pages, metrics and control answers take their figures from here, so that they agree.
public struct PoolFigures: Equatable, Sendable {
    /// What php-fpm's status page shows; begins anew with a reload.
    public var status: PoolStatus
    /// The pool's address as php-fpm_exporter spells it: `tcp://127.0.0.1:9000/status`, `unix:///run/x.sock;/status`.
    public var scrapeURI: [UInt8] = []
    /// `pm.max_children`.
    public var maxChildren: UInt64
    /// Requests that wait for a worker.
    public var queue = QueueState()
    /// What adds up.
    public var totals = PoolTotals()
    /// Responses that are being sent to slow readers without a worker.
    public var drainingResponses: UInt64 = 0
    /// What is left of them.
    public var drainingBytes: UInt64 = 0
    /// One for each worker, in slot order.
    public var workers: [WorkerFigures] = []
    /// Whether it has ever had a worker; a pool that has not has no histograms worth showing.
    public var hasServed = true

    /// Figures of a pool that has nothing but a status yet.
    public init(status: PoolStatus, maxChildren: UInt64) {
        self.status = status
        self.maxChildren = maxChildren
    }

    /// How much of the pool is in use, 0 … 1: busy workers of `pm.max_children`, and 1 while requests wait and there
    /// can be no more workers.
    public var saturation: Double {
        if queue.isSaturated { return 1 }
        return maxChildren == 0 ? 0 : min(1, Double(status.activeProcesses) / Double(maxChildren))
    }
}

/// Requests that wait for a worker.
public struct QueueState: Equatable, Sendable {
    /// How many there are now.
    public var depth: UInt64 = 0
    /// How long the oldest of them has waited, in microseconds.
    public var oldestWaitMicroseconds: UInt64 = 0
    /// All workers are busy, there can be no more of them, and requests wait.
    public var isSaturated = false

    /// An empty queue.
    public init() {}
}

/// What adds up over the generations of a pool.
public struct PoolTotals: Equatable, Sendable {
    /// How long requests took, from the first byte to the end of the script.
    public var service = DurationHistogram()
    /// How long requests waited that waited in the queue.
    public var wait = DurationHistogram()
    /// Ends of workers.
    public var exits = WorkerExits()
    /// Requests that went through the queue to a worker.
    public var passed: UInt64 = 0
    /// Requests refused because of `pm.max_queue`.
    public var rejected: UInt64 = 0
    /// Requests refused because of `pm.queue_timeout`.
    public var expired: UInt64 = 0
    /// Requests dropped because their client had gone.
    public var abandoned: UInt64 = 0
    /// How often the pool was saturated.
    public var saturations: UInt64 = 0
    /// Responses sent to slow readers without a worker.
    public var drained: UInt64 = 0

    /// Nothing yet.
    public init() {}

    /// Nothing, shared by all pools that have served nothing.
    public static let none = PoolTotals()

    /// Adds another generation's.
    public mutating func add(_ other: PoolTotals) {
        service.add(other.service)
        wait.add(other.wait)
        exits.add(other.exits)
        passed = passed.addingSaturated(other.passed)
        rejected = rejected.addingSaturated(other.rejected)
        expired = expired.addingSaturated(other.expired)
        abandoned = abandoned.addingSaturated(other.abandoned)
        saturations = saturations.addingSaturated(other.saturations)
        drained = drained.addingSaturated(other.drained)
    }
}

/// The figures of one worker that metrics show.
public struct WorkerFigures: Equatable, Sendable {
    /// What it does.
    public var state: ProcessStatus.State
    /// Requests begun.
    public var requests: UInt64 = 0
    /// Microseconds: of the request it serves, or the last.
    public var requestDuration: UInt64 = 0
    /// Bytes at the peak of the last request.
    public var lastRequestMemory: UInt64 = 0
    /// Per cent of one processor during the last request.
    public var lastRequestCPU: Double = 0

    /// A worker that has served nothing.
    public init(state: ProcessStatus.State) { self.state = state }
}
