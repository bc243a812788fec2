/// Cuts the bytes of a process's output into lines. Pure.
///
/// A line ends at a newline, at a change between stdout and stderr, and at the marker that a worker writes after
/// each request (NUL `fscf` NUL). What has no end yet is kept, up to a bound, so that pieces written separately
/// join into one line.
public struct OutputAssembler {
    /// One finished line.
    public struct Line: Equatable {
        /// 1 for stdout, 2 for stderr.
        public let stream: Int
        /// The text without its newline; control characters are shown as `\xNN` unless raw text was asked for.
        public let text: [UInt8]
    }

    /// Most bytes kept without a newline.
    private static let maximumPending = 64 << 10
    private static let marker: [UInt8] = [0] + Array("fscf".utf8) + [0]

    private var pending: [UInt8] = []
    private var stream = 2
    private let limit: Int
    private let isRaw: Bool

    /// An assembler without bytes; `limit` is `log_limit`, `raw` keeps control characters as they are.
    public init(limit: Int, raw: Bool = false) {
        self.limit = limit
        isRaw = raw
    }

    /// Takes bytes of one stream, and gives the lines that are complete.
    public mutating func take(_ bytes: UnsafeRawBufferPointer, from source: Int) -> [Line] {
        var lines: [Line] = []
        if source != stream {
            if let line = flush() { lines.append(line) }
            stream = source
        }
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                if let line = flush() { lines.append(line) }
                continue
            }
            pending.append(byte)
            if byte == 0, pending.count >= Self.marker.count, pending.suffix(Self.marker.count).elementsEqual(Self.marker) {
                pending.removeLast(Self.marker.count)
                if let line = flush() { lines.append(line) }
            } else if pending.count >= Self.maximumPending, let line = flush() {
                lines.append(line)
            }
        }
        return lines
    }

    /// Ends the current line; nil when it is empty.
    public mutating func flush() -> Line? {
        guard !pending.isEmpty else { return nil }
        defer { pending.removeAll(keepingCapacity: pending.capacity < 8192) }
        return Line(stream: stream, text: isRaw ? pending : OutputAssembler.visible(pending))
    }

    /// The bytes with control characters other than tab and carriage return shown as escapes.
    public static func visible(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.contains(where: isHidden) else { return bytes }
        var shown: [UInt8] = []
        let digits = Array("0123456789abcdef".utf8)
        for byte in bytes {
            if isHidden(byte) {
                shown += [UInt8(ascii: "\\"), UInt8(ascii: "x"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            } else {
                shown.append(byte)
            }
        }
        return shown
    }

    private static func isHidden(_ byte: UInt8) -> Bool { byte < 32 && byte != 9 && byte != 13 || byte == 127 }
}
