internal import CEpoll
internal import Syscalls

/// Wakes a worker that has had no request for some milliseconds, to give back what it keeps for the next one.
///
/// It runs on while requests come and go, in place of a limit to each sleep between them: there may be thousands of
/// those a second, and to have the processor's timer set anew for each costs 5 µs under a hypervisor.
final class RestTimer {
    private static let period = Duration.milliseconds(4)

    /// Readable when the time has passed.
    let descriptor: OwnedDescriptor
    private var isRunning = false

    /// Takes over a timer of `timerfd_create(2)` that is not set.
    init(adopting descriptor: CInt) { self.descriptor = OwnedDescriptor(adopting: descriptor) }

    /// Sets it, unless it runs already; false if it cannot be set.
    func run() -> Bool {
        if !isRunning { isRunning = cepoll_timer_set(descriptor.rawValue, Self.period.nanoseconds) == 0 }
        return isRunning
    }

    /// Whether the time has passed; then it does not run any more.
    func hasEnded() -> Bool {
        guard cepoll_timer_take(descriptor.rawValue) else { return false }
        isRunning = false
        return true
    }
}

@available(*, unavailable)
extension RestTimer: Sendable {}
