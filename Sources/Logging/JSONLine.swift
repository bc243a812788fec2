public import Configuration

/// A line of the log as one JSON object.
///
/// Pure.
public enum JSONLine {
    private static let digits = Array("0123456789abcdef".utf8)

    /// `{"time":"2026-11-25T08:14:05.123456Z","level":"error","message":"text","pool":"www",…}` and a newline.
    ///
    /// - Parameters:
    ///   - microseconds: Since the epoch.
    ///   - level: Its severity, in small letters.
    ///   - message: The text; bytes that are no UTF-8 are shown as U+FFFD.
    ///   - context: Further fields.
    /// - Returns: The line with its newline.
    public static func format(
        microseconds: Int64,
        level: LogLevel,
        message: ByteString,
        context: LogContext?
    ) -> [UInt8] {
        var line = Array(
            "{\"time\":\"\(time(microseconds))\",\"level\":\"\(level.name.lowercased())\",\"message\":".utf8
        )
        line.reserveCapacity(line.count + message.count + 128)
        quote(message, into: &line)
        for (name, value) in context?.fields ?? [] {
            line += Array(",\"\(name.json)\":".utf8)
            if name.isNumber, value.isAllDigits, value.bytes.first != UInt8(ascii: "0") || value.count == 1 {
                line += value.bytes
            } else {
                quote(value, into: &line)
            }
        }
        line += Array("}\n".utf8)
        return line
    }

    /// RFC 3339, in UTC.
    static func time(_ microseconds: Int64) -> String {
        let (seconds, fraction) = floorDivide(microseconds, 1_000_000)
        let (days, second) = floorDivide(seconds, 86400)
        // Days from 1 March of year 0: leap days are last in their years.
        let (era, dayOfEra) = floorDivide(days + 719_468, 146_097)
        let year = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        let civilMonth = month < 10 ? month + 3 : month - 9
        let civilYear = era * 400 + year + (civilMonth <= 2 ? 1 : 0)
        return "\(padded(civilYear, 4))-\(padded(civilMonth, 2))-\(padded(day, 2))T"
            + "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2)).\(padded(fraction, 6))Z"
    }

    private static func floorDivide(_ number: Int64, _ divisor: Int64) -> (quotient: Int64, remainder: Int64)
    {
        let remainder = ((number % divisor) + divisor) % divisor
        return ((number - remainder) / divisor, remainder)
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }

    /// A JSON string: always valid UTF-8, control characters escaped.
    static func quote(_ text: ByteString, into line: inout [UInt8]) {
        line.append(UInt8(ascii: "\""))
        for byte in String(decoding: text.bytes, as: UTF8.self).utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): line += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "\n"): line += Array("\\n".utf8)
            case UInt8(ascii: "\r"): line += Array("\\r".utf8)
            case UInt8(ascii: "\t"): line += Array("\\t".utf8)
            case 0..<32, 127:
                line += Array("\\u00".utf8)
                line += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: line.append(byte)
            }
        }
        line.append(UInt8(ascii: "\""))
    }
}
