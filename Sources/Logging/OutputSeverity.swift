public import Configuration

/// How severe a line of a worker's output is, by how PHP's own messages begin.
///
/// Pure. For the journal and JSON; in plain text such lines are warnings, as php-fpm has them.
public enum OutputSeverity {
    private static let beginnings: [(text: [UInt8], level: LogLevel)] = [
        beginning("PHP Fatal error:", .error), beginning("PHP Parse error:", .error),
        beginning("PHP Recoverable fatal error:", .error), beginning("PHP Core error:", .error),
        beginning("PHP Compile error:", .error), beginning("PHP Notice:", .notice),
        beginning("PHP Deprecated:", .notice), beginning("PHP Strict Standards:", .notice),
        beginning("PHP Warning:", .warning), beginning("NOTICE: ", .notice), beginning("WARNING: ", .warning),
        beginning("ERROR: ", .error), beginning("ALERT: ", .alert),
    ]

    private static func beginning(_ text: String, _ level: LogLevel) -> (text: [UInt8], level: LogLevel) {
        (Array(text.utf8), level)
    }

    private static let label = Array("NOTICE: ".utf8)
    private static let prefix = Array("PHP message: ".utf8)

    /// `warning` for what is not known.
    public static func of(_ text: ByteString) -> LogLevel {
        var rest = text.bytes[...]
        // php-fpm's way to hand on what error_log() and PHP's errors say; without a label where notices are hidden.
        let isLabelled = rest.starts(with: label + prefix)
        if isLabelled { rest = rest.dropFirst(label.count) }
        if rest.starts(with: prefix) { rest = rest.dropFirst(prefix.count) }
        return beginnings.first { rest.starts(with: $0.text) }?.level ?? (isLabelled ? .notice : .warning)
    }
}
