/// Whether to try something that usually pays, and costs when it fails.
///
/// After each failure in a row it is left out for longer: 8 times, doubling to 256. One success, and it is tried each
/// time again.
///
/// Pure.
public struct AdaptiveAttempt: Equatable, Sendable {
    private static let shortestPause = 8
    private static let longestPause = 256

    private var pause = 0
    private var left = 0

    /// Starts out confident.
    public init() {}

    /// Counts an opportunity.
    ///
    /// - Returns: Whether to try it; then ``ended(successfully:)`` is to be told what came of it.
    public mutating func isWorthwhile() -> Bool {
        if left == 0 { return true }
        left -= 1
        return false
    }

    /// What came of the last attempt.
    public mutating func ended(successfully: Bool) {
        pause = successfully ? 0 : min(max(Self.shortestPause, pause * 2), Self.longestPause)
        left = pause
    }
}
