internal import Syscalls

/// The value of `FPM_QUEUE_TIME`.
enum QueueTime {
    /// Seconds with six decimals.
    static func text(_ duration: Duration) -> [UInt8] {
        let micros = duration.nanoseconds / 1000
        let fraction = String(micros % 1_000_000)
        return Array("\(micros / 1_000_000).".utf8)
            + [UInt8](repeating: UInt8(ascii: "0"), count: 6 - fraction.utf8.count) + Array(fraction.utf8)
    }
}
