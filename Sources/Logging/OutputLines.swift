public import Configuration

/// The log lines that a worker's output becomes: joined over reads, wrapped at `log_limit`, decorated or
/// plain.
///
/// Pure.
///
/// A line ends at a newline, at the marker that a worker writes after each request (NUL `fscf` NUL) and at a change
/// between stdout and stderr. Text that is longer than a line goes on in a further line with the same decoration, and
/// does not wait for its end: never more than one line is kept.
public struct OutputLines {
    /// Where a worker wrote to.
    public enum Stream: Equatable, Sendable {
        /// `stdout` in decorated lines.
        case standardOutput
        /// `stderr` in decorated lines.
        case standardError
    }

    /// What a decorated line shows besides the text.
    public struct Origin: Equatable, Sendable {
        /// Formatted, without brackets.
        public var time: String
        /// The worker's number.
        public var process: ByteString

        /// Both as they are shown.
        public init(time: String, process: ByteString) {
            self.time = time
            self.process = process
        }
    }

    private static let closing = Array(", pipe is closed".utf8)
    /// Text that fits into every decorated line, however long the pool's name is.
    private static let leastText = 16

    /// Whether the bytes taken last had a marker: what its request has written to the other stream can be read by now.
    public private(set) var endsRequest = false

    private let pool: ByteString
    private let decorates: Bool
    private let limit: Int
    private var scanner = LineScanner()
    private var stream = Stream.standardError
    /// The line so far, with its decoration; empty between lines.
    private var line: [UInt8] = []
    /// How long ``line`` may become by text: a quote, if decorated, and the newline fit then.
    private var bound = 0
    /// The decoration of the line made last: many lines may have the same.
    private var latestHead: (origin: Origin, stream: Stream, bytes: [UInt8])?

    /// Lines of at most `limit` bytes (`log_limit`), newline included, for a worker of `pool`.
    public init(pool: ByteString, decorates: Bool, limit: Int) {
        self.pool = pool
        self.decorates = decorates
        self.limit = limit
    }

    /// Takes bytes of one stream.
    ///
    /// - Returns: The lines that are complete, each with its newline.
    public mutating func take(
        _ bytes: UnsafeRawBufferPointer,
        from source: Stream,
        _ origin: Origin
    ) -> [[UInt8]] {
        endsRequest = false
        guard !bytes.isEmpty else { return [] }
        var lines = source == stream ? [] : end(origin)
        stream = source
        for byte in bytes {
            let step = scanner.take(byte)
            for held in LineScanner.marker.prefix(step.released) { show(held, origin, &lines) }
            if let text = step.text { show(text, origin, &lines) }
            if step.ends { finish(&lines) }
            if step.endsRequest { endsRequest = true }
        }
        return lines
    }

    /// Ends the current line, if there is one.
    ///
    /// - Parameters:
    ///   - origin: What a decorated line shows.
    ///   - isPipeClosed: The worker's first words came together with the end of its pipe: a decorated line says so.
    /// - Returns: The lines that are complete, each with its newline.
    public mutating func end(_ origin: Origin, isPipeClosed: Bool = false) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        for held in LineScanner.marker.prefix(scanner.release()) { show(held, origin, &lines) }
        guard isPipeClosed, decorates, !line.isEmpty else {
            finish(&lines)
            return lines
        }
        line.append(UInt8(ascii: "\""))
        let room = bound + 1 - line.count
        line += Self.closing.prefix(room)
        putOut(&lines)
        if room < Self.closing.count {
            line = head(origin) + Self.closing.dropFirst(room)
            putOut(&lines)
        }
        return lines
    }

    private mutating func show(_ byte: UInt8, _ origin: Origin, _ lines: inout [[UInt8]]) {
        // Plain output is the administrator's choice to have it as it is.
        guard decorates, VisibleByte.isHidden(byte) else { return put(byte, origin, &lines) }
        for shown in VisibleByte.escape(byte) { put(shown, origin, &lines) }
    }

    private mutating func put(_ byte: UInt8, _ origin: Origin, _ lines: inout [[UInt8]]) {
        if line.isEmpty {
            begin(origin)
        } else if line.count >= bound {
            finish(&lines)
            begin(origin)
        }
        line.append(byte)
    }

    private mutating func begin(_ origin: Origin) {
        guard decorates else {
            bound = max(1, limit - 1)
            return
        }
        line = head(origin)
        line.append(UInt8(ascii: "\""))
        bound = max(limit - 2, line.count + Self.leastText)
    }

    private mutating func head(_ origin: Origin) -> [UInt8] {
        if let latestHead, latestHead.stream == stream, latestHead.origin == origin {
            return latestHead.bytes
        }
        let name: StaticString =
            switch stream {
            case .standardOutput: "stdout"
            case .standardError: "stderr"
            }
        let head: ByteString =
            "[\(origin.time)] WARNING: [pool \(pool)] child \(origin.process) said into \(name.description): "
        latestHead = (origin, stream, head.bytes)
        return head.bytes
    }

    private mutating func finish(_ lines: inout [[UInt8]]) {
        guard !line.isEmpty else { return }
        if decorates { line.append(UInt8(ascii: "\"")) }
        putOut(&lines)
    }

    private mutating func putOut(_ lines: inout [[UInt8]]) {
        line.append(UInt8(ascii: "\n"))
        lines.append(line)
        line = []
    }
}
