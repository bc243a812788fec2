/// When a worker that has been busy for a while offers its processor to others, between two requests.
///
/// A worker that always finds another request never sleeps, so the kernel takes the processor away when the time
/// slice is over: in the middle of a request, as a rule, whose client then waits for the slices of all others. A
/// worker that gives way before that, between two requests, keeps nobody waiting: any other worker takes what comes.
///
/// A worker that nobody disturbs loses by it. So it only looks, now and then, whether the processor was taken away
/// from it, and gives way for a while when that has happened.
public struct TurnTaking {
    /// Shorter than the kernel's slice (0.7 ms on one processor, up to 2.8 ms on many) and its tick.
    static let interval: UInt64 = 500_000
    /// Giving way this often in a row, before looking again whether somebody wants the processor.
    static let most = 100

    private var next: UInt64 = 0
    private var interruptions = 0
    private var turnsLeft = 0

    /// A worker that has just started.
    public init() {}

    /// Whether it is time to call ``givesWay(at:interruptions:)``.
    ///
    /// - Parameter now: Monotonic nanoseconds.
    public func isDue(at now: UInt64) -> Bool { now >= next }

    /// Whether to give way now.
    ///
    /// - Parameters:
    ///   - now: Monotonic nanoseconds.
    ///   - interruptions: How often the kernel has taken the processor away (involuntary context switches).
    public mutating func givesWay(at now: UInt64, interruptions: Int) -> Bool {
        next = now &+ Self.interval
        if interruptions != self.interruptions {
            self.interruptions = interruptions
            turnsLeft = Self.most
        }
        guard turnsLeft > 0 else { return false }
        turnsLeft -= 1
        return true
    }
}
