internal import CEpoll
internal import CPHP
internal import CScoreboard
internal import Channel
internal import Configuration
internal import FastCGI
internal import Glibc
internal import Logging
internal import Syscalls

/// Writes one line for each request into the file that the master opened, or an entry into the journal if what it opened
/// is a socket, without waiting for whoever reads it.
final class AccessLogWriter {
    /// Longest line, in bytes without its newline.
    private static let maximumLine = 1024

    private let tokens: [AccessLogFormat.Token]
    private let file: SharedDescriptor
    private let pool: ByteString
    private let suppressed: [ByteString]
    /// A path never opens as a socket: it is one to journald.
    private let isJournal: Bool
    /// Lines lost since the last one that went out.
    private var lost = 0

    /// What the format's tokens need of a request that is done.
    struct Facts: ~Copyable {
        var status: Int
        var memoryPeak: Int
        var begin: MonotonicTime
        var beginEpoch: Int64
        /// Seconds.
        var cpuUser: Double
        var cpuSystem: Double
        var slot: UnsafeMutablePointer<cscoreboard_slot>
        var peer: cepoll_address?
    }

    init(format: AccessLogFormat, file: SharedDescriptor, plan: ZygotePlan) {
        tokens = format.tokens
        self.file = file
        pool = plan.pool
        suppressed = plan.suppressedPaths
        isJournal = cepoll_kind(file.rawValue) == CEPOLL_KIND_SOCKET
    }

    /// Writes the line, unless the request's path is one not to be logged.
    func write(_ facts: borrowing Facts, _ table: borrowing ParameterTable, log: WorkerLog) {
        if isSuppressed(facts) { return }
        var line: [UInt8] = []
        line.reserveCapacity(256)
        for token in tokens { expand(token, facts, table, into: &line) }
        guard !line.isEmpty else { return }
        if line.count > Self.maximumLine {
            line.removeSubrange(Self.maximumLine...)
            log.write(
                .notice,
                "the log buffer is full (\(Self.maximumLine)). The access log request has been truncated."
            )
        }
        if isJournal { line = entry(line, facts, table) } else { line.append(UInt8(ascii: "\n")) }
        guard put(line) else { return lost += 1 }
        guard lost > 0 else { return }
        log.write(
            .warning,
            "\(lost) line(s) of the access log lost: what reads or stores it did not take them"
        )
        lost = 0
    }

    /// One write, which a pipe takes as a whole or not at all; false if it is lost.
    private func put(_ line: [UInt8]) -> Bool {
        line.withUnsafeBytes { bytes in
            while true {
                if Glibc.write(file.rawValue, bytes.baseAddress, bytes.count) >= 0 { return true }
                if errno != EINTR { return false }
            }
        }
    }

    /// An entry of priority 6 (informational) with the request's fields.
    private func entry(
        _ line: [UInt8],
        _ facts: borrowing Facts,
        _ table: borrowing ParameterTable
    ) -> [UInt8] {
        var context = LogContext.pool(pool, worker: ByteString(String(getpid())))
        for name in ["REQUEST_ID", "HTTP_X_REQUEST_ID"] as [ByteString] {
            guard let value = table.value(of: name.bytes.span) else { continue }
            context.add(.requestID, visible(Array(table.bytes(of: value).prefix(128))))
            break
        }
        context.add(.method, visible(bytes(cscoreboard_method(facts.slot))))
        let query = visible(bytes(cscoreboard_query(facts.slot)))
        context.add(.uri, "\(visible(bytes(cscoreboard_uri(facts.slot))))\(query.isEmpty ? "" : "?")\(query)")
        context.add(.script, visible(bytes(cscoreboard_script(facts.slot))))
        context.add(.status, ByteString(String(facts.status)))
        let duration = (MonotonicTime.now - facts.begin).nanoseconds / 1000
        context.add(.duration, ByteString(String(duration)))
        return JournalEntry(visible(line), priority: 6, identifier: "fpmd", context: context).bytes
    }

    private func visible(_ text: [UInt8]) -> ByteString { ByteString(OutputAssembler.visible(text)) }

    /// Successful GET and HEAD requests without query string and body, for one of the listed paths.
    private func isSuppressed(_ facts: borrowing Facts) -> Bool {
        guard !suppressed.isEmpty, (200...299).contains(facts.status), facts.slot.pointee.content_length <= 0
        else {
            return false
        }
        let method = bytes(cscoreboard_method(facts.slot))
        guard method == Array("GET".utf8) || method == Array("HEAD".utf8),
            bytes(cscoreboard_query(facts.slot)).isEmpty
        else { return false }
        let uri = bytes(cscoreboard_uri(facts.slot))
        return suppressed.contains { $0.bytes == uri }
    }

    private func expand(
        _ token: AccessLogFormat.Token,
        _ facts: borrowing Facts,
        _ table: borrowing ParameterTable,
        into line: inout [UInt8]
    ) {
        switch token {
        case .literal(let text): line += text.bytes
        case .cpu(let share):
            let used =
                switch share {
                case .total: facts.cpuUser + facts.cpuSystem
                case .user: facts.cpuUser
                case .system: facts.cpuSystem
                }
            let seconds = Double((MonotonicTime.now - facts.begin).nanoseconds) / 1e9
            line += fixed(seconds > 0 ? used * 100 / seconds : 0, decimals: 2)
        case .duration(let unit):
            let nanoseconds = (MonotonicTime.now - facts.begin).nanoseconds
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
        case .script: append(cscoreboard_script(facts.slot), orDash: true, to: &line)
        case .contentLength: line += Array(String(facts.slot.pointee.content_length).utf8)
        case .method: append(cscoreboard_method(facts.slot), orDash: true, to: &line)
        case .memoryPeak(let unit):
            let divisor =
                switch unit {
                case .bytes: 1
                case .kilobytes: 1024
                case .megabytes: 1024 * 1024
                }
            line += Array(String(facts.memoryPeak / divisor).utf8)
        case .poolName: line += pool.bytes
        case .responseHeader(let name): appendHeader(name, to: &line)
        case .workerID: line += Array(String(getpid()).utf8)
        case .masterID: line += Array(String(getppid()).utf8)
        case .queryString: append(cscoreboard_query(facts.slot), orDash: false, to: &line)
        case .queryMark: if cscoreboard_query(facts.slot).pointee != 0 { line.append(UInt8(ascii: "?")) }
        case .uri: append(cscoreboard_uri(facts.slot), orDash: false, to: &line)
        case .remoteAddress: line += facts.peer.map { peerText($0).bytes } ?? [UInt8(ascii: "-")]
        case .status: line += Array(String(facts.status).utf8)
        case .acceptTime(let format):
            line += Array(formatLocalTime(format.description, facts.beginEpoch).utf8)
        case .logTime(let format): line += Array(formatLocalTime(format.description, wallClockSeconds()).utf8)
        case .remoteUser: append(cscoreboard_user(facts.slot), orDash: false, to: &line)
        }
    }

    private func appendHeader(_ name: ByteString, to line: inout [UInt8]) {
        var length = 0
        let value = name.bytes.withUnsafeBytes { bytes -> UnsafePointer<CChar>? in
            guard let base = bytes.baseAddress else { return nil }
            return fpmd_php_response_header(base.assumingMemoryBound(to: CChar.self), bytes.count, &length)
        }
        guard let value, length > 0 else {
            line.append(UInt8(ascii: "-"))
            return
        }
        line += UnsafeRawBufferPointer(start: value, count: length)
    }

    private func bytes(_ text: UnsafePointer<CChar>) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    private func append(_ text: UnsafePointer<CChar>, orDash: Bool, to line: inout [UInt8]) {
        let value = bytes(text)
        line += value.isEmpty && orDash ? [UInt8(ascii: "-")] : value
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

@available(*, unavailable)
extension AccessLogWriter: Sendable {}
