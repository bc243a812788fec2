/// Whether a worker waits for the first bytes of a connection that it has just accepted.
///
/// Waiting on the one descriptor spares two system calls and, while there is other work, a way through the master. But
/// clients that connect and stay silent must not cost a worker more than a moment: each one in a row makes it wait
/// for fewer of those that follow.
///
/// Pure.
struct FirstBytes {
    /// The longest wait; a web server sends within microseconds.
    static let patienceMilliseconds: CInt = 1
    private static let longestPause = 256

    private var pause = 0
    private var left = 0

    /// Whether to wait for the connection at hand.
    mutating func areWorthWaiting() -> Bool {
        if left == 0 { return true }
        left -= 1
        return false
    }

    /// What came of it.
    mutating func waited(haveCome: Bool) {
        pause = haveCome ? 0 : min(max(8, pause * 2), Self.longestPause)
        left = pause
    }
}
