/// How many requests a worker serves: at most `pm.max_requests`, and up to a tenth fewer, so that workers that were started
/// together do not leave together.
///
/// Some requests before the last the worker announces that it will leave, so that another one is ready by then. Where
/// `pm.max_requests` is less than `least` it is kept exactly, and nothing is announced.
public struct WorkerLifetime: Equatable, Sendable {
    /// What follows from a request that was served.
    public enum Step: Equatable, Sendable {
        /// There is a next request.
        case goOn
        /// Say that the end is near.
        case announce
        /// That was the last one.
        case leave
    }

    private let announceAt: Int
    private var left: Int?

    /// A life that has just begun.
    ///
    /// - Parameters:
    ///   - maxRequests: `pm.max_requests`; 0 is unlimited.
    ///   - least: From which number on requests are spared and the end announced.
    ///   - seed: A number that differs from worker to worker.
    public init(maxRequests: Int, least: Int, seed: UInt64) {
        guard maxRequests > 0 else {
            (announceAt, left) = (0, nil)
            return
        }
        guard maxRequests >= least else {
            (announceAt, left) = (0, maxRequests)
            return
        }
        let spread = UInt64(maxRequests / 10)
        // Consecutive process numbers are to differ in all bits.
        let mixed = (seed &* 0x9e37_79b9_7f4a_7c15) >> 32
        let limit = maxRequests - Int(mixed % (spread + 1))
        (announceAt, left) = (max(1, min(32, limit / 10)), limit)
    }

    /// Whether there is no next request.
    public var isOver: Bool { left == 0 }

    /// A request has been served.
    public mutating func requestServed() -> Step {
        guard let before = left else { return .goOn }
        left = max(0, before - 1)
        if before <= 1 { return .leave }
        return before - 1 == announceAt ? .announce : .goOn
    }
}
