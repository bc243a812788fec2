public import Configuration

/// The text of log lines, as php-fpm writes them.
public enum LogLine {
    /// Longest own message, in bytes with its newline.
    public static let maximumMessage = 2048

    /// `[22-Nov-2026 11:44:40] NOTICE: text` and a newline; a line longer than ``maximumMessage`` is cut with `...`.
    ///
    /// - Parameters:
    ///   - time: The formatted time, without brackets; nil leaves it out (worker lines).
    ///   - level: Its severity.
    ///   - message: The text.
    ///   - limit: `log_limit`: what a line that must be cut is cut to, in bytes with the newline.
    /// - Returns: The line.
    public static func format(time: String?, level: LogLevel, message: ByteString, limit: Int) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(message.count + 48)
        if let time {
            line.append(UInt8(ascii: "["))
            line.append(contentsOf: time.utf8)
            line.append(contentsOf: "] ".utf8)
        }
        line.append(contentsOf: level.name.utf8)
        line.append(contentsOf: ": ".utf8)
        line.append(contentsOf: message.bytes)
        if line.count + 1 > maximumMessage {
            line.removeSubrange((min(max(limit, 4), maximumMessage) - 4)...)
            line.append(contentsOf: "...".utf8)
        }
        line.append(UInt8(ascii: "\n"))
        return line
    }
}
