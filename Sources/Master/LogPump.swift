internal import CEpoll
internal import Logging
internal import Reactor
internal import Syscalls

/// Writes the lines that wait for a slow reader of the log as soon as it takes some.
///
/// Watches a duplicate of the log's descriptor, which it owns: the log may change its destination at any time. Where
/// there is nothing to watch, and for whatever a watch does not show, it tries once a second.
final class LogPump {
    private static let pause = Duration.seconds(1)

    private final class Watch {
        private var registration: Reactor.Registration?
        private let descriptor: SharedDescriptor

        init?(_ number: CInt, _ reactor: Reactor, _ handler: @escaping () -> Void) {
            let copy = cepoll_duplicate(number)
            guard copy >= 0 else { return nil }
            descriptor = SharedDescriptor(adopting: copy)
            registration = try? reactor.watch(copy, for: .writable) { _ in handler() }
            if registration == nil { return nil }
        }

        // The open file is shared: a closed number would go on reporting.
        deinit { registration = nil }
    }

    private let waiting: () -> [CInt]
    private let flush: () -> Bool
    private let reactor: Reactor
    private var watches: [Watch] = []
    private var deadline: Reactor.Deadline?

    /// For the log of the service.
    convenience init(log: Log, reactor: Reactor) {
        self.init(reactor: reactor, waiting: { log.waiting }, flush: { log.flush() })
        log.onWaiting = { [weak self] in self?.start() }
    }

    /// For anything that lines wait for: `waiting` gives its descriptors, `flush` is true when nothing waits any more.
    init(reactor: Reactor, waiting: @escaping () -> [CInt], flush: @escaping () -> Bool) {
        self.reactor = reactor
        self.waiting = waiting
        self.flush = flush
    }

    /// Lines have begun to wait.
    func start() {
        guard deadline == nil else { return }
        watches = waiting().compactMap { number in
            Watch(number, reactor) { [weak self] in self?.pump() }
        }
        deadline = reactor.after(Self.pause) { [weak self] in self?.pump() }
    }

    private func pump() {
        if flush() {
            watches = []
            deadline = nil
        } else {
            deadline = reactor.after(Self.pause) { [weak self] in self?.pump() }
        }
    }
}

@available(*, unavailable)
extension LogPump: Sendable {}
