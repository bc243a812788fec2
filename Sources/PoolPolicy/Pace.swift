/// How many requests a pool's workers had begun at some moment: two of these tell whether requests that wait are
/// soon taken, or stand.
public struct Pace: Equatable, Sendable {
    /// Requests begun since the pool's start.
    public var begun: Int64
    /// Monotonic nanoseconds.
    public var time: UInt64

    /// A look at a pool.
    public init(begun: Int64, time: UInt64) {
        self.begun = begun
        self.time = time
    }

    /// What happened between two looks.
    public enum Verdict: Equatable, Sendable {
        /// They are too close to each other to tell.
        case tooEarly
        /// A connection that goes through the master costs it some 15 µs: here that is not seen, for few requests are
        /// begun (2 a millisecond), and each takes its worker long (5 ms).
        case standing
        /// Neither standing nor moving: what was decided before holds.
        case unclear
        /// Twice as many, or half as long.
        case moving
    }

    /// Nanoseconds below which nothing is said.
    public static let shortest: UInt64 = 5_000_000

    /// What `workers` workers did between `earlier` and this look; for some time only if they began nothing.
    public func verdict(since earlier: Pace, workers: Int) -> Verdict {
        let elapsed = Double(time > earlier.time ? time - earlier.time : 0)
        guard elapsed >= Double(Self.shortest) else { return .tooEarly }
        let requests = Double(max(0, begun - earlier.begun))
        let perRequest = elapsed / max(requests, 1)
        let perWorker = perRequest * Double(max(1, workers))
        if requests < 1 || (perRequest >= 500_000 && perWorker >= 5_000_000) { return .standing }
        return perRequest < 250_000 || perWorker < 2_500_000 ? .moving : .unclear
    }
}
