internal import CEpoll
internal import CSystemd
public import Configuration
internal import Glibc
public import Syscalls

/// The master's log: one line, one `write(2)`, and never a wait for whoever reads it (``LogOutlet``).
///
/// Several lines are one write only where they come together from another process (``together(_:)``).
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
        /// journald, in its own protocol.
        case journal
    }

    /// The form of lines in files and on stderr.
    public enum Format: Sendable {
        /// php-fpm's.
        case text
        /// A JSON object each.
        case json
    }

    /// Least severity that is written.
    public var level = LogLevel.notice
    /// `log_limit`.
    public var limit = 1024
    /// `log_format`.
    public var format = Format.text
    /// Whether lines have fields: then output of other processes is given line by line, undecorated
    /// (``writeOutput(_:_:_:)``).
    public var isStructured: Bool {
        switch destination {
        case .standardError, .file: format == .json
        case .syslog: false
        case .journal: true
        }
    }
    /// `log_buffering`: kept for its meaning to worker output; lines are always one write.
    public private(set) var destination = Destination.standardError
    private var alsoStandardError = true

    /// A log to stderr.
    public init() {}

    /// Prepares for syslog(3) with the identity of `syslog.ident` and `syslog.facility`.
    ///
    /// The C library is told as well, for what writes there on its own.
    public func openSyslog(ident: ByteString, facility: Int) {
        cepoll_open_syslog(ident.cString, CInt(truncatingIfNeeded: facility))
        syslog = SyslogFormat(ident: ident, facility: facility)
    }

    /// Why nobody would get lines for syslog now; nil if somebody would.
    public var syslogProblem: ByteString? {
        let socket = cepoll_connect_log()
        guard socket >= 0 else { return ByteString(describe(currentErrno)) }
        closeDescriptor(socket)
        return nil
    }

    private var syslog = SyslogFormat(ident: "php-fpm", facility: Int(LOG_DAEMON))

    /// Switches to `destination`; stderr still gets lines from NOTICE on until ``finishStartup()``.
    public func use(_ destination: Destination) {
        let before = self.destination
        self.destination = isPinnedToStandardError ? .standardError : destination
        if case .standardError = self.destination {} else { leaveOutlet(of: before) }
    }

    /// Another one follows, which puts out the lines that wait, or tells of them where they have another form.
    private func leaveOutlet(of before: Destination) {
        guard let former = outlet else { return }
        former.flush()
        let successor: LogOutlet
        switch (before, destination) {
        case (.file, .file(_, let file)): successor = fileOutlet(file)
        case (.syslog, .syslog): successor = syslogOutlet()
        case (.journal, .journal): successor = journalOutlet()
        default:
            outlet = nil
            unsaidLosses += former.missing
            return
        }
        successor.succeed(former)
        outlet = successor
        if !successor.flush() { onWaiting() }
    }

    /// Lines that former outlets have lost, and nobody has been told of.
    private var unsaidLosses = 0

    /// The outlet for `destination` from now on.
    private func enter(_ way: LogOutlet) -> LogOutlet {
        if way === outlet { return way }
        way.countLost(unsaidLosses)
        unsaidLosses = 0
        outlet = way
        return way
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
        guard !gathers else { return way.gather(line) }
        way.write(line)
        if way.isWaiting { onWaiting() }
    }

    private var gathers = false

    /// Writes the lines of `body` together, as far as where they go takes several at once: files, pipes and terminals do.
    public func together(_ body: () -> Void) {
        flush()
        gathers = true
        body()
        gathers = false
        for way in [outlet, standardError].compactMap({ $0 }) where !way.flush() { onWaiting() }
    }

    /// stderr is connected to journald.
    private var prefixesPriority = false

    private func isJournal(_ descriptor: CInt) -> Bool {
        getenv("JOURNAL_STREAM").map { csystemd_is_journal_stream(descriptor, $0) == 1 } ?? false
    }

    private func toStandardError(_ line: [UInt8], _ severity: LogLevel) {
        let way: LogOutlet
        if let standardError {
            way = standardError
        } else {
            way = LogOutlet(
                STDERR_FILENO,
                keeping: nil,
                describeLoss: { [weak self] in self?.lossLine($0) ?? [] }
            )
            standardError = way
            prefixesPriority = isJournal(STDERR_FILENO)
        }
        // journald takes the priority from there, and the number off.
        put(prefixesPriority ? Array("<\(severity.priority)>".utf8) + line : line, way)
    }

    private func toFile(_ line: [UInt8], _ file: SharedDescriptor) {
        put(line, enter(outlet ?? fileOutlet(file)))
    }

    private func fileOutlet(_ file: SharedDescriptor) -> LogOutlet {
        LogOutlet(
            file.rawValue,
            keeping: file,
            describeLoss: { [weak self] in self?.lossLine($0) ?? [] }
        )
    }

    private func lossLine(_ count: Int) -> [UInt8] { format(.warning, lossMessage(count), nil) }

    private func lossMessage(_ count: Int) -> ByteString {
        "\(count) log line(s) lost: what reads or stores this log did not take them"
    }

    /// Lines go to stderr only, whatever the configuration says (`-O`, or a terminal in the foreground).
    public private(set) var isPinnedToStandardError = false

    /// Pins the log to stderr; a destination that is used already, or later, is not written.
    public func pinToStandardError() {
        isPinnedToStandardError = true
        alsoStandardError = false
        destination = .standardError
        outlet = nil
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

    /// Makes stderr of this process the log file, so that what libraries write there is not lost; with syslog(3) and
    /// the journal it leads nowhere.
    public func tieStandardError() {
        guard !isPinnedToStandardError, !alsoStandardError else { return }
        switch destination {
        case .standardError: return
        case .file(_, let file): replaceStandardError(file.rawValue)
        case .syslog, .journal:
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
    public func write(_ severity: LogLevel, _ message: ByteString, _ context: LogContext? = nil) {
        observer?(severity, message)
        guard severity >= level else { return }
        switch destination {
        case .standardError: toStandardError(format(severity, message, context), severity)
        case .file(_, let file):
            let line = format(severity, message, context)
            toFile(line, file)
            if alsoStandardError, severity >= .notice { toStandardError(line, severity) }
        case .syslog:
            writeToSyslog(severity, message)
            copyToStandardError(severity, message, context)
        case .journal:
            writeToJournal(severity, message, context)
            // Not twice into the same journal.
            if !isJournal(STDERR_FILENO) { copyToStandardError(severity, message, context) }
        }
    }

    private func copyToStandardError(_ severity: LogLevel, _ message: ByteString, _ context: LogContext?) {
        guard alsoStandardError, severity >= .notice else { return }
        toStandardError(format(severity, message, context), severity)
    }

    private func format(_ severity: LogLevel, _ message: ByteString, _ context: LogContext?) -> [UInt8] {
        switch format {
        case .text: LogLine.format(time: timestamp(), level: severity, message: message, limit: limit)
        case .json:
            JSONLine.format(
                microseconds: cepoll_realtime_us(),
                level: severity,
                message: message,
                context: context
            )
        }
    }

    // MARK: - Output of other processes

    /// A line of another process.
    private enum Output {
        /// Finished, with its newline.
        case raw([UInt8])
        case line(LogLevel, ByteString, LogContext?)
    }

    /// What other processes wrote while the service starts.
    private var held: [Output] = []
    private var holdsOutput = false
    private static let mostHeld = 256

    /// Keeps the output of other processes back: readers of the log look for start-up's own lines first.
    public func holdOutput() { holdsOutput = true }

    /// Writes what was kept back, and keeps nothing back any more.
    public func releaseOutput() {
        guard holdsOutput else { return }
        holdsOutput = false
        for output in held { write(output) }
        held = []
    }

    /// Writes bytes that are a finished line already (worker output).
    public func writeRaw(_ line: [UInt8]) { write(.raw(line)) }

    /// Writes one line of another process's output if `severity` passes ``level``.
    public func writeOutput(_ severity: LogLevel, _ message: ByteString, _ context: LogContext? = nil) {
        observer?(severity, message)
        guard severity >= level else { return }
        write(.line(severity, message, context))
    }

    private func write(_ output: Output) {
        if holdsOutput {
            held.append(output)
            if held.count >= Self.mostHeld { releaseOutput() }
            return
        }
        if case .raw(let line) = output, format == .text, case .file(_, let file) = destination {
            return toFile(line, file)
        }
        let (severity, message, context): (LogLevel, ByteString, LogContext?)
        switch output {
        case .line(let level, let text, let facts): (severity, message, context) = (level, text, facts)
        case .raw(let line):
            // Made for plain text, before the log was anything else.
            let (level, text) = SyslogFormat.parse(line)
            (severity, message, context) = (level, text, nil)
        }
        switch destination {
        case .standardError: toStandardError(bytes(of: output, severity, message, context), severity)
        case .file(_, let file): toFile(bytes(of: output, severity, message, context), file)
        case .syslog: writeToSyslog(severity, message)
        case .journal: writeToJournal(severity, message, context)
        }
    }

    private func bytes(
        of output: Output,
        _ severity: LogLevel,
        _ message: ByteString,
        _ context: LogContext?
    ) -> [UInt8] {
        if case .raw(let line) = output, format == .text { return line }
        return format(severity, message, context)
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
    public func debug(
        _ message: @autoclosure () -> ByteString,
        _ context: @autoclosure () -> LogContext? = nil
    ) {
        if level <= .debug { write(.debug, message(), context()) }
    }
    /// NOTICE: life cycle.
    public func notice(_ message: ByteString, _ context: LogContext? = nil) {
        write(.notice, message, context)
    }
    /// WARNING: capacity, or a lost request.
    public func warning(_ message: ByteString, _ context: LogContext? = nil) {
        write(.warning, message, context)
    }
    /// ERROR: someone should act.
    public func error(_ message: ByteString, _ context: LogContext? = nil) { write(.error, message, context) }
    /// ALERT: the service cannot run.
    public func alert(_ message: ByteString, _ context: LogContext? = nil) { write(.alert, message, context) }

    private func writeToSyslog(_ severity: LogLevel, _ message: ByteString) {
        put(syslog.datagram(severity, message), enter(outlet ?? syslogOutlet()))
    }

    private func syslogOutlet() -> LogOutlet {
        LogOutlet(
            connecting: {
                let socket = cepoll_connect_log()
                return socket < 0 ? nil : SharedDescriptor(adopting: socket)
            },
            describeLoss: { [weak self] count in
                guard let self else { return [] }
                return syslog.datagram(.warning, lossMessage(count))
            }
        )
    }

    // MARK: - Journal

    /// Where journald listens; one in a container has the same.
    public static let journalPath = "/run/systemd/journal/socket"

    private func writeToJournal(_ severity: LogLevel, _ message: ByteString, _ context: LogContext?) {
        put(entry(severity, message, context), enter(outlet ?? journalOutlet()))
    }

    private func journalOutlet() -> LogOutlet {
        LogOutlet(
            connecting: {
                let socket = csystemd_connect(Self.journalPath)
                return socket < 0 ? nil : SharedDescriptor(adopting: socket)
            },
            describeLoss: { [weak self] count in
                guard let self else { return [] }
                return entry(.warning, lossMessage(count), nil)
            }
        )
    }

    private func entry(_ severity: LogLevel, _ message: ByteString, _ context: LogContext?) -> [UInt8] {
        JournalEntry(message, priority: severity.priority, identifier: "fpmd", context: context).bytes
    }
}

@available(*, unavailable)
extension Log: Sendable {}
