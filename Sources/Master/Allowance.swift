internal import Syscalls

/// How often something may be done: `most` times at once, and then once in a `period`.
struct Allowance {
    private let most: Int
    private let period: Duration
    private var left: Int
    private var refilled = MonotonicTime(nanoseconds: 0)

    init(most: Int, period: Duration) {
        self.most = most
        self.period = period
        left = most
    }

    /// Uses it once; false when it is used up.
    mutating func take(at now: MonotonicTime) -> Bool {
        if left == most { refilled = now }
        let earned = (now - refilled) / period
        if earned >= 1 {
            left = min(most, left + Int(min(earned, Double(most))))
            refilled = now
        }
        guard left > 0 else { return false }
        left -= 1
        return true
    }
}
