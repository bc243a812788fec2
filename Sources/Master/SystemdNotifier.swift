internal import CEpoll
internal import CSystemd
internal import Glibc
internal import Syscalls

/// Talks to systemd through NOTIFY_SOCKET, as sd_notify(3) says; silent where there is none.
final class SystemdNotifier {
    enum Outcome {
        case sent, absent
        case failed(String)
    }

    /// What the status line shows.
    struct Figures {
        var active = 0
        var idle = 0
        var requests = 0
        var slow = 0
    }

    private var requestsBefore = 0
    /// Whether there is a NOTIFY_SOCKET.
    let isListening = getenv("NOTIFY_SOCKET") != nil

    func ready() -> Outcome {
        notify("READY=1\nSTATUS=Ready to handle connections\nMAINPID=\(ProcessID.current)")
    }

    func status(_ figures: Figures, interval: Duration, answersWatchdog: Bool) {
        let seconds = Double(interval.nanoseconds) / 1e9
        // The figures come from pages that workers can write: nothing here may overflow.
        let rate = Double(max(0, figures.requests &- requestsBefore)) / seconds
        requestsBefore = figures.requests
        let hundredths = Int(min(rate * 100, 1e15))
        let fraction = String(hundredths % 100)
        let traffic = "\(hundredths / 100)." + (fraction.count < 2 ? "0" : "") + fraction
        let ping = answersWatchdog ? "WATCHDOG=1\n" : ""
        _ = notify(
            "READY=1\n\(ping)STATUS=Processes active: \(figures.active), idle: \(figures.idle), Requests: \(figures.requests), slow: \(figures.slow), Traffic: \(traffic)req/sec"
        )
    }

    func reloading() {
        _ = notify("RELOADING=1\nMONOTONIC_USEC=\(MonotonicTime.now.nanoseconds / 1000)\nSTATUS=Reloading")
    }

    func reloadRefused(_ reason: String) { _ = notify("READY=1\nSTATUS=Reload refused: \(reason)") }

    func stopping() { _ = notify("STOPPING=1\nSTATUS=Stopping") }

    private func notify(_ state: String) -> Outcome {
        let result = csystemd_notify(state)
        if result > 0 { return .sent }
        return result == 0 ? .absent : .failed(String(cString: strerror(-result)))
    }
}

@available(*, unavailable)
extension SystemdNotifier: Sendable {}
