internal import CEpoll
internal import CPHP
internal import Syscalls

/// What an idle worker gives back.
///
///     warm ── some milliseconds: the script's directory, ──► cooling ── two seconds: memory ──► cold
///      ▲      what a large response used                        │                                │
///      └───────────────────────── a request ────────────────────┴────────────────────────────────┘
extension Worker {
    enum Warmth { case warm, cooling, cold }

    /// Before the worker sleeps: somebody is to wake it.
    func prepareToSleep() {
        guard warmth == .warm, !idleTimer.run(.short) else { return }
        endParting()
        cool()
    }

    /// The timer has ended.
    func coolDown() {
        switch (idleTimer.ended(), warmth) {
        case (.short, .warm):
            // Else it is busy, and the timer is set anew before the worker sleeps.
            guard idleTime(until: .now) >= FPMD_WARM_NS else { return }
            if parting != nil { _ = nextAfterParting(false) }
            cool()
            _ = idleTimer.run(.long)
        case (.long, .cooling):
            releaseMemory()
            warmth = .cold
        default: return
        }
    }

    /// Gives back what only a request within milliseconds would have used.
    private func cool() {
        announcePlaces()
        fpmd_php_rest()
        processor.stream.releaseMemory()
        warmth = .cooling
    }

    /// What requests have used and none needs: most of what an idle worker has of its own.
    private func releaseMemory() {
        fpmd_php_release_memory()
        processor.stream.releaseMemory()
        processor.reader.buffer.releasePages()
        if let base = message.baseAddress { cepoll_release_pages(base, message.count) }
    }
}
