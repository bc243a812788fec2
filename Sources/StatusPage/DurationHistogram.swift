/// How many durations there were of each size.
///
/// Bucket `i` counts those of at most 2^(7 + i) microseconds that no bucket before counts, the last one the rest; as in
/// `cscoreboard.h`.
public struct DurationHistogram: Equatable, Sendable {
    /// Number of buckets, the last one without a bound.
    public static let bucketCount = 22
    private static let firstLog2 = 7

    /// The count of each bucket by itself.
    public private(set) var counts = [UInt64](repeating: 0, count: bucketCount)
    /// The sum of all durations in microseconds.
    public private(set) var sumMicroseconds: UInt64 = 0

    /// An empty histogram.
    public init() {}

    /// Adds to a bucket, 0 ..< ``bucketCount``, and to the sum; both stay at the maximum.
    public mutating func add(_ count: UInt64, toBucket bucket: Int) {
        counts[bucket] = counts[bucket].addingSaturated(count)
    }

    /// Adds microseconds to the sum.
    public mutating func add(microseconds: UInt64) {
        sumMicroseconds = sumMicroseconds.addingSaturated(microseconds)
    }

    /// Adds all of another histogram.
    public mutating func add(_ other: DurationHistogram) {
        for bucket in counts.indices { add(other.counts[bucket], toBucket: bucket) }
        add(microseconds: other.sumMicroseconds)
    }

    /// How many durations there were.
    public var count: UInt64 { counts.reduce(0) { $0.addingSaturated($1) } }

    /// The largest duration that a bucket counts, in microseconds; nil for the last one.
    public static func bound(ofBucket bucket: Int) -> UInt64? {
        bucket < bucketCount - 1 ? 1 << UInt64(firstLog2 + bucket) : nil
    }
}

extension UInt64 {
    /// The sum, or the maximum where it does not fit.
    func addingSaturated(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
