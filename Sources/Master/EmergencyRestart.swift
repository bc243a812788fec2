internal import Configuration
internal import Syscalls

/// Counts workers that crashed, for `emergency_restart_threshold` and `emergency_restart_interval`.
///
/// Time is a parameter.
struct EmergencyRestart {
    /// Crashes that count; at least 1.
    let threshold: Int
    /// Time within which they must happen.
    let interval: Duration
    /// The latest ones, at most `threshold`.
    private var crashes: [MonotonicTime] = []

    /// Nil when the configuration does not ask for it.
    init?(_ global: GlobalSettings) {
        guard global.emergencyRestartThreshold > 0, global.emergencyRestartInterval > .zero else {
            return nil
        }
        threshold = global.emergencyRestartThreshold
        interval = global.emergencyRestartInterval
    }

    /// A worker ended by SIGSEGV or SIGBUS.
    ///
    /// - Returns: Whether there have been so many that the service is to start over; they are forgotten then.
    mutating func workerCrashed(at now: MonotonicTime) -> Bool {
        crashes = crashes.filter { now - $0 < interval } + [now]
        guard crashes.count >= threshold else { return false }
        crashes = []
        return true
    }
}
