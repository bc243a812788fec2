/// Patience with something that fails again and again: the first failures are retried at once, later ones
/// after a delay that doubles up to a limit.
///
/// Time is a parameter, in nanoseconds.
public struct Backoff: Equatable, Sendable {
    /// Failures retried at once.
    private static let free = 3
    private static let first: UInt64 = 100_000_000
    private static let longest: UInt64 = 10_000_000_000

    /// Failures without a success between them.
    public private(set) var failures = 0
    private var until: UInt64 = 0

    /// Nothing has failed.
    public init() {}

    /// Counts a failure.
    ///
    /// - Returns: Nanoseconds to wait before the next attempt; nil to try at once.
    public mutating func failed(at now: UInt64) -> UInt64? {
        failures += 1
        guard failures > Self.free else { return nil }
        let doublings = min(failures - Self.free - 1, 10)
        let delay = min(Self.longest, Self.first << UInt64(doublings))
        until = now + delay
        return delay
    }

    /// Keeps the next attempt back until `time`, without counting a failure.
    public mutating func hold(until time: UInt64) { until = max(until, time) }

    /// Forgets all failures.
    public mutating func succeeded() {
        failures = 0
        until = 0
    }

    /// When the next attempt may be made, if that is still to come.
    public func notBefore(_ now: UInt64) -> UInt64? { until > now ? until : nil }
}

/// A token bucket: so many at once, then so many a second.
///
/// Time is a parameter, in nanoseconds.
public struct RateLimit: Equatable, Sendable {
    private let allowance: UInt64
    private let interval: UInt64
    /// When the bucket will be full again.
    private var full: UInt64 = 0

    /// A full bucket of `burst` tokens that refills with `perSecond`; both at least 1.
    public init(burst: Int, perSecond: Int) {
        interval = 1_000_000_000 / UInt64(max(1, perSecond))
        allowance = UInt64(max(1, burst)) * interval
    }

    /// Takes one token.
    ///
    /// - Returns: nil when there was one; else nanoseconds until there is, and none was taken.
    public mutating func take(at now: UInt64) -> UInt64? {
        let next = max(full, now) + interval
        let debt = next - now
        if debt > allowance { return debt - allowance }
        full = next
        return nil
    }
}
