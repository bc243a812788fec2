internal import CSystemd
internal import Configuration
internal import DequeModule
internal import Glibc
internal import Reactor
internal import Syscalls

/// Talks to systemd through NOTIFY_SOCKET, as sd_notify(3) says; silent where there is none.
///
/// Never waits for systemd. A message that it does not take is kept, in order, and sent again; of status lines only
/// the last one is worth that.
final class SystemdNotifier {
    private static let pause = Duration.milliseconds(50)
    /// Where systemd has taken some since the last attempt: its queue may be as short as ten messages.
    private static let briefPause = Duration.milliseconds(1)
    /// Each is about a start, a reload, a stop or a listener; more wait only if systemd has stopped for good.
    ///
    /// The last one of a start says that the service is ready: before it there may be one for each listener.
    private static let mostKept = 1 << 17

    private struct Message {
        let text: String
        let descriptor: SharedDescriptor?
    }

    private let path: ByteString?
    private let socket: SharedDescriptor?
    private let reactor: Reactor
    private var waiting = Deque<Message>()
    private var retry: Reactor.Deadline?
    private var requestsBefore = 0

    /// Whether there is a NOTIFY_SOCKET.
    var isListening: Bool { path != nil }

    init(reactor: Reactor) {
        self.reactor = reactor
        let named = getenv("NOTIFY_SOCKET").map {
            ByteString(UnsafeRawBufferPointer(start: $0, count: strlen($0)))
        }
        let number = named == nil ? -1 : csystemd_socket()
        path = number < 0 ? nil : named
        socket = number < 0 ? nil : SharedDescriptor(adopting: number)
    }

    enum Outcome {
        case sent, absent
        case failed(CInt)
    }

    func ready(status: String) -> Outcome {
        notify(SystemdMessage.ready(process: ProcessID.current.description, status: status))
    }

    /// Sends the status line, if nothing of more weight is stuck, and says that the loop turns.
    func status(_ figures: SystemdMessage.Figures, interval: Duration, answersWatchdog: Bool) {
        let text = SystemdMessage.status(figures, requestsBefore: requestsBefore, interval: interval)
        requestsBefore = figures.requests
        guard waiting.isEmpty else {
            if answersWatchdog { watchdog() }
            return
        }
        _ = send(Message(text: (answersWatchdog ? "WATCHDOG=1\n" : "") + text, descriptor: nil))
    }

    /// Says that the loop turns.
    func watchdog() { _ = send(Message(text: "WATCHDOG=1", descriptor: nil)) }

    func reloading() {
        _ = notify(SystemdMessage.reloading(at: Int64(clamping: MonotonicTime.now.nanoseconds / 1000)))
    }

    func reloadRefused(_ reason: String) { _ = notify(SystemdMessage.reloadRefused(reason)) }

    func stopping() { _ = notify(SystemdMessage.stopping) }

    func extend(by patience: Duration) { _ = notify(SystemdMessage.extend(by: patience)) }

    func store(_ descriptor: SharedDescriptor, name: String) {
        _ = notify(SystemdMessage.store(name), descriptor)
    }

    func remove(_ name: String) { _ = notify(SystemdMessage.remove(name)) }

    /// Sends what still waits, without waiting for it; for the end of the process.
    func flush() {
        while let next = waiting.first {
            if case .failed = send(next) { return }
            waiting.removeFirst()
        }
        retry = nil
    }

    private func notify(_ text: String, _ descriptor: SharedDescriptor? = nil) -> Outcome {
        let message = Message(text: text, descriptor: descriptor)
        flush()
        guard waiting.isEmpty else {
            keep(message)
            return .sent
        }
        let outcome = send(message)
        if case .failed(EAGAIN) = outcome {
            keep(message)
            return .sent
        }
        return outcome
    }

    private func keep(_ message: Message) {
        guard waiting.count < Self.mostKept else { return }
        waiting.append(message)
        if retry == nil { arm(Self.pause) }
    }

    private func arm(_ pause: Duration) {
        retry = reactor.after(pause) { [weak self] in
            guard let self else { return }
            let before = waiting.count
            flush()
            if !waiting.isEmpty { arm(waiting.count < before ? Self.briefPause : Self.pause) }
        }
    }

    private func send(_ message: Message) -> Outcome {
        guard let socket, let path else { return .absent }
        let bytes = Array(message.text.utf8)
        let result = bytes.withUnsafeBytes { buffer -> CInt in
            guard let base = buffer.baseAddress else { return 0 }
            return csystemd_send(
                socket.rawValue,
                path.cString,
                base,
                buffer.count,
                message.descriptor?.rawValue ?? -1
            )
        }
        return result == 0 ? .sent : .failed(errno)
    }
}

@available(*, unavailable)
extension SystemdNotifier: Sendable {}
