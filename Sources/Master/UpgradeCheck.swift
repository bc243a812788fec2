internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// A new image of the program is started beside the service, and asked whether it would take over: whether it runs at
/// all, reads what it would be handed, and accepts the configuration.
///
///     asked ── says so, and exits 0 ──► accepted
///       └── anything else, or no end within 20 s ──► refused
final class UpgradeCheck {
    /// The first argument of the program that is asked; the service's own arguments follow.
    ///
    /// A program that does not know it refuses it.
    static let option: ByteString = "--check-takeover"
    /// What it says if it would, on a line of its own.
    static let consent = "fpmd takes over"
    /// Where it finds the state.
    static let stateDescriptor: CInt = 3

    private static let patience = Duration.seconds(20)
    private static let longestLine = 4096

    let process: ProcessID
    private let log: Log
    private let output: SharedDescriptor
    private var text: [UInt8] = []
    private var hasConsented = false
    private var watch: Reactor.Registration?
    private var deadline: Reactor.Deadline?
    private var hasEnded = false
    private let answer: (Bool) -> Void

    /// Starts the program at `path` with the arguments of this one.
    ///
    /// - Parameters:
    ///   - path: The program.
    ///   - arguments: The service's arguments, the first of them its name.
    ///   - state: A file with the state as it is now.
    ///   - reactor: The master's loop.
    ///   - log: Where it is said why the program is refused.
    ///   - answer: Called once, on the loop.
    /// - Throws: `Errno` of what could not be had.
    init(
        path: String,
        arguments: [ByteString],
        state: SharedDescriptor,
        reactor: Reactor,
        log: Log,
        answer: @escaping (Bool) -> Void
    ) throws(Errno) {
        self.log = log
        self.answer = answer
        let null = SharedDescriptor(adopting: try retryingOnInterrupt { cepoll_open_null() })
        let pipe = try makePipe()
        output = pipe.read
        process = try spawnProgram(
            path,
            [arguments.first ?? ByteString(path), Self.option] + arguments.dropFirst(),
            descriptors: [null.rawValue, pipe.write.rawValue, pipe.write.rawValue, state.rawValue]
        )
        let process = process
        deadline = reactor.after(Self.patience) { [log] in
            log.error("the new program does not answer within 20 s")
            try? sendSignal(.kill, to: process)
        }
        watch = try reactor.watch(output.rawValue, for: .readable) { [weak self] _ in self?.receive(rounds: 1)
        }
    }

    deinit {
        watch = nil
        if !hasEnded { try? sendSignal(.kill, to: process) }
    }

    private func receive(rounds: Int) {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            for _ in 0..<rounds {
                guard case .bytes(let count)? = try? read(output.rawValue, into: buffer) else {
                    if rounds == 1 { watch = nil }
                    return
                }
                for byte in buffer[0..<count] {
                    if byte == UInt8(ascii: "\n") {
                        endLine()
                    } else if text.count < Self.longestLine {
                        text.append(byte)
                    }
                }
            }
        }
    }

    private func endLine() {
        let line = ByteString(text)
        text = []
        if line == ByteString(Self.consent) {
            hasConsented = true
        } else if !line.isEmpty {
            log.notice("new program: \(line)")
        }
    }

    /// Its process has ended.
    func ended(_ exit: ProcessExit) {
        guard exit.process == process, !hasEnded else { return }
        hasEnded = true
        deadline = nil
        receive(rounds: 64)
        endLine()
        watch = nil
        if exit.reason != .code(0) { log.error("the new program exited \(describeExit(exit))") }
        answer(hasConsented && exit.reason == .code(0))
    }
}

@available(*, unavailable)
extension UpgradeCheck: Sendable {}
