/// When a worker that has been busy for a while offers its processor to others, between two requests.
///
/// A worker that always finds another request never sleeps, so the kernel takes the processor away when the time
/// slice is over: in the middle of a request, as a rule, whose client then waits for the slices of all others. A
/// worker that gives way before that, between two requests, keeps nobody waiting: any other worker takes what comes.
///
/// The kernel charges whoever yields with the rest of the slice. Among workers, which all do it, that evens out;
/// beside another program that does not, it would cost them their share. So a worker that finds that no other worker
/// ran in the meantime asks less and less often.
public struct TurnTaking {
    /// Shorter than the kernel's slice (0.7 ms on one processor, up to 2.8 ms on many) and its tick.
    private static let shortest: UInt64 = 500_000
    private static let longest: UInt64 = 64_000_000
    /// Yielding takes less than this when nobody wanted the processor.
    private static let alone: UInt64 = 100_000

    private var interval = shortest
    private var next: UInt64 = 0

    /// A worker that has just started.
    public init() {}

    /// Whether it is time to give way.
    ///
    /// - Parameter now: Monotonic nanoseconds.
    public func isDue(at now: UInt64) -> Bool { now >= next }

    /// The worker has given way and is back.
    ///
    /// - Parameters:
    ///   - begin: When it gave way, in monotonic nanoseconds.
    ///   - end: When it came back.
    ///   - othersDid: Another worker of the pool gave way meanwhile: it had run.
    public mutating func returned(since begin: UInt64, at end: UInt64, othersDid: Bool) {
        let wasAway = end > begin && end - begin > Self.alone
        if wasAway, !othersDid {
            interval = min(interval * 2, Self.longest)
        } else if wasAway {
            interval = Self.shortest
        }
        next = end &+ interval
    }
}
