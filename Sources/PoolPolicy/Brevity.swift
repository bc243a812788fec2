/// Whether a worker's requests are short.
///
/// A worker that holds several connections makes all of them wait for the request it serves; so it does that only while its
/// requests take next to no time, on average: some take longer as others had the processor. After a long one many short ones
/// must come before it is tried again; and when one has held others up, twice as many after each such mistake.
///
/// Pure.
public struct Brevity: Equatable, Sendable {
    /// Microseconds that short requests take at most, on average.
    static let most: Int64 = 1000
    /// Microseconds that a request counts at most.
    static let longest: Int64 = 64_000
    /// The average's weight: of about so many requests.
    static let window: Int64 = 32
    /// Microseconds that nobody waits for a processor: the request is long.
    public static let long: Int64 = 15_000
    /// Short requests that must come after a long one and after the first mistake, and at most.
    static let firstPause = 1024
    static let longestPause = 65_536

    /// Microseconds that a request takes at least, on average, if it is worth a precaution.
    static let notable: Int64 = 500
    /// The weight of that average: the present matters more.
    static let recentWindow: Int64 = 4

    /// In 256ths of a microsecond, so that small figures are not lost in rounding.
    private var average: Int64 = 4 * most << 8
    private var recent: Int64 = 0
    private var pause = 0
    /// Short requests that must still come; below 0: those that have come since.
    private var left = firstPause

    /// Nothing is known.
    public init() {}

    /// Whether the latest requests were short.
    public var isProven: Bool { average <= Self.most << 8 && left <= 0 }

    /// Whether the next request may be a long one, as one of the latest was.
    public var mayBeLong: Bool { recent >= Self.notable << 8 }

    /// A request has been served.
    public mutating func served(microseconds: Int64) {
        let counted = max(0, min(microseconds, Self.longest)) << 8
        average += (counted - average) / Self.window
        recent += (counted - recent) / Self.recentWindow
        if microseconds >= Self.long { left = max(left, Self.firstPause) }
        guard microseconds <= Self.most, left > -4 * pause else { return }
        left -= 1
        // It has gone well for long: what was before says nothing any more.
        if pause > 0, left == -4 * pause { (pause, left) = (0, 0) }
    }

    /// A request took so long that others' connections were taken away.
    public mutating func heldOthersUp() {
        pause = min(max(Self.firstPause, 2 * pause), Self.longestPause)
        left = pause
    }
}
