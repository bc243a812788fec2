internal import CEpoll

/// A moment on the monotonic clock, in nanoseconds since an arbitrary start.
public struct MonotonicTime: Comparable, Hashable {
    /// Nanoseconds since the clock's start.
    public var nanoseconds: UInt64

    /// A moment from its nanoseconds.
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// `clock_gettime(CLOCK_MONOTONIC)`.
    public static var now: MonotonicTime { MonotonicTime(nanoseconds: cepoll_monotonic_ns()) }

    /// Whether `left` is the earlier moment.
    public static func < (left: MonotonicTime, right: MonotonicTime) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// The moment `duration` later; a negative duration counts as zero, and the clock's end is not passed.
    public static func + (time: MonotonicTime, duration: Duration) -> MonotonicTime {
        let (sum, overflow) = time.nanoseconds.addingReportingOverflow(duration.nanoseconds)
        return MonotonicTime(nanoseconds: overflow ? .max : sum)
    }

    /// The time from `earlier` to `later`, zero if they are the other way round.
    public static func - (later: MonotonicTime, earlier: MonotonicTime) -> Duration {
        .nanoseconds(Int64(clamping: later.nanoseconds(since: earlier)))
    }

    /// The nanoseconds from `earlier` to this moment, zero if they are the other way round.
    ///
    /// For what happens with each request: a `Duration` counts attoseconds in 128 bits, and to get anything out of
    /// one takes divisions.
    @inlinable
    public func nanoseconds(since earlier: MonotonicTime) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0
    }
}

extension Duration {
    /// The length in nanoseconds, zero for negative ones; at most `Int64.max`, which is 292 years.
    public var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
        return UInt64(overflow || carry ? .max : sum)
    }
}

/// Seconds since the epoch, by the wall clock.
public func wallClockSeconds() -> Int64 { cepoll_realtime_s() }

/// `strftime(3)` of a wall-clock second in local time; empty when it does not fit in 256 bytes.
public func formatLocalTime(_ format: String, _ seconds: Int64) -> String {
    withLocalTime(format, seconds) { String(decoding: $0, as: UTF8.self) }
}

/// The same for a format of any bytes, with a zero at its end.
public func formatLocalTime(_ format: [CChar], _ seconds: Int64) -> [UInt8] {
    withLocalTime(format, seconds) { Array($0) }
}

private func withLocalTime<Result>(
    _ format: UnsafePointer<CChar>,
    _ seconds: Int64,
    _ body: (UnsafeRawBufferPointer) -> Result
) -> Result {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        let length = buffer.baseAddress.map { cepoll_format_time(format, seconds, $0, buffer.count) } ?? 0
        return body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<length]))
    }
}
