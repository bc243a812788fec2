internal import CEpoll
internal import Syscalls

/// Wakes a worker that has had no request for a while, to give back what it keeps for the next one.
///
/// It runs on while requests come and go, in place of a limit to each sleep between them: there may be thousands of
/// those a second, and to have the processor's timer set anew for each costs 5 µs under a hypervisor.
final class IdleTimer {
    enum Pause {
        /// Some milliseconds: the worker is not busy.
        case short
        /// Two seconds: it is not needed.
        case long

        fileprivate var length: Duration { self == .short ? .milliseconds(4) : .seconds(2) }
    }

    /// Readable when the time has passed.
    let descriptor: OwnedDescriptor
    private var running: Pause?

    /// Takes over a timer of `timerfd_create(2)` that is not set.
    init(adopting descriptor: CInt) { self.descriptor = OwnedDescriptor(adopting: descriptor) }

    /// Sets it, unless it runs for this pause already; false if it cannot be set.
    func run(_ pause: Pause) -> Bool {
        if running != pause {
            let isSet = cepoll_timer_set(descriptor.rawValue, pause.length.nanoseconds) == 0
            running = isSet ? pause : nil
        }
        return running != nil
    }

    /// The pause that has passed, if one has; then it does not run any more.
    func ended() -> Pause? {
        guard cepoll_timer_take(descriptor.rawValue) else { return nil }
        defer { running = nil }
        return running
    }
}

@available(*, unavailable)
extension IdleTimer: Sendable {}
