/// How many of a pool's workers wait at its listener: all of them, or no more than there are processors.
///
/// When a connection comes, the kernel wakes a worker that sleeps. On a processor that is never idle this helps
/// nobody: the one that is woken interrupts the one that has a request. If that is short, its client waits for a slice of
/// the scheduler (milliseconds) and not for a request (microseconds); if it is longer, it finds the processor's caches full
/// of the others' data after each slice. With no more workers at the listener than processors, each serves one request to
/// its end, and then the next.
///
///     wide ── requests compute, and serving them is what the processors do ──► narrow
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

    /// What a pool's workers have done until some moment.
    public struct Work: Sendable {
        /// Nanoseconds of processor time.
        public var processorTime: UInt64
        /// The sum over all requests of the squares of their microseconds of processor time.
        public var squares: Double

        /// What has been done.
        public init(processorTime: UInt64, squares: Double) {
            self.processorTime = processorTime
            self.squares = squares
        }
    }

    /// What happened between two looks.
    private struct Load {
        /// Of the processors.
        var share: Double
        /// Nanoseconds of processor time.
        var perRequest: Double
        /// How much requests differ: the variance of their processor time, of its average's square.
        var variation: Double
        /// The window is not over yet.
        var isEarly: Bool
    }

    /// Nanoseconds between two looks that are compared.
    static let window: UInt64 = 50_000_000
    /// The same if so many requests have been begun meanwhile, and are short: until it is narrow, each of them waits for
    /// slices of the scheduler.
    static let shortWindow: UInt64 = 8_000_000
    static let manyRequests: Int64 = 50
    /// Looks further apart say nothing of a steady load.
    static let longestWindow: UInt64 = 500_000_000
    /// Nanoseconds of processor time of a short request, on average.
    public static let shortRequest: UInt64 = 400_000
    /// The same of the longest requests that are to be served one after the other.
    public static let computingRequest: UInt64 = 10_000_000
    /// Requests that are not short are served one after the other only if they are alike: before, and while they are.
    ///
    /// A queue in the order of arrival makes them wait for less than equal shares do as long as they differ by less
    /// than 1; beyond that short ones wait for long ones.
    static let mostVariation = (before: 0.5, after: 1.0)
    /// Nanoseconds after which a request of a narrow pool is looked at, for its worker may wait; at least twice the
    /// average's.
    static let suspicious: UInt64 = 3_000_000
    /// Nanoseconds after which it takes long in any case; at least six times the average's.
    static let longRequest: UInt64 = 20_000_000
    /// A pool whose workers need less of the processors has them to spare.
    static let leastLoad = 0.2
    /// A narrow pool that uses less of the wide one's processor time may have workers that wait: they are looked at.
    static let leastShare = 0.85
    /// How often they are looked at, and how many of these looks may find a worker that waits.
    static let samples = 25
    static let mostWaiting = 4
    /// The same where requests are not short: they are looked at all the time, and so many times in a row.
    static let longSamples = 64
    /// Of so many workers at most a look asks whether they wait.
    public static let mostAsked = 8
    /// Nanoseconds until the next attempt after the first mistake, and at most.
    static let firstRest: UInt64 = 100_000_000
    static let longestRest: UInt64 = 32_000_000_000
    /// Nanoseconds after which an attempt counts as right.
    static let proven: UInt64 = 5_000_000_000
    /// Nanoseconds after a window whose load was not fit for a narrow pool: what waits counts at once until then, and the
    /// outcome of the next window is not waited for.
    static let unfitTime: UInt64 = 5_000_000_000
    /// Nanoseconds between two looks at a narrow pool: of short requests, and of longer ones; less, but not less than a
    /// request takes, while it has been narrow for less than ``young``.
    static let pauses: (short: UInt64, long: UInt64) = (2_000_000, 16_000_000)
    static let young: UInt64 = 100_000_000

    /// Whether no more workers listen than there are processors.
    public private(set) var isNarrow = false
    /// The window's begin, and what had been done until then.
    private var begin: (pace: Pace, work: Work)?
    private var last: Pace?
    private var wideLoad = 0.0
    private var narrowedAt: UInt64 = 0
    private var notBefore: UInt64 = 0
    private var rest = firstRest
    /// Looks that are left to see whether workers wait, and how many were seen.
    private var samplesLeft = 0
    private var waiting = 0
    /// Nanoseconds of processor time of a request.
    private var average: UInt64 = 0
    private var unfitUntil: UInt64 = 0

    /// A pool all of whose workers listen.
    public init() {}

    /// Looks at a pool on whose listener connections wait.
    ///
    /// - Parameters:
    ///   - pace: What its workers have begun; at most some milliseconds after the look before, if the pool is narrow.
    ///   - oldest: Nanoseconds for which the oldest request of a worker that listens has been running; 0: none has.
    ///   - waiting: How many workers that listen and have a request wait for anything but a processor, of
    ///     ``mostAsked`` at most; asked at each look where requests are not short, else seldom.
    ///   - work: What its workers have done; asked once in a window, more often of a wide pool with many requests.
    ///   - workers: Those that take connections.
    ///   - processors: Those that the pool may use.
    ///   - longest: Nanoseconds of processor time of a request, on average, up to which they are served one after the other.
    /// - Returns: What is to be done; ``isNarrow`` is up to date already.
    public mutating func observe(
        _ pace: Pace,
        oldest: UInt64,
        waiting: () -> Int,
        work: () -> Work,
        workers: Int,
        processors: Int,
        longest: UInt64
    ) -> Decision {
        guard workers > processors else {
            defer { reset() }
            return isNarrow ? .widen : .stay
        }
        guard isNarrow else { return observeWide(pace, work, processors, longest) }
        return isMistaken(pace, oldest, waiting, work, processors, longest) ? mistaken(pace) : .stay
    }

    /// Whether it is narrow, and its requests are not short.
    public var isOfLongRequests: Bool { isNarrow && average > Self.shortRequest }

    /// Whether a wide pool may be about to become narrow: what waits is no sign that all workers are needed.
    public func isUndecided(at time: UInt64) -> Bool {
        guard !isNarrow, begin != nil else { return false }
        return time >= notBefore && time >= unfitUntil
    }

    /// Nanoseconds until the next look at a narrow pool: the longer it has been right, the less would a mistake cost.
    public func pause(at time: UInt64) -> UInt64 {
        if average <= Self.shortRequest { return Self.pauses.short }
        let isYoung = time < narrowedAt + Self.young
        return isYoung ? min(max(Self.pauses.short, average), Self.pauses.long) : Self.pauses.long
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
        _ work: () -> Work,
        _ processors: Int,
        _ longest: UInt64
    ) -> Decision {
        guard let load = load(until: pace, work, processors) else { return .stay }
        let isShort = load.perRequest <= Double(Self.shortRequest)
        guard load.share >= Self.leastLoad, load.perRequest <= Double(longest),
            isShort || (load.variation <= Self.mostVariation.before && !load.isEarly)
        else {
            if !load.isEarly { unfitUntil = pace.time + Self.unfitTime }
            return .stay
        }
        guard pace.time >= notBefore else { return .stay }
        isNarrow = true
        if load.isEarly { begin = nil }
        average = UInt64(load.perRequest)
        narrowedAt = pace.time
        wideLoad = load.share
        last = pace
        return .narrow
    }

    private mutating func isMistaken(
        _ pace: Pace,
        _ oldest: UInt64,
        _ nowWaiting: () -> Int,
        _ work: () -> Work,
        _ processors: Int,
        _ longest: UInt64
    ) -> Bool {
        let long = max(Self.longRequest, 6 * average)
        let isShort = average <= Self.shortRequest
        // Longer ones that began before had shared the processor until then.
        let oldest = isShort ? oldest : min(oldest, pace.time - min(narrowedAt, pace.time))
        if oldest >= long { return true }
        let asked = isShort ? nil : nowWaiting()
        if oldest >= max(Self.suspicious, 2 * average), (asked ?? nowWaiting()) > 0 { return true }
        if let last, last.begun == pace.begun {
            if pace.time >= last.time + long { return true }
        } else {
            last = pace
        }
        if let asked {
            if samplesLeft == 0 { (samplesLeft, waiting) = (Self.longSamples, 0) }
            let most = Self.mostWaiting * max(1, min(processors, Self.mostAsked))
            if hasSeen(asked, most: most) { return true }
        } else if samplesLeft > 0 {
            return hasSeen(min(1, nowWaiting()), most: Self.mostWaiting)
        }
        guard let load = load(until: pace, work, processors) else { return false }
        if load.perRequest > 2 * Double(longest) { return true }
        average = UInt64(load.perRequest)
        if average > Self.shortRequest { return load.variation > Self.mostVariation.after }
        if load.share < Self.leastShare * wideLoad {
            wideLoad = load.share
            samplesLeft = Self.samples
            waiting = 0
        }
        return false
    }

    /// Counts one of the looks for workers that wait; whether these looks have seen more than `most`.
    private mutating func hasSeen(_ count: Int, most: Int) -> Bool {
        samplesLeft -= 1
        waiting += count
        return waiting > most
    }

    /// What has been done since the window's begin.
    ///
    /// Nil until the window is over; of a wide pool that has begun many requests an early result may come before.
    private mutating func load(until pace: Pace, _ work: () -> Work, _ processors: Int) -> Load? {
        guard let first = begin, pace.time >= first.pace.time,
            pace.time - first.pace.time <= Self.longestWindow
        else {
            begin = (pace, work())
            return nil
        }
        let elapsed = pace.time - first.pace.time
        let (requests, isNonsense) = pace.begun.subtractingReportingOverflow(first.pace.begun)
        let isEarly = elapsed < Self.window
        guard !isEarly || (!isNarrow && elapsed >= Self.shortWindow && requests >= Self.manyRequests) else {
            return nil
        }
        let now = work()
        if !isEarly { begin = (pace, now) }
        // A worker that has gone takes its own along.
        guard now.processorTime >= first.work.processorTime, now.squares >= first.work.squares else {
            return nil
        }
        let used = Double(now.processorTime - first.work.processorTime)
        let share = used / Double(elapsed) / Double(max(1, processors))
        guard !isNonsense, requests > 0, used > 0 else {
            return Load(share: share, perRequest: .infinity, variation: .infinity, isEarly: isEarly)
        }
        let perRequest = used / Double(requests)
        let square = (now.squares - first.work.squares) * 1e6 / Double(requests)
        let variation = square / (perRequest * perRequest) - 1
        return Load(share: share, perRequest: perRequest, variation: variation, isEarly: isEarly)
    }

    private mutating func mistaken(_ pace: Pace) -> Decision {
        if pace.time - min(narrowedAt, pace.time) >= Self.proven { rest = Self.firstRest }
        notBefore = pace.time + rest
        rest = min(rest * 2, Self.longestRest)
        reset()
        return .widen
    }
}
