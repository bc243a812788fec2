internal import Configuration
internal import Reactor
internal import Syscalls

/// Replaces workers one after the other: another one starts, then the old one is told to leave, and only when it has gone
/// is it the next one's turn.
///
/// One that serves a long request is not waited for beyond `patience`: it leaves when it has finished, and is counted.
final class Recycling {
    /// How often it looks.
    private static let period = Duration.milliseconds(20)

    /// What came of it.
    struct Result {
        var replaced = 0
        /// Still finishing a request; they leave afterwards.
        var busy = 0
    }

    private unowned let pool: Pool
    private let reactor: Reactor
    private let patience: Duration
    private var waiting: [Int64]
    private var current: (serial: Int64, deadline: MonotonicTime)?
    private var timer: Reactor.Deadline?
    private var result = Result()
    private let onEnd: (Result) -> Void

    /// Replaces the workers with these serial numbers.
    init(
        _ serials: [Int64],
        of pool: Pool,
        patience: Duration,
        reactor: Reactor,
        onEnd: @escaping (Result) -> Void
    ) {
        waiting = serials
        self.pool = pool
        self.patience = patience
        self.reactor = reactor
        self.onEnd = onEnd
    }

    /// Begins, or goes on.
    func advance() {
        timer = nil
        if let (serial, deadline) = current {
            if pool.worker(serial: serial) == nil {
                result.replaced += 1
                current = nil
            } else if MonotonicTime.now >= deadline {
                result.busy += 1
                current = nil
            }
        }
        while current == nil, !waiting.isEmpty {
            let serial = waiting.removeFirst()
            // It may have ended by itself, and been replaced.
            guard let worker = pool.worker(serial: serial) else {
                result.replaced += 1
                continue
            }
            pool.replace(worker)
            current = (serial, MonotonicTime.now + patience)
        }
        guard current != nil, pool.state == .serving else {
            pool.recycling = nil
            return onEnd(result)
        }
        timer = reactor.after(Self.period) { [weak self] in self?.advance() }
    }
}

@available(*, unavailable)
extension Recycling: Sendable {}
