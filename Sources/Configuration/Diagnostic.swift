/// Severity of a log line, in php-fpm's five steps from least to most severe.
public enum LogLevel: Int, Sendable, CaseIterable, Comparable {
    case debug = 1
    case notice
    case warning
    case error
    case alert

    /// The capitals that begin a log line, like `WARNING`.
    public var name: String {
        switch self {
        case .debug: "DEBUG"
        case .notice: "NOTICE"
        case .warning: "WARNING"
        case .error: "ERROR"
        case .alert: "ALERT"
        }
    }

    /// Whether `left` is less severe.
    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// One line that loading a configuration has to say, in php-fpm's words.
public struct Diagnostic: Hashable, Sendable {
    /// Severity; lines below `log_level` are not produced at all.
    public var level: LogLevel

    /// The text after `LEVEL: `; may end in a newline of its own (the test success line does).
    public var message: ByteString

    /// Print `message` as it is, without time stamp and level: PHP's own parser error.
    public var isRaw: Bool

    /// Whether `error_log` was open by then, so that the line goes there as well as to stderr.
    public var isAfterErrorLogOpened: Bool

    /// What to do about it, as far as that can be told: the remedy, or the nearest known name.
    public var hint: ByteString?

    /// The line is php-fpm's to the letter: the hint is for those who ask (`fpmctl doctor`), and not in it.
    public var isVerbatim: Bool

    /// The whole line: the message, and after it the hint.
    public var text: ByteString {
        guard let hint, !isVerbatim else { return message }
        return "\(message); \(hint)"
    }

    /// Creates a line; by default an ordinary one from before the error log was opened.
    public init(
        level: LogLevel,
        message: ByteString,
        isRaw: Bool = false,
        isAfterErrorLogOpened: Bool = false,
        hint: ByteString? = nil,
        isVerbatim: Bool = false
    ) {
        self.level = level
        self.message = message
        self.isRaw = isRaw
        self.isAfterErrorLogOpened = isAfterErrorLogOpened
        self.hint = hint
        self.isVerbatim = isVerbatim
    }
}
