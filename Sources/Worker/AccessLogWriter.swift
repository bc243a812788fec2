internal import AccessLog
internal import CEpoll
internal import CPHP
internal import CScoreboard
internal import CSystemd
internal import Channel
internal import Configuration
internal import FastCGI
internal import Glibc
internal import Logging
internal import Syscalls

/// Writes one line for each request into the file that the master opened, or an entry into the journal, without waiting
/// for whoever reads it.
final class AccessLogWriter {
    private let lines: AccessLogLines
    private let file: SharedDescriptor
    private let isJournal: Bool
    /// Standard error of a container may be a pipe or socket that is shared, and blocking: it is asked first.
    private let isBlocking: Bool
    /// A terminal takes nothing while another process writes to it.
    private let isTerminal: Bool
    /// How long a terminal's other writers are waited for, in milliseconds, and how often.
    private static let patience: CInt = 10
    private static let mostAttempts = 100
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
        self.file = file
        isJournal = plan.logsAccessToJournal
        lines = AccessLogLines(
            format: format,
            pool: plan.pool,
            suppressed: plan.suppressedPaths,
            isJournal: plan.logsAccessToJournal
        )
        let isFile = cepoll_kind(file.rawValue) == CEPOLL_KIND_FILE
        isBlocking = !isFile && fcntl(file.rawValue, F_GETFL) & O_NONBLOCK == 0
        isTerminal = isatty(file.rawValue) == 1
    }

    /// Writes the line, unless the request's path is one not to be logged.
    func write(_ facts: borrowing Facts, _ table: borrowing ParameterTable, log: WorkerLog) {
        guard let line = lines.line(for: request(facts), table, header: { responseHeader($0) }) else {
            return
        }
        if line.isTruncated {
            // The web server's log has it too, as with php-fpm.
            fpmd_php_notice(
                "the log buffer is full (\(AccessLogLines.longest)). The access log request has been truncated."
            )
        }
        guard put(line.bytes) else { return lost += 1 }
        guard lost > 0 else { return }
        log.write(
            .warning,
            "\(lost) line(s) of the access log lost: what reads or stores it did not take them"
        )
        lost = 0
    }

    /// Writes the line, which a pipe takes as a whole or not at all; false if it is lost, or what a terminal has no room for.
    private func put(_ line: [UInt8]) -> Bool {
        if isBlocking, !isWritable(within: 0) { return false }
        var rest = line[...]
        var mayReconnect = isJournal
        for _ in 0..<Self.mostAttempts {
            let count = rest.withUnsafeBytes { Glibc.write(file.rawValue, $0.baseAddress, $0.count) }
            rest = rest.dropFirst(max(0, count))
            if rest.isEmpty { return true }
            if count >= 0 || errno == EINTR { continue }
            if mayReconnect, Self.isDisconnected(errno) {
                mayReconnect = false
                // Journald's socket was made anew. In a chroot there is no way to it until the master opens the log anew.
                if csystemd_reconnect(file.rawValue, Log.journalPath) == 0 { continue }
                break
            }
            // One that loses lines is stopped, and not waited for again.
            guard errno == EAGAIN, isTerminal, lost == 0, isWritable(within: Self.patience) else { break }
        }
        return false
    }

    /// What the first and later datagrams to a socket get that has been closed.
    private static func isDisconnected(_ code: CInt) -> Bool {
        code == ECONNREFUSED || code == ENOTCONN || code == ECONNRESET
    }

    private func isWritable(within milliseconds: CInt) -> Bool {
        cepoll_poll_one(file.rawValue, UInt32(CEPOLL_OUT), milliseconds) > 0
    }

    private func request(_ facts: borrowing Facts) -> LoggedRequest {
        var request = LoggedRequest(of: facts.slot)
        request.status = facts.status
        request.memoryPeak = facts.memoryPeak
        request.cpuUser = facts.cpuUser
        request.cpuSystem = facts.cpuSystem
        request.beginEpoch = facts.beginEpoch
        request.nowEpoch = wallClockSeconds()
        request.duration = MonotonicTime.now - facts.begin
        request.process = .current
        request.master = .parent
        request.peer = facts.peer.map { addressText($0) }
        return request
    }

    private func responseHeader(_ name: ByteString) -> [UInt8]? {
        var length = 0
        let value = name.bytes.withUnsafeBytes { bytes -> UnsafePointer<CChar>? in
            guard let base = bytes.baseAddress else { return nil }
            return fpmd_php_response_header(base.assumingMemoryBound(to: CChar.self), bytes.count, &length)
        }
        return value.map { Array(UnsafeRawBufferPointer(start: $0, count: length)) }
    }
}

@available(*, unavailable)
extension AccessLogWriter: Sendable {}
