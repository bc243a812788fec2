/// The head of an answer.
public struct HTTPResponseHead: Sendable {
    /// How the client knows where the body ends.
    public enum Body: Sendable, Equatable {
        /// So many bytes.
        case length(Int)
        /// Pieces with their length in front; not for HTTP/1.0.
        case chunked
        /// It ends with the connection.
        case untilClosed
    }

    /// Status and phrase, as `200 OK`.
    public var status: StaticString
    /// Media type of the body.
    public var contentType: StaticString
    /// Where the body ends.
    public var body: Body
    /// Whether the connection serves another request.
    public var keepsConnection: Bool
    /// Further fields, each with its name.
    public var fields: [StaticString] = []

    /// Makes a head.
    public init(_ status: StaticString, contentType: StaticString, body: Body, keepsConnection: Bool) {
        self.status = status
        self.contentType = contentType
        self.body = body
        self.keepsConnection = keepsConnection && body != .untilClosed
    }

    /// The bytes up to the body; nothing of it is to be kept or guessed at by the client.
    ///
    /// - Parameter epochSeconds: The time, for `Date`.
    /// - Returns: Status line, fields and the empty line.
    public func bytes(at epochSeconds: Int64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append("HTTP/1.1 ")
        bytes.append(status)
        bytes.append("\r\nDate: ")
        bytes.append(contentsOf: httpDate(epochSeconds).utf8)
        bytes.append("\r\nContent-Type: ")
        bytes.append(contentType)
        switch body {
        case .length(let length):
            bytes.append("\r\nContent-Length: ")
            bytes.append(contentsOf: String(length).utf8)
        case .chunked: bytes.append("\r\nTransfer-Encoding: chunked")
        case .untilClosed: break
        }
        bytes.append("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n")
        for field in fields {
            bytes.append(field)
            bytes.append("\r\n")
        }
        if !keepsConnection { bytes.append("Connection: close\r\n") }
        bytes.append("\r\n")
        return bytes
    }

    /// A piece of a chunked body; an empty one would end it.
    public static func chunk(_ piece: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(piece.count + 16)
        bytes.append(contentsOf: String(piece.count, radix: 16).utf8)
        bytes.append("\r\n")
        bytes.append(contentsOf: piece)
        bytes.append("\r\n")
        return bytes
    }

    /// The end of a chunked body.
    public static var lastChunk: [UInt8] { Array("0\r\n\r\n".utf8) }
}

/// A time as `Sun, 06 Nov 1994 08:49:37 GMT`; times before 1970 are shown as its begin.
public func httpDate(_ epochSeconds: Int64) -> String {
    let seconds = max(0, min(epochSeconds, 253_402_300_799))
    let days = Int(seconds / 86_400)
    let time = Int(seconds % 86_400)
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    // Counted in years that begin in March, so that the day of leap comes last.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 2 : monthFromMarch - 10
    let year = yearOfEra + era * 400 + (month < 2 ? 1 : 0)
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let clock = "\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))"
    return "\(weekdays[days % 7]), \(two(day)) \(months[month]) \(year) \(clock) GMT"
}

extension [UInt8] {
    mutating func append(_ text: StaticString) { append(contentsOf: text.description.utf8) }
}
