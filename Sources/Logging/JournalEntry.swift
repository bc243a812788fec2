public import Configuration

/// A datagram of the journal's native protocol: one entry.
///
/// Pure. Source: systemd's "Native Journal Protocol".
public struct JournalEntry {
    /// The finished bytes.
    public private(set) var bytes: [UInt8] = []

    /// Longest message; journald's own limit for lines is the same.
    public static let longestMessage = 48 << 10

    /// An entry with the fields that all of ours have.
    ///
    /// - Parameters:
    ///   - message: MESSAGE=, cut at ``longestMessage``.
    ///   - priority: 0 (emergency) to 7 (debug), as syslog's.
    ///   - identifier: SYSLOG_IDENTIFIER=.
    ///   - context: Further fields.
    public init(_ message: ByteString, priority: Int, identifier: String, context: LogContext?) {
        bytes.reserveCapacity(message.count + 256)
        append("PRIORITY", Array(String(priority).utf8)[...])
        append("SYSLOG_IDENTIFIER", Array(identifier.utf8)[...])
        append("SYSLOG_FACILITY", [UInt8(ascii: "3")])
        for (name, value) in context?.fields ?? [] { append(name.journal, value.bytes[...]) }
        append("MESSAGE", message.bytes.prefix(Self.longestMessage))
    }

    /// `NAME=value`, or, if the value has newlines, the name, its length as 64 bits and the bytes.
    private mutating func append(_ name: StaticString, _ value: ArraySlice<UInt8>) {
        bytes += Array(name.description.utf8)
        if value.contains(UInt8(ascii: "\n")) {
            bytes.append(UInt8(ascii: "\n"))
            var count = UInt64(value.count)
            for _ in 0..<8 {
                bytes.append(UInt8(truncatingIfNeeded: count))
                count >>= 8
            }
        } else {
            bytes.append(UInt8(ascii: "="))
        }
        bytes += value
        bytes.append(UInt8(ascii: "\n"))
    }
}

extension LogLevel {
    /// syslog's number, which the journal's PRIORITY= is too.
    public var priority: Int {
        switch self {
        case .debug: 7
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .alert: 1
        }
    }
}
