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
        case returned(JSON, file: SharedDescriptor?)
        /// The worker cannot do it; its reason.
        case failed(UInt64)
        case nonsense
        case timeout
        /// The worker takes no orders.
        case unsent
        /// The worker has ended without an answer.
        case gone
    }

    private struct Call {
        let slot: Int
        /// Of the worker, as others may have the slot after it.
        let serial: Int64
        let deadline: Reactor.Deadline
        let reply: (Outcome) -> Void
    }

    private let reactor: Reactor
    private var calls: [Int64: Call] = [:]
    private var next: Int64

    init(reactor: Reactor) {
        self.reactor = reactor
        // Numbers of the program before this one, whose workers go on, do not come again.
        next = Int64(clamping: MonotonicTime.now.nanoseconds)
    }

    /// Remembers a call of one worker.
    ///
    /// - Returns: Its number, for the message.
    func begin(
        _ worker: WorkerRecord,
        patience: Duration,
        reply: @escaping (Outcome) -> Void
    ) -> Int64 {
        next += 1
        let number = next
        let deadline = reactor.after(patience) { [weak self] in self?.end(number, .timeout) }
        calls[number] = Call(
            slot: worker.slot,
            serial: worker.serial,
            deadline: deadline,
            reply: reply
        )
        return number
    }

    /// A worker has answered: what counts is only the answer of the one that was asked.
    ///
    /// - Parameters:
    ///   - message: The answer.
    ///   - payload: JSON, if it has done what it was asked.
    ///   - file: A sealed memory file with more.
    ///   - worker: Whose channel it came on.
    /// - Returns: False if another worker was asked; what was late is no fault.
    func returned(
        _ message: Message,
        _ payload: [UInt8],
        file: SharedDescriptor? = nil,
        from worker: WorkerRecord
    ) -> Bool {
        guard let call = calls[message.serial] else { return true }
        guard call.slot == worker.slot, call.serial == worker.serial else { return false }
        if message.value != 0 {
            end(message.serial, .failed(message.value))
        } else if let value = try? JSONDecoder.decode(payload, mostValues: 4096) {
            end(message.serial, .returned(value, file: file))
        } else {
            end(message.serial, .nonsense)
        }
        return true
    }

    /// The order could not be sent.
    func failed(_ number: Int64) { end(number, .unsent) }

    /// A worker has ended, or broken the rules: what it was asked it will not answer.
    func isGone(_ worker: WorkerRecord) {
        let lost = calls.filter { $0.value.slot == worker.slot && $0.value.serial == worker.serial }
        for number in lost.keys.sorted() { end(number, .gone) }
    }

    private func end(_ number: Int64, _ outcome: Outcome) {
        guard let call = calls.removeValue(forKey: number) else { return }
        call.reply(outcome)
    }
}

@available(*, unavailable)
extension WorkerCalls: Sendable {}
