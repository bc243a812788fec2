internal import CEpoll
public import Configuration
internal import Glibc
public import Syscalls

/// The master's log: one line, one `write(2)`.
///
/// Before the error log is opened lines go to stderr. Until ``finishStartup()`` lines from NOTICE on go to
/// stderr as well, so that whoever starts the service sees why it does not start.
public final class Log {
    /// Where lines go.
    public enum Destination {
        /// stderr only.
        case standardError
        /// A file, reopened on request.
        case file(path: ByteString, descriptor: SharedDescriptor)
        /// syslog(3).
        case syslog
    }

    /// Least severity that is written.
    public var level = LogLevel.notice
    /// `log_limit`.
    public var limit = 1024
    /// `log_buffering`: kept for its meaning to worker output; lines are always one write.
    public private(set) var destination = Destination.standardError
    private var alsoStandardError = true

    /// A log to stderr.
    public init() {}

    /// Connects to syslog(3) with the identity of `syslog.ident` and `syslog.facility`.
    public func openSyslog(ident: String, facility: Int) {
        cepoll_open_syslog(ident, CInt(truncatingIfNeeded: facility))
    }

    /// Switches to `destination`; stderr still gets lines from NOTICE on until ``finishStartup()``.
    public func use(_ destination: Destination) {
        self.destination = isPinnedToStandardError ? .standardError : destination
    }

    /// Lines go to stderr only, whatever the configuration says (`-O`, or a terminal in the foreground).
    public private(set) var isPinnedToStandardError = false

    /// Pins the log to stderr; a destination that is used later is opened and not written.
    public func pinToStandardError() {
        isPinnedToStandardError = true
        alsoStandardError = false
    }

    /// stderr as it was before it became the log; nil before, and in a daemon.
    private var originalStandardError: SharedDescriptor?
    private var keepsOriginal = true

    /// A daemon lets go of the stderr of whoever started it.
    public func releaseStandardError() {
        keepsOriginal = false
        originalStandardError = nil
    }

    /// Makes stderr of this process the log file, so that what libraries write there is not lost; with syslog(3) it
    /// leads nowhere.
    public func tieStandardError() {
        guard !isPinnedToStandardError, !alsoStandardError else { return }
        switch destination {
        case .standardError: return
        case .file(_, let file): replaceStandardError(file.rawValue)
        case .syslog:
            let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
            guard null >= 0 else { return }
            replaceStandardError(null)
            close(null)
        }
    }

    private func replaceStandardError(_ descriptor: CInt) {
        if keepsOriginal, originalStandardError == nil {
            let copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
            if copy >= 0 { originalStandardError = SharedDescriptor(adopting: copy) }
        }
        dup2(descriptor, STDERR_FILENO)
    }

    /// Puts the original stderr back while `body` opens files: a path such as /dev/stderr then means what it meant
    /// when the service started.
    public func withOriginalStandardError<Result, Failure>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if let original = originalStandardError { dup2(original.rawValue, STDERR_FILENO) }
        defer { tieStandardError() }
        return try body()
    }

    /// Ends the time in which stderr gets a copy.
    public func finishStartup() {
        alsoStandardError = false
        tieStandardError()
    }

    /// Writes one line if its severity passes ``level``.
    public func write(_ severity: LogLevel, _ message: ByteString) {
        guard severity >= level else { return }
        if case .syslog = destination {
            writeToSyslog(severity, message)
            if !alsoStandardError { return }
        }
        let line = format(severity, message)
        switch destination {
        case .standardError: put(line, STDERR_FILENO)
        case .file(_, let file):
            put(line, file.rawValue)
            if alsoStandardError, severity >= .notice { put(line, STDERR_FILENO) }
        case .syslog: if severity >= .notice { put(line, STDERR_FILENO) }
        }
    }

    private func format(_ severity: LogLevel, _ message: ByteString) -> [UInt8] {
        LogLine.format(time: timestamp(), level: severity, message: message, limit: limit)
    }

    // MARK: - Output of other processes

    /// What other processes wrote while the service starts.
    private var held: [[UInt8]] = []
    private var holdsOutput = false
    private static let mostHeld = 256

    /// Keeps the output of other processes back: readers of the log look for start-up's own lines first.
    public func holdOutput() { holdsOutput = true }

    /// Writes what was kept back, and keeps nothing back any more.
    public func releaseOutput() {
        guard holdsOutput else { return }
        holdsOutput = false
        for line in held { writeRaw(line) }
        held = []
    }

    /// Writes bytes that are a finished line already (worker output).
    public func writeRaw(_ line: [UInt8]) {
        if holdsOutput {
            held.append(line)
            if held.count >= Self.mostHeld { releaseOutput() }
            return
        }
        switch destination {
        case .standardError: put(line, STDERR_FILENO)
        case .file(_, let file): put(line, file.rawValue)
        case .syslog: break
        }
    }

    /// Writes one line of another process's output if `severity` passes ``level``.
    public func writeOutput(_ severity: LogLevel, _ message: ByteString) {
        guard severity >= level else { return }
        if case .syslog = destination { return writeToSyslog(severity, message) }
        writeRaw(format(severity, message))
    }

    /// The time in the form of this log's lines, for lines that are built elsewhere.
    public func timestamp() -> String {
        let now = cepoll_realtime_us()
        let time = formatLocalTime("%d-%b-%Y %H:%M:%S", now / 1_000_000)
        guard level == .debug else { return time }
        let digits = String(now % 1_000_000)
        return time + "." + String(repeating: "0", count: 6 - digits.utf8.count) + digits
    }

    /// DEBUG: decisions.
    public func debug(_ message: @autoclosure () -> ByteString) {
        if level <= .debug { write(.debug, message()) }
    }
    /// NOTICE: life cycle.
    public func notice(_ message: ByteString) { write(.notice, message) }
    /// WARNING: capacity, or a lost request.
    public func warning(_ message: ByteString) { write(.warning, message) }
    /// ERROR: someone should act.
    public func error(_ message: ByteString) { write(.error, message) }
    /// ALERT: the service cannot run.
    public func alert(_ message: ByteString) { write(.alert, message) }

    /// One write; a log that does not take it (full disk, closed pipe) loses the line, never the service.
    private func put(_ line: [UInt8], _ descriptor: CInt) {
        line.withUnsafeBytes { bytes in
            var offset = 0
            while offset < bytes.count, let base = bytes.baseAddress {
                let count = Glibc.write(descriptor, base + offset, bytes.count - offset)
                if count < 0 && errno == EINTR { continue }
                if count <= 0 { return }
                offset += count
            }
        }
    }

    private func writeToSyslog(_ severity: LogLevel, _ message: ByteString) {
        let priority: CInt =
            switch severity {
            case .debug: LOG_DEBUG
            case .notice: LOG_NOTICE
            case .warning: LOG_WARNING
            case .error: LOG_ERR
            case .alert: LOG_ALERT
            }
        cepoll_syslog(priority, "[\(severity.name)] \(message)")
    }
}

@available(*, unavailable)
extension Log: Sendable {}
