/// The forms of the status page.
public enum StatusFormat: Sendable, CaseIterable {
    case text
    case html
    case xml
    case json
    case openMetrics

    /// The media type to send.
    ///
    /// For `text/…` PHP itself appends `charset` from `default_charset`.
    public var contentType: StaticString {
        switch self {
        case .text: "text/plain"
        case .html: "text/html"
        case .xml: "text/xml"
        case .json: "application/json"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }
}

/// What the query string of a status request asks for.
public struct StatusQuery: Equatable, Sendable {
    /// The form wanted; ``StatusFormat/text`` when nothing is said.
    public var format: StatusFormat
    /// Whether the workers are wanted too.
    public var isFull: Bool
    /// Whether the figures that php-fpm does not have are wanted too, in JSON.
    public var hasFigures: Bool
    /// Whether the live page is wanted, which is HTML.
    public var isDashboard = false

    /// Makes a query.
    public init(format: StatusFormat = .text, isFull: Bool = false, hasFigures: Bool = false) {
        self.format = format
        self.isFull = isFull
        self.hasFigures = hasFigures
    }

    /// Reads a query string as `$_GET` would be built from it.
    ///
    /// A key asks for every word it is a prefix of, so `?j`, `?json` and `?json=1` are the same. html goes before xml,
    /// json and openmetrics. php-fpm does not know `dashboard` and `figures`, which must be whole.
    public init(_ query: Span<UInt8>) {
        self.init()
        var wanted: (html: Bool, xml: Bool, json: Bool, openMetrics: Bool) = (false, false, false, false)
        var start = 0
        while start < query.count {
            var end = start
            while end < query.count, query[end] != UInt8(ascii: "&") { end += 1 }
            let key = Self.key(query.extracting(start..<end))
            if !key.isEmpty {
                if key.isPrefix(of: "html") { wanted.html = true }
                if key.isPrefix(of: "xml") { wanted.xml = true }
                if key.isPrefix(of: "json") { wanted.json = true }
                if key.isPrefix(of: "openmetrics") { wanted.openMetrics = true }
                if key.isPrefix(of: "full") { isFull = true }
                if key == Array("figures".utf8) { hasFigures = true }
                if key == Array("dashboard".utf8) { isDashboard = true }
            }
            start = end + 1
        }
        if wanted.html || isDashboard {
            format = .html
        } else if wanted.xml {
            format = .xml
        } else if wanted.json {
            format = .json
        } else if wanted.openMetrics {
            format = .openMetrics
        }
    }

    /// A person's `?html` is the live page.
    ///
    /// Browsers say that they take HTML. Programs that read php-fpm's page do not, and get that.
    ///
    /// - Parameter accept: The header `Accept` of the request.
    public mutating func adapt(toAccept accept: Span<UInt8>) {
        guard format == .html, accept.contains(Array("text/html".utf8)) else { return }
        isDashboard = true
    }

    /// The name PHP gives the variable of one `key=value`: decoded, blanks in front dropped, ended by NUL or
    /// by the subscript of an array.
    ///
    /// A bracket that is never closed becomes an underscore, which no word has.
    private static func key(_ pair: Span<UInt8>) -> [UInt8] {
        var key: [UInt8] = []
        var position = 0
        while position < pair.count, pair[position] != UInt8(ascii: "=") {
            var byte = pair[position]
            position += 1
            if byte == UInt8(ascii: "+") {
                byte = UInt8(ascii: " ")
            } else if byte == UInt8(ascii: "%"), position + 1 < pair.count,
                let high = pair[position].hexValue, let low = pair[position + 1].hexValue
            {
                byte = high << 4 | low
                position += 2
            }
            if byte == 0 { break }
            if byte == UInt8(ascii: " "), key.isEmpty { continue }
            key.append(byte)
        }
        if let bracket = key.firstIndex(of: UInt8(ascii: "[")), bracket > 0,
            key[bracket...].contains(UInt8(ascii: "]"))
        {
            key.removeSubrange(bracket...)
        }
        return key
    }
}

extension [UInt8] {
    fileprivate func isPrefix(of word: StaticString) -> Bool {
        word.withUTF8Buffer { buffer in
            let word = unsafe buffer.span
            guard count <= word.count else { return false }
            for position in indices where self[position] != word[position] { return false }
            return true
        }
    }
}

extension UInt8 {
    fileprivate var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension Span<UInt8> {
    fileprivate func contains(_ word: [UInt8]) -> Bool {
        guard count >= word.count else { return false }
        return (0...(count - word.count)).contains { start in
            word.indices.allSatisfy { self[start + $0] == word[$0] }
        }
    }
}
