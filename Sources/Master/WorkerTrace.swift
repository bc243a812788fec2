internal import CEpoll
internal import Channel
internal import Glibc
internal import Syscalls

/// Follows a worker's PHP call frames by reading its memory; the worker is not stopped, and does not notice.
///
/// Everything read is hostile: lengths are bounded, and addresses only ever go back to the kernel. Where the worker
/// runs on meanwhile, the walk is repeated, and after some attempts taken as it is.
struct WorkerTrace {
    private static let attempts = 4
    private static let longestText = 1023
    private static let longestChain = 4096

    let process: ProcessID
    /// A pidfd of it.
    let handle: CInt
    let layout: TraceLayout
    /// Most frames shown.
    let depth: Int
    /// Begins with where the script itself is, when it is not in one of PHP's own functions.
    var showsPosition = false

    /// Lines of a trace without their newlines, innermost frame first.
    struct Frames {
        var lines: [[UInt8]] = []
        /// Errno of a read that failed, and ended the walk.
        var failure: CInt?
    }

    private struct Unreadable: Error { let code: CInt }

    /// Walks the frames.
    func frames() -> Frames {
        var frames = Frames()
        for _ in 0..<Self.attempts {
            frames = Frames()
            do throws(Unreadable) {
                let innermost = try word(layout.currentFrame)
                if showsPosition, let line = try position(innermost) { frames.lines.append(line) }
                try walk(from: innermost, into: &frames.lines)
                if try word(layout.currentFrame) == innermost { break }
            } catch { frames.failure = error.code }
        }
        // While the worker is there, its number has been nobody else's: another process's memory is not shown.
        return cepoll_pidfd_is_alive(handle) ? frames : Frames(failure: ESRCH)
    }

    /// `[ADDRESS] FILE:LINE` of a frame of user code.
    private func position(_ frame: UInt64) throws(Unreadable) -> [UInt8]? {
        guard frame != 0 else { return nil }
        let function = try word(frame &+ layout.frameFunction)
        guard function != 0, try byte(function &+ layout.functionType) & 1 == 0 else { return nil }
        return try callingLine(frame).map { address(frame) + $0 }
    }

    /// `[0x0123456789abcdef] `.
    private func address(_ frame: UInt64) -> [UInt8] {
        let digits = String(frame, radix: 16)
        return Array("[0x\(String(repeating: "0", count: max(0, 16 - digits.count)))\(digits)] ".utf8)
    }

    private func walk(from innermost: UInt64, into lines: inout [[UInt8]]) throws(Unreadable) {
        var frame = innermost
        var steps = 0
        while frame != 0, lines.count < depth, steps < Self.longestChain {
            steps += 1
            let previous = try word(frame &+ layout.framePrevious)
            let function = try word(frame &+ layout.frameFunction)
            if function != 0 {
                let name = try word(function &+ layout.functionName)
                let caller = try callingLine(previous)
                // The script itself: nobody called it.
                if name == 0, caller == nil { return }
                var line = address(frame)
                line += name == 0 ? Array("[INCLUDE_OR_EVAL]".utf8) : (try? text(name)) ?? Array("???".utf8)
                line += Array("() ".utf8) + (caller ?? Array("unknown:0".utf8))
                lines.append(line)
            }
            frame = previous
        }
    }

    /// `FILE:LINE` of the nearest frame of user code from `frame` outwards.
    private func callingLine(_ start: UInt64) throws(Unreadable) -> [UInt8]? {
        var frame = start
        for _ in 0..<Self.longestChain where frame != 0 {
            let function = try word(frame &+ layout.frameFunction)
            if function != 0, try byte(function &+ layout.functionType) & 1 == 0 {
                let file = try text(try word(function &+ layout.functionFile))
                let line = try number(try word(frame &+ layout.frameInstruction) &+ layout.instructionLine)
                return file + Array(":\(line)".utf8)
            }
            frame = try word(frame &+ layout.framePrevious)
        }
        return nil
    }

    // MARK: - Reading

    private func read(_ address: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws(Unreadable) {
        guard let base = buffer.baseAddress else { return }
        if cepoll_read_memory(process.rawValue, address, base, buffer.count) < 0 {
            throw Unreadable(code: errno)
        }
    }

    private func word(_ address: UInt64) throws(Unreadable) -> UInt64 {
        var value: UInt64 = 0
        try withUnsafeMutableBytes(of: &value) { buffer throws(Unreadable) in try read(address, buffer) }
        return value
    }

    private func number(_ address: UInt64) throws(Unreadable) -> UInt32 {
        var value: UInt32 = 0
        try withUnsafeMutableBytes(of: &value) { buffer throws(Unreadable) in try read(address, buffer) }
        return value
    }

    private func byte(_ address: UInt64) throws(Unreadable) -> UInt8 {
        var value: UInt8 = 0
        try withUnsafeMutableBytes(of: &value) { buffer throws(Unreadable) in try read(address, buffer) }
        return value
    }

    /// A text, cut where a log has seen enough, with control characters as dots.
    private func text(_ address: UInt64) throws(Unreadable) -> [UInt8] {
        let length = Int(min(try word(address &+ layout.textLength), UInt64(Self.longestText)))
        return try withUnsafeTemporaryAllocation(byteCount: length, alignment: 1) {
            buffer throws(Unreadable) in
            try read(address &+ layout.textStart, buffer)
            return buffer.map { $0 < 0x20 || $0 == 0x7f ? UInt8(ascii: ".") : $0 }
        }
    }
}
