public import Configuration
public import FastCGI
internal import Logging
internal import Syscalls

/// Makes the lines of a pool's access log, or entries for the journal.
///
/// Formatting only: whoever answers requests (a worker, for status and ping also the master) puts them into the file.
public struct AccessLogLines {
    /// Longest line, in bytes without its newline; php-fpm's.
    public static var longest: Int { 1024 }

    /// Bytes that are written at once.
    public struct Line {
        /// A text with its newline, or an entry for the journal.
        public var bytes: [UInt8]
        /// The text was longer than ``longest``, and is cut.
        public var isTruncated: Bool
    }

    private let tokens: [AccessLogFormat.Token]
    private let pool: ByteString
    private let suppressed: [ByteString]
    private let isJournal: Bool

    /// Prepares lines.
    ///
    /// - Parameters:
    ///   - format: `access.format`.
    ///   - pool: The pool's name.
    ///   - suppressed: `access.suppress_path[]`.
    ///   - isJournal: Entries for journald, with the request's fields, in place of lines.
    public init(format: AccessLogFormat, pool: ByteString, suppressed: [ByteString], isJournal: Bool) {
        tokens = format.tokens
        self.pool = pool
        self.suppressed = suppressed
        self.isJournal = isJournal
    }

    /// The line for a request.
    ///
    /// - Parameters:
    ///   - request: What is known of it.
    ///   - table: Its parameters.
    ///   - header: Value of the response's first header of that name, letter case as sent; nil if there is none.
    /// - Returns: Nil for a path that is not to be logged, and for an empty line.
    public func line(
        for request: LoggedRequest,
        _ table: borrowing ParameterTable,
        header: (ByteString) -> [UInt8]?
    ) -> Line? {
        if isSuppressed(request) { return nil }
        var line: [UInt8] = []
        line.reserveCapacity(256)
        for token in tokens { expand(token, request, table, header, into: &line) }
        guard !line.isEmpty else { return nil }
        let isTruncated = line.count > Self.longest
        if isTruncated { line.removeSubrange(Self.longest...) }
        if isJournal { line = entry(line, request, table) } else { line.append(UInt8(ascii: "\n")) }
        return Line(bytes: line, isTruncated: isTruncated)
    }

    /// Successful GET and HEAD requests without query string and body, for one of the listed paths.
    private func isSuppressed(_ request: LoggedRequest) -> Bool {
        guard !suppressed.isEmpty, (200...299).contains(request.status), request.contentLength <= 0,
            request.query.isEmpty,
            request.method == Array("GET".utf8) || request.method == Array("HEAD".utf8)
        else { return false }
        return suppressed.contains { $0.bytes == request.uri }
    }

    /// An entry of priority 6 (informational) with the request's fields.
    private func entry(
        _ line: [UInt8],
        _ request: LoggedRequest,
        _ table: borrowing ParameterTable
    ) -> [UInt8] {
        var context = LogContext.pool(pool, worker: ByteString(request.process.description))
        for name in ["REQUEST_ID", "HTTP_X_REQUEST_ID"] as [ByteString] {
            guard let value = table.value(of: name.bytes.span) else { continue }
            context.add(.requestID, visible(Array(table.bytes(of: value).prefix(128))))
            break
        }
        context.add(.method, visible(request.method))
        let query = visible(request.query)
        context.add(.uri, "\(visible(request.uri))\(query.isEmpty ? "" : "?")\(query)")
        context.add(.script, visible(request.script))
        context.add(.status, ByteString(String(request.status)))
        context.add(.duration, ByteString(String(request.duration.nanoseconds / 1000)))
        return JournalEntry(visible(line), priority: 6, identifier: "fpmd", context: context).bytes
    }

    private func visible(_ text: [UInt8]) -> ByteString { ByteString(OutputAssembler.visible(text)) }

    private func expand(
        _ token: AccessLogFormat.Token,
        _ request: LoggedRequest,
        _ table: borrowing ParameterTable,
        _ header: (ByteString) -> [UInt8]?,
        into line: inout [UInt8]
    ) {
        switch token {
        case .literal(let text): line += text.bytes
        case .cpu(let share): line += fixed(perCent(of: share, request), decimals: 2)
        case .duration(let unit):
            let nanoseconds = request.duration.nanoseconds
            switch unit {
            case .seconds: line += fixed(Double(nanoseconds) / 1e9, decimals: 3)
            case .milliseconds: line += fixed(Double(nanoseconds) / 1e6, decimals: 3)
            case .microseconds: line += Array(String(nanoseconds / 1000).utf8)
            }
        case .parameter(let name):
            if let value = table.value(of: name.bytes.span) {
                line += table.bytes(of: value)
            } else {
                line.append(UInt8(ascii: "-"))
            }
        case .script: line += orDash(request.script)
        case .contentLength: line += Array(String(request.contentLength).utf8)
        case .method: line += orDash(request.method)
        case .memoryPeak(let unit):
            let divisor =
                switch unit {
                case .bytes: 1
                case .kilobytes: 1024
                case .megabytes: 1024 * 1024
                }
            line += Array(String(request.memoryPeak / divisor).utf8)
        case .poolName: line += pool.bytes
        case .responseHeader(let name): line += orDash(header(name) ?? [])
        case .workerID: line += Array(request.process.description.utf8)
        case .masterID: line += Array(request.master.description.utf8)
        case .queryString: line += request.query
        case .queryMark: if !request.query.isEmpty { line.append(UInt8(ascii: "?")) }
        case .uri: line += request.uri
        case .remoteAddress: line += orDash(request.peer?.bytes ?? [])
        case .status: line += Array(String(request.status).utf8)
        case .acceptTime(let format):
            line += formatLocalTime(format.cString, request.beginEpoch)
        case .logTime(let format): line += formatLocalTime(format.cString, request.nowEpoch)
        case .remoteUser: line += request.user
        }
    }

    private func orDash(_ text: [UInt8]) -> [UInt8] { text.isEmpty ? [UInt8(ascii: "-")] : text }

    private func perCent(of share: AccessLogFormat.CPUShare, _ request: LoggedRequest) -> Double {
        let used =
            switch share {
            case .total: request.cpuUser + request.cpuSystem
            case .user: request.cpuUser
            case .system: request.cpuSystem
            }
        let seconds = Double(request.duration.nanoseconds) / 1e9
        return seconds > 0 ? used * 100 / seconds : 0
    }

    /// `%.Nf`.
    private func fixed(_ number: Double, decimals: Int) -> [UInt8] {
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let scaled = (number * scale).rounded()
        guard scaled >= 0, scaled < 9e18 else { return Array("0".utf8) }
        let whole = UInt64(scaled)
        let fraction = String(whole % UInt64(scale))
        return Array("\(whole / UInt64(scale)).".utf8)
            + Array(repeating: UInt8(ascii: "0"), count: decimals - fraction.count) + Array(fraction.utf8)
    }
}
