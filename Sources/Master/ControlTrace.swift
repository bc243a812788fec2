internal import CEpoll
internal import Channel
internal import Control
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// PHP call stacks of workers, for `fpmctl trace`: a helper process walks them, as for the slow log, and writes what it
/// finds into a pipe.
///
/// A line is a frame; one that begins with `=` names the worker whose frames follow; one with `!` is why there are none.
final class ControlTrace {
    /// Most workers in one trace.
    static let mostWorkers = 32
    private static let mostBytes = 256 << 10
    private static let depth = 100
    /// The helper is killed before that.
    private static let patience = Duration.seconds(8)

    /// One worker to trace.
    struct Target {
        let process: ProcessID
        let layout: TraceLayout
    }

    private let pipe: SharedDescriptor
    private var registration: Reactor.Registration?
    private var deadline: Reactor.Deadline?
    private var bytes: [UInt8] = []
    private let onEnd: (Frames) -> Void
    /// Keeps this alive until it has ended.
    private var itself: ControlTrace?

    /// Frames by process, innermost first; or why there are none.
    struct Frames {
        var lines: [Int32: [String]] = [:]
        var failures: [Int32: String] = [:]
    }

    /// Begins a trace; false when there can be no helper.
    static func begin(
        _ targets: [Target],
        owner: any PoolOwner,
        onEnd: @escaping (Frames) -> Void
    ) -> Bool {
        // Taken while the workers cannot have been reaped yet: their numbers are their own.
        let traces = targets.map { target in
            (
                target,
                WorkerTrace(
                    process: target.process,
                    handle: cepoll_pidfd(target.process.rawValue),
                    layout: target.layout,
                    depth: depth,
                    showsPosition: true
                )
            )
        }
        defer { for (_, trace) in traces where trace.handle >= 0 { closeDescriptor(trace.handle) } }
        guard let ends = try? makePipe() else { return false }
        let write = ends.write.rawValue
        guard owner.runElsewhere({ for (_, trace) in traces { put(trace, write) } }) else { return false }
        let made = ControlTrace(ends.read, onEnd: onEnd)
        return made.watch(owner.reactor)
    }

    private init(_ pipe: SharedDescriptor, onEnd: @escaping (Frames) -> Void) {
        self.pipe = pipe
        self.onEnd = onEnd
    }

    /// In the helper.
    private static func put(_ trace: WorkerTrace, _ descriptor: CInt) {
        var text = Array("=\(trace.process)\n".utf8)
        if trace.handle < 0 {
            text += Array("!it has ended\n".utf8)
        } else {
            let frames = trace.frames()
            for line in frames.lines { text += line + [UInt8(ascii: "\n")] }
            if let code = frames.failure {
                text += Array("!its memory cannot be read: \(describe(Errno(rawValue: code)))\n".utf8)
            }
        }
        text.withUnsafeBytes { bytes in
            var offset = 0
            while offset < bytes.count, let base = bytes.baseAddress {
                let count = write(descriptor, base + offset, bytes.count - offset)
                if count < 0 && errno == EINTR { continue }
                if count <= 0 { return }
                offset += count
            }
        }
    }

    private func watch(_ reactor: Reactor) -> Bool {
        registration = try? reactor.watch(pipe.rawValue, for: .readable) { [weak self] _ in self?.receive() }
        guard registration != nil else { return false }
        deadline = reactor.after(Self.patience) { [weak self] in self?.finish() }
        itself = self
        return true
    }

    private func receive() {
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            switch try? read(pipe.rawValue, into: buffer) {
            case .bytes(let count):
                bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[0..<count]))
                if bytes.count > Self.mostBytes { finish() }
            case .wouldBlock: return
            case .endOfStream, nil: finish()
            }
        }
    }

    private func finish() {
        guard itself != nil else { return }
        registration = nil
        deadline = nil
        var frames = Frames()
        var current: Int32?
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let text = String(decoding: line.dropFirst(), as: UTF8.self)
            switch line.first {
            case UInt8(ascii: "="):
                current = Int32(text)
                if let current { frames.lines[current] = [] }
            case UInt8(ascii: "!"): if let current { frames.failures[current] = text }
            default:
                if let current { frames.lines[current]?.append(String(decoding: line, as: UTF8.self)) }
            }
        }
        onEnd(frames)
        itself = nil
    }
}

@available(*, unavailable)
extension ControlTrace: Sendable {}
