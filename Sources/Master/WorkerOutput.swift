internal import Configuration
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Catches what one worker writes to its stdout and stderr, and logs it line by line.
///
/// A worker can write anything. Lines are cut at newlines and at `log_limit`; behind the master's prefix control
/// characters are shown as escapes, so that a decorated line is always one that the master wrote; reading is bounded
/// per turn, so that one worker cannot keep the loop from the others.
final class WorkerOutput {
    /// One of the two streams, or both for a zygote.
    enum Stream { case standardOutput, standardError }

    private let pool: ByteString
    private let pid: () -> ByteString
    private let decorates: Bool
    private let log: Log
    private var assembler: OutputAssembler
    private var watches: [(SharedDescriptor, Reactor.Registration)] = []

    init(pool: ByteString, pid: @escaping () -> ByteString, decorates: Bool, log: Log) {
        self.pool = pool
        self.pid = pid
        self.decorates = decorates
        self.log = log
        assembler = OutputAssembler(limit: log.limit, raw: !decorates)
    }

    /// Watches the reading end of one stream's pipe, which it owns from now on.
    func watch(_ descriptor: SharedDescriptor, _ stream: Stream, on reactor: Reactor) throws(Errno) {
        let number = descriptor.rawValue
        let registration = try reactor.watch(number, for: .readable) { [weak self] _ in
            self?.receive(number, stream, rounds: 1)
        }
        watches.append((descriptor, registration))
    }

    /// The worker has ended: takes what is left in the pipes, and closes them.
    func finish() {
        for (descriptor, _) in watches { receive(descriptor.rawValue, .standardError, rounds: 64) }
        watches = []
        if let rest = assembler.flush() { emit(rest) }
    }

    private func receive(_ descriptor: CInt, _ stream: Stream, rounds: Int) {
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            for _ in 0..<rounds {
                guard case .bytes(let count)? = try? read(descriptor, into: buffer) else {
                    if rounds == 1 { endOfStream(descriptor) }
                    return
                }
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[0..<count])
                for piece in assembler.take(bytes, from: stream == .standardOutput ? 1 : 2) { emit(piece) }
            }
        }
    }

    /// Readable without bytes: the writing end is closed (or there was nothing after all).
    private func endOfStream(_ descriptor: CInt) {
        watches.removeAll { watch in
            guard watch.0.rawValue == descriptor else { return false }
            return true
        }
    }

    private func emit(_ line: OutputAssembler.Line) {
        guard LogLevel.warning >= log.level || !decorates else { return }
        guard decorates else {
            for chunk in chunks(line.text, size: max(64, log.limit) - 1) { log.writeRaw(chunk + [UInt8(ascii: "\n")]) }
            return
        }
        let stream = line.stream == 1 ? "stdout" : "stderr"
        let prefix = ByteString("[\(log.timestamp())] WARNING: [pool \(pool)] child \(pid()) said into \(stream): \"")
        let room = max(16, log.limit - prefix.count - 2)
        for chunk in chunks(line.text, size: room) {
            log.writeRaw(prefix.bytes + chunk + [UInt8(ascii: "\""), UInt8(ascii: "\n")])
        }
    }

    private func chunks(_ text: [UInt8], size: Int) -> [[UInt8]] {
        guard text.count > size else { return [text] }
        return stride(from: 0, to: text.count, by: size).map { Array(text[$0..<min($0 + size, text.count)]) }
    }
}

@available(*, unavailable)
extension WorkerOutput: Sendable {}
