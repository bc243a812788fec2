/// The text of a message to systemd, as sd_notify(3) describes it.
///
/// Pure.
enum SystemdMessage {
    /// What the status line shows.
    struct Figures {
        var active = 0
        var idle = 0
        var requests = 0
        var slow = 0
    }

    /// Each pool has a worker that accepts connections, or is ondemand; also the end of a reload.
    static func ready(process: String, status: String) -> String {
        "READY=1\n\(statusLine(status))\nMAINPID=\(process)"
    }

    /// A reload begins; `microseconds` is CLOCK_MONOTONIC, by which systemd tells this reload from the one before.
    static func reloading(at microseconds: Int64) -> String {
        "RELOADING=1\nMONOTONIC_USEC=\(microseconds)\nSTATUS=Reloading"
    }

    /// A reload was given up: the old configuration serves.
    static func reloadRefused(_ reason: String) -> String {
        "READY=1\n\(statusLine("Reload refused, the old configuration serves: \(reason)"))"
    }

    static let stopping = "STOPPING=1\nSTATUS=Stopping"

    /// The service lives; `rate` is requests per second since the last one.
    ///
    /// Never READY=1, which would end a reload that is under way for systemd.
    static func status(_ figures: Figures, requestsBefore: Int, interval: Duration) -> String {
        let seconds = Double(interval.components.seconds) + Double(interval.components.attoseconds) / 1e18
        // The figures come from pages that workers can write: nothing here may overflow.
        let rate = seconds > 0 ? Double(max(0, figures.requests &- requestsBefore)) / seconds : 0
        let hundredths = Int(min(rate * 100, 1e15))
        let fraction = String(hundredths % 100)
        let traffic = "\(hundredths / 100)." + (fraction.count < 2 ? "0" : "") + fraction
        return
            "STATUS=Processes active: \(figures.active), idle: \(figures.idle), Requests: \(figures.requests), slow: \(figures.slow), Traffic: \(traffic)req/sec"
    }

    /// The start or the stop goes on: so much more time, from now.
    static func extend(by patience: Duration) -> String {
        "EXTEND_TIMEOUT_USEC=\(patience.components.seconds * 1_000_000)"
    }

    /// Keep the descriptor that comes with this until it is removed, also while no process has it.
    static func store(_ name: String) -> String { "FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0" }

    /// Keep the descriptors of this name no longer.
    static func remove(_ name: String) -> String { "FDSTOREREMOVE=1\nFDNAME=\(name)" }

    /// A line of its own, whatever the text is.
    private static func statusLine(_ text: String) -> String {
        "STATUS=" + String(text.map { $0.isNewline ? " " : $0 })
    }
}
