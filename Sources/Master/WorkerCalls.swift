internal import Channel
internal import Control
internal import Reactor
internal import Syscalls

/// What workers were asked to do between two requests, and have not answered yet.
///
/// A worker answers when it has finished its request, or never: each call has a deadline. What it answers is hostile: it
/// must be JSON within bounds, and the number of a call that waits for this worker.
final class WorkerCalls {
    /// How a call ended.
    enum Outcome {
        case returned(JSON)
        /// The worker cannot do it; its reason.
        case failed(UInt64)
        case nonsense
        case timeout
    }

    private struct Call {
        let deadline: Reactor.Deadline
        let reply: (Outcome) -> Void
    }

    private let reactor: Reactor
    private var calls: [Int64: Call] = [:]
    private var next: Int64 = 0

    init(reactor: Reactor) { self.reactor = reactor }

    /// Remembers a call.
    ///
    /// - Returns: Its number, for the message.
    func begin(patience: Duration, reply: @escaping (Outcome) -> Void) -> Int64 {
        next += 1
        let number = next
        let deadline = reactor.after(patience) { [weak self] in self?.end(number, .timeout) }
        calls[number] = Call(deadline: deadline, reply: reply)
        return number
    }

    /// A worker has answered.
    func returned(_ message: Message, _ payload: [UInt8]) {
        guard calls[message.serial] != nil else { return }
        if message.value != 0 { return end(message.serial, .failed(message.value)) }
        guard let value = try? JSONDecoder.decode(payload, mostValues: 4096) else {
            return end(message.serial, .nonsense)
        }
        end(message.serial, .returned(value))
    }

    private func end(_ number: Int64, _ outcome: Outcome) {
        guard let call = calls.removeValue(forKey: number) else { return }
        call.reply(outcome)
    }
}

@available(*, unavailable)
extension WorkerCalls: Sendable {}
