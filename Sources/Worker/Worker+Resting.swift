internal import CEpoll
internal import CPHP
internal import Syscalls

/// What an idle worker gives back.
///
///     served ── not busy: the script's directory ──► resting ── two seconds: memory ──► at rest
///       ▲                                               │                              │
///       └──────────────────────── a request ────────────┴──────────────────────────────┘
extension Worker {
    enum Warmth { case served, resting, atRest }

    /// Before the worker sleeps.
    func prepareToRest() {
        guard warmth == .served, !restTimer.run(.short) else { return }
        fpmd_php_rest()
        warmth = .resting
    }

    /// The timer has something to say.
    func rest() {
        switch (restTimer.ended(), warmth) {
        case (.short, .served):
            // Else it is busy, and the timer is set anew before the worker sleeps.
            guard idleTime(until: .now) >= .nanoseconds(Int64(FPMD_WARM_NS)) else { return }
            fpmd_php_rest()
            warmth = .resting
            _ = restTimer.run(.long)
        case (.long, .resting):
            releaseMemory()
            warmth = .atRest
        default: return
        }
    }

    /// What requests have used and none needs: most of what an idle worker has of its own.
    private func releaseMemory() {
        fpmd_php_release_memory()
        processor.stream.releaseMemory()
        processor.reader.buffer.releasePages()
        if let base = message.baseAddress { cepoll_release_pages(base, message.count) }
    }
}
