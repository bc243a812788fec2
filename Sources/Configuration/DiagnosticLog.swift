/// Collects the lines of a load, dropping those below the log level in force at that moment.
struct DiagnosticLog: Sendable {
    private(set) var lines: [Diagnostic] = []

    /// `log_level` from the moment php-fpm applies it; `notice` until then.
    var threshold = LogLevel.notice
    /// Whether `error_log` is open.
    var isErrorLogOpen = false

    mutating func report(
        _ level: LogLevel,
        _ message: ByteString,
        hint: ByteString? = nil,
        isVerbatim: Bool = false
    ) {
        guard level >= threshold else { return }
        lines.append(
            Diagnostic(
                level: level,
                message: message,
                isAfterErrorLogOpened: isErrorLogOpen,
                hint: hint,
                isVerbatim: isVerbatim
            )
        )
    }

    /// Reports a line that PHP itself prints on stderr, whatever the level.
    mutating func reportRaw(_ message: ByteString, hint: ByteString? = nil) {
        lines.append(
            Diagnostic(
                level: .error,
                message: message,
                isRaw: true,
                isAfterErrorLogOpened: isErrorLogOpen,
                hint: hint
            )
        )
    }
}
