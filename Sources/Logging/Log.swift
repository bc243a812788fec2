internal import CEpoll
public import Configuration
internal import Glibc
public import Syscalls

/// The master's log: one line, one `write(2)`, and never a wait for whoever reads it (``LogOutlet``).
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

    /// Prepares for syslog(3) with the identity of `syslog.ident` and `syslog.facility`.
    ///
    /// The C library is told as well, for what writes there on its own.
    public func openSyslog(ident: String, facility: Int) {
        cepoll_open_syslog(ident, CInt(truncatingIfNeeded: facility))
        syslog = SyslogFormat(ident: ident, facility: facility)
    }

    private var syslog = SyslogFormat(ident: "php-fpm", facility: Int(LOG_DAEMON))

    /// Switches to `destination`; stderr still gets lines from NOTICE on until ``finishStartup()``.
    public func use(_ destination: Destination) {
        self.destination = isPinnedToStandardError ? .standardError : destination
        if case .standardError = self.destination {} else { outlet = nil }
    }

    // MARK: - Outlets

    /// Where `destination` leads, unless that is stderr.
    private var outlet: LogOutlet?
    private var standardError: LogOutlet?
    /// Called when lines begin to wait for their reader: ``flush()`` is to be called until it returns true.
    public var onWaiting: () -> Void = {}

    /// Descriptors whose readers are waited for; borrowed.
    public var waiting: [CInt] {
        [outlet, standardError].compactMap { $0 }.filter(\.isWaiting).map(\.descriptor)
    }

    /// Writes what waits for a slow reader, as far as it is taken now.
    ///
    /// - Returns: Whether nothing waits any more.
    @discardableResult
    public func flush() -> Bool {
        let isDone = outlet?.flush() ?? true
        return (standardError?.flush() ?? true) && isDone
    }

    /// In a forked process: what waits is the other process's to write.
    public func abandonWaiting() {
        outlet = nil
        standardError = nil
    }

    private func put(_ line: [UInt8], _ way: LogOutlet) {
        way.write(line)
        if way.isWaiting { onWaiting() }
    }

    private func toStandardError(_ line: [UInt8]) {
        let way =
            standardError
            ?? LogOutlet(
                STDERR_FILENO,
                keeping: nil,
                describeLoss: { [weak self] in self?.lossLine($0) ?? [] }
            )
        standardError = way
        put(line, way)
    }

    private func toFile(_ line: [UInt8], _ file: SharedDescriptor) {
        let way =
            outlet
            ?? LogOutlet(
                file.rawValue,
                keeping: file,
                describeLoss: { [weak self] in self?.lossLine($0) ?? [] }
            )
        outlet = way
        put(line, way)
    }

    private func lossLine(_ count: Int) -> [UInt8] { format(.warning, lossMessage(count)) }

    private func lossMessage(_ count: Int) -> ByteString {
        "\(count) log line(s) lost: what reads or stores this log did not take them"
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

    /// Whether there is a stderr of whoever started the service: no daemon.
    public var hasOriginalStandardError: Bool { keepsOriginal }

    /// A daemon lets go of the stderr of whoever started it.
    public func releaseStandardError() {
        keepsOriginal = false
        originalStandardError = nil
        standardError = nil
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
        standardError = nil
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

    /// Is told of each message, whatever its severity; nil: nobody listens.
    public var observer: ((LogLevel, ByteString) -> Void)?

    /// Writes one line if its severity passes ``level``.
    public func write(_ severity: LogLevel, _ message: ByteString) {
        observer?(severity, message)
        guard severity >= level else { return }
        if case .syslog = destination {
            writeToSyslog(severity, message)
            if !alsoStandardError { return }
        }
        let line = format(severity, message)
        switch destination {
        case .standardError: toStandardError(line)
        case .file(_, let file):
            toFile(line, file)
            if alsoStandardError, severity >= .notice { toStandardError(line) }
        case .syslog: if severity >= .notice { toStandardError(line) }
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
        case .standardError: toStandardError(line)
        case .file(_, let file): toFile(line, file)
        case .syslog:
            let (severity, message) = SyslogFormat.parse(line)
            writeToSyslog(severity, message)
        }
    }

    /// Writes one line of another process's output if `severity` passes ``level``.
    public func writeOutput(_ severity: LogLevel, _ message: ByteString) {
        observer?(severity, message)
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

    private func writeToSyslog(_ severity: LogLevel, _ message: ByteString) {
        let way =
            outlet
            ?? LogOutlet(
                connecting: {
                    let socket = cepoll_connect_log()
                    return socket < 0 ? nil : SharedDescriptor(adopting: socket)
                },
                describeLoss: { [weak self] count in
                    guard let self else { return [] }
                    return syslog.datagram(.warning, lossMessage(count))
                }
            )
        outlet = way
        put(syslog.datagram(severity, message), way)
    }
}

@available(*, unavailable)
extension Log: Sendable {}
