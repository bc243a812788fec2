internal import Syscalls

/// Something that may happen thousands of times a second: it is said when it begins, then once an interval with its
/// count.
struct RepeatedEvent {
    private let interval: Duration
    private var next = MonotonicTime(nanoseconds: 0)
    private var count = 0

    /// To be said once in `interval`.
    init(saidEvery interval: Duration) { self.interval = interval }

    /// Counts one.
    ///
    /// - Returns: How often it has happened since it was last said, if it is to be said now.
    mutating func happened(at now: MonotonicTime) -> Int? {
        count += 1
        guard now >= next else { return nil }
        next = now + interval
        defer { count = 0 }
        return count
    }
}
