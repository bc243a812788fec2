/// Cuts the bytes of a process's output into lines.
///
/// Pure.
///
/// A line ends at a newline, at the marker that a worker writes after each request (NUL `fscf` NUL), and at a change
/// between stdout and stderr. What has no end yet is kept, up to a bound, so that pieces written separately join into
/// one line.
public struct OutputAssembler {
    /// One finished line.
    public struct Line: Equatable {
        /// 1 for stdout, 2 for stderr.
        public let stream: Int
        /// The text without its newline; control characters are shown as `\xNN` unless raw text was asked for.
        public let text: [UInt8]
    }

    /// Most bytes kept without a newline.
    private let bound: Int
    private var scanner = LineScanner()
    private var pending: [UInt8] = []
    private var stream = 2

    /// An assembler without bytes; `limit` is `log_limit`: text is never cut below it.
    public init(limit: Int) { bound = max(limit, 64 << 10) }

    /// Takes bytes of one stream, and gives the lines that are complete.
    public mutating func take(_ bytes: UnsafeRawBufferPointer, from source: Int) -> [Line] {
        var lines: [Line] = []
        if source != stream, !bytes.isEmpty {
            if let line = flush() { lines.append(line) }
            stream = source
        }
        for byte in bytes {
            let step = scanner.take(byte)
            pending += LineScanner.marker.prefix(step.released)
            if let text = step.text { pending.append(text) }
            if step.ends || pending.count >= bound, let line = finishLine() { lines.append(line) }
        }
        return lines
    }

    /// Ends the current line; nil when it is empty.
    public mutating func flush() -> Line? {
        pending += LineScanner.marker.prefix(scanner.release())
        return finishLine()
    }

    private mutating func finishLine() -> Line? {
        guard !pending.isEmpty else { return nil }
        defer { pending.removeAll(keepingCapacity: pending.capacity < 8192) }
        return Line(stream: stream, text: OutputAssembler.visible(pending))
    }

    /// The bytes with control characters other than tab and carriage return shown as escapes.
    public static func visible(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.contains(where: VisibleByte.isHidden) else { return bytes }
        return bytes.flatMap { VisibleByte.isHidden($0) ? VisibleByte.escape($0) : [$0] }
    }
}
