/// How many of a pool's workers wait at its listener: all of them, or no more than there are processors.
///
/// When a connection comes, the kernel wakes a worker that sleeps. On a processor that is never idle this helps
/// nobody if requests are short: the one that is woken interrupts the one that has a request, whose client waits for
/// a slice of the scheduler (milliseconds) and not for a request (microseconds). With no more workers at the listener
/// than processors, each serves one request to its end, and then the next.
///
///     wide ── requests are short, and serving them is what the processors do ──► narrow
///       ▲                                                                          │
///       └── a worker that listens waits in a request (for a database), a request ◄─┘
///           takes long, none is begun, or there is nothing to do
///
/// A mistake costs what the master needs to see it, some milliseconds; after each it waits twice as long. That other
/// programs take the processors is none: more workers would get no more of them.
///
/// Pure.
public struct ListeningWidth: Sendable {
    /// What is to be done.
    public enum Decision: Equatable, Sendable { case stay, narrow, widen }

    /// Nanoseconds between two looks that are compared.
    static let window: UInt64 = 50_000_000
    /// Looks further apart say nothing of a steady load.
    static let longestWindow: UInt64 = 500_000_000
    /// Nanoseconds of processor time of a short request, on average.
    static let shortRequest: UInt64 = 400_000
    /// Nanoseconds after which a request of a narrow pool is looked at, for its worker may wait.
    static let suspicious: UInt64 = 3_000_000
    /// Nanoseconds after which it takes long in any case.
    static let longRequest: UInt64 = 20_000_000
    /// A pool whose workers need less of the processors has them to spare.
    static let leastLoad = 0.2
    /// A narrow pool that uses less of the wide one's processor time may have workers that wait: they are looked at.
    static let leastShare = 0.85
    /// How often they are looked at, and how many of these looks may find a worker that waits.
    static let samples = 25
    static let mostWaiting = 4
    /// Nanoseconds after which a narrow pool that has begun no request is widened.
    static let standing: UInt64 = 20_000_000
    /// Nanoseconds until the next attempt after the first mistake, and at most.
    static let firstRest: UInt64 = 100_000_000
    static let longestRest: UInt64 = 32_000_000_000
    /// Nanoseconds after which an attempt counts as right.
    static let proven: UInt64 = 5_000_000_000

    /// Whether no more workers listen than there are processors.
    public private(set) var isNarrow = false
    /// The window's begin, and the nanoseconds of processor time used until then.
    private var begin: (pace: Pace, processorTime: UInt64)?
    private var last: Pace?
    private var wideLoad = 0.0
    private var narrowedAt: UInt64 = 0
    private var notBefore: UInt64 = 0
    private var rest = firstRest
    /// Looks that are left to see whether workers wait, and those that have seen it.
    private var samplesLeft = 0
    private var waiting = 0

    /// A pool all of whose workers listen.
    public init() {}

    /// Looks at a pool on whose listener connections wait.
    ///
    /// - Parameters:
    ///   - pace: What its workers have begun; at most some milliseconds after the look before, if the pool is narrow.
    ///   - oldest: Nanoseconds for which the oldest request of a worker that listens has been running; 0: none has.
    ///   - waits: Whether a worker that listens and has a request waits for anything but a processor; asked seldom.
    ///   - processorTime: Nanoseconds of processor time that its workers have used; asked once in a window.
    ///   - workers: Those that take connections.
    ///   - processors: Those that the pool may use.
    /// - Returns: What is to be done; ``isNarrow`` is up to date already.
    public mutating func observe(
        _ pace: Pace,
        oldest: UInt64,
        waits: () -> Bool,
        processorTime: () -> UInt64,
        workers: Int,
        processors: Int
    ) -> Decision {
        guard workers > processors else {
            defer { reset() }
            return isNarrow ? .widen : .stay
        }
        guard isNarrow else { return observeWide(pace, processorTime, processors) }
        return isMistaken(pace, oldest, waits, processorTime, processors) ? mistaken(pace) : .stay
    }

    /// Nothing waits: a narrow pool that has less to do proves nothing.
    public mutating func nothingWaits() {
        if isNarrow { begin = nil }
        last = nil
    }

    /// Widens a narrow pool for a reason that this does not know.
    public mutating func reset() {
        isNarrow = false
        begin = nil
        last = nil
        samplesLeft = 0
    }

    private mutating func observeWide(
        _ pace: Pace,
        _ processorTime: () -> UInt64,
        _ processors: Int
    ) -> Decision {
        guard let load = load(until: pace, processorTime, processors),
            load.share >= Self.leastLoad, load.perRequest <= Double(Self.shortRequest),
            pace.time >= notBefore
        else { return .stay }
        isNarrow = true
        narrowedAt = pace.time
        wideLoad = load.share
        last = pace
        return .narrow
    }

    private mutating func isMistaken(
        _ pace: Pace,
        _ oldest: UInt64,
        _ waits: () -> Bool,
        _ processorTime: () -> UInt64,
        _ processors: Int
    ) -> Bool {
        if oldest >= Self.longRequest || (oldest >= Self.suspicious && waits()) { return true }
        if let last, last.begun == pace.begun {
            if pace.time >= last.time + Self.standing { return true }
        } else {
            last = pace
        }
        if samplesLeft > 0 {
            samplesLeft -= 1
            if waits() { waiting += 1 }
            return waiting > Self.mostWaiting
        }
        guard let load = load(until: pace, processorTime, processors) else { return false }
        if load.perRequest > 2 * Double(Self.shortRequest) { return true }
        if load.share < Self.leastShare * wideLoad {
            wideLoad = load.share
            samplesLeft = Self.samples
            waiting = 0
        }
        return false
    }

    /// What has been done since the window's begin: the processors' share, and nanoseconds for each request.
    ///
    /// Nil until the window is over.
    private mutating func load(
        until pace: Pace,
        _ processorTime: () -> UInt64,
        _ processors: Int
    ) -> (share: Double, perRequest: Double)? {
        guard let first = begin, pace.time >= first.pace.time,
            pace.time - first.pace.time <= Self.longestWindow
        else {
            begin = (pace, processorTime())
            return nil
        }
        let elapsed = pace.time - first.pace.time
        guard elapsed >= Self.window else { return nil }
        let now = processorTime()
        begin = (pace, now)
        // A worker that has gone takes its time along.
        guard now >= first.processorTime else { return nil }
        let used = Double(now - first.processorTime)
        let requests = pace.begun.subtractingReportingOverflow(first.pace.begun)
        let perRequest =
            requests.overflow || requests.partialValue <= 0 ? .infinity : used / Double(requests.partialValue)
        return (used / Double(elapsed) / Double(max(1, processors)), perRequest)
    }

    private mutating func mistaken(_ pace: Pace) -> Decision {
        if pace.time - min(narrowedAt, pace.time) >= Self.proven { rest = Self.firstRest }
        notBefore = pace.time + rest
        rest = min(rest * 2, Self.longestRest)
        reset()
        return .widen
    }
}
