/// Reads requests from what a connection has received: HTTP/1.0 and 1.1, GET and HEAD, no bodies.
///
/// Strict: what RFC 9112 calls malformed is refused, and so is what it tolerates for old clients, except for empty
/// lines in front of a request. A refusal ends the connection, so that nothing that follows can be taken for a request.
public enum HTTPRequestParser {
    /// Bytes of a request line without its end.
    public static let requestLineLimit = 4096
    /// Bytes of a request, header included.
    public static let requestLimit = 16 << 10
    /// Number of header fields.
    public static let fieldLimit = 100

    /// What has been received so far amounts to this.
    public enum Outcome: Equatable, Sendable {
        /// The beginning of a request; ask again when there is more.
        case needMore
        /// A whole request, and how many bytes it took.
        case request(HTTPRequest, consumed: Int)
        /// Answer with this, and close.
        case refused(HTTPRefusal)
    }

    /// Looks at everything received that no earlier request has consumed.
    public static func parse(_ bytes: Span<UInt8>) -> Outcome {
        do throws(HTTPRefusal) {
            var reader = LineReader()
            // Some clients sent an empty line after a body.
            while reader.skipEmptyLine(of: bytes) {}
            guard
                let requestLine = try reader.line(of: bytes, limit: requestLineLimit, tooLong: .targetTooLong)
            else {
                return .needMore
            }
            var head = try RequestHead(bytes.extracting(requestLine))
            while true {
                guard let line = try reader.line(of: bytes, limit: requestLimit, tooLong: .headerTooLarge)
                else {
                    return .needMore
                }
                if line.isEmpty { break }
                try head.add(bytes.extracting(line))
            }
            return .request(try head.request(), consumed: reader.position)
        } catch { return .refused(error) }
    }
}

/// Lines that end in CR LF.
private struct LineReader {
    var position = 0

    mutating func skipEmptyLine(of bytes: Span<UInt8>) -> Bool {
        guard bytes.count - position >= 2, bytes[position] == .carriageReturn,
            bytes[position + 1] == .lineFeed,
            position < 16
        else { return false }
        position += 2
        return true
    }

    /// The next line without its end; nil if it is not there yet.
    mutating func line(
        of bytes: Span<UInt8>,
        limit: Int,
        tooLong: HTTPRefusal
    ) throws(HTTPRefusal) -> Range<Int>? {
        let start = position
        var end = start
        while end < bytes.count, bytes[end] != .carriageReturn {
            // The only control that text may have is the tabulator.
            guard bytes[end] >= 0x20 && bytes[end] != 0x7f || bytes[end] == .tabulator else {
                throw .badRequest
            }
            end += 1
            guard end - start <= limit, end <= HTTPRequestParser.requestLimit else { throw tooLong }
        }
        guard end < bytes.count else { return nil }
        guard end + 1 < bytes.count else { return nil }
        guard bytes[end + 1] == .lineFeed else { throw .badRequest }
        position = end + 2
        return start..<end
    }
}

/// What the lines have said.
private struct RequestHead {
    var isHead: Bool
    var path: [UInt8]
    var query: [UInt8]
    var minorVersion: UInt8
    var refusesMethod: Bool
    var hosts = 0
    var fields = 0
    var closes = false
    var keepsAlive = false
    var acceptsOpenMetrics = false
    var hasBody = false

    init(_ line: Span<UInt8>) throws(HTTPRefusal) {
        let words = line.words
        guard words.count == 3 else { throw .badRequest }
        let method = line.extracting(words[0])
        let target = line.extracting(words[1])
        let version = line.extracting(words[2])
        guard method.isToken, !target.isEmpty else { throw .badRequest }
        guard version.count == 8, version.extracting(0..<5).equals("HTTP/"), version[5].isDigit,
            version[6] == UInt8(ascii: "."), version[7].isDigit
        else { throw .badRequest }
        guard version[5] == UInt8(ascii: "1") else { throw .versionNotSupported }
        minorVersion = version[7] == UInt8(ascii: "0") ? 0 : 1
        isHead = method.equals("HEAD")
        refusesMethod = !isHead && !method.equals("GET")
        (path, query) = try Self.split(target, refusesMethod: refusesMethod)
    }

    /// Path and query of a target in origin or absolute form.
    private static func split(
        _ target: Span<UInt8>,
        refusesMethod: Bool
    ) throws(HTTPRefusal) -> (path: [UInt8], query: [UInt8]) {
        for index in target.indices where !(0x21...0x7e).contains(target[index]) { throw .badRequest }
        var start = 0
        if target.count > 7, target.extracting(0..<7).equalsIgnoringCase("http://") {
            start = 7
            while start < target.count, target[start] != UInt8(ascii: "/"), target[start] != UInt8(ascii: "?")
            {
                start += 1
            }
            guard start > 7 else { throw .badRequest }
            if start == target.count { return ([UInt8(ascii: "/")], []) }
        }
        if target[start] != UInt8(ascii: "/"), target[start] != UInt8(ascii: "?") {
            // `*`, and an authority for CONNECT: fit for other methods, which are refused for that.
            guard refusesMethod else { throw .badRequest }
            return ([], [])
        }
        guard start > 0 || target[start] == UInt8(ascii: "/") else { throw .badRequest }
        var end = start
        while end < target.count, target[end] != UInt8(ascii: "?") { end += 1 }
        var path: [UInt8] = []
        for index in start..<end { path.append(target[index]) }
        var query: [UInt8] = []
        if end < target.count {
            for index in (end + 1)..<target.count { query.append(target[index]) }
        }
        guard !path.contains(UInt8(ascii: "#")), !query.contains(UInt8(ascii: "#")) else { throw .badRequest }
        return (path.isEmpty ? [UInt8(ascii: "/")] : path, query)
    }

    /// One header field.
    mutating func add(_ line: Span<UInt8>) throws(HTTPRefusal) {
        fields += 1
        guard fields <= HTTPRequestParser.fieldLimit else { throw .headerTooLarge }
        var colon = 0
        while colon < line.count, line[colon] != UInt8(ascii: ":") { colon += 1 }
        // A blank in front of the colon, or of a folded line, makes no token.
        let name = line.extracting(0..<colon)
        guard colon < line.count, name.isToken else { throw .badRequest }
        let value = line.extracting(line.trim((colon + 1)..<line.count))
        if name.equalsIgnoringCase("host") {
            hosts += 1
            for index in value.indices where !value[index].isHostCharacter { throw .badRequest }
        } else if name.equalsIgnoringCase("content-length") {
            guard !value.isEmpty else { throw .badRequest }
            for index in value.indices {
                guard value[index].isDigit else { throw .badRequest }
                if value[index] != UInt8(ascii: "0") { hasBody = true }
            }
        } else if name.equalsIgnoringCase("transfer-encoding") {
            hasBody = true
        } else if name.equalsIgnoringCase("connection") {
            for element in value.elements {
                let option = value.extracting(element)
                if option.equalsIgnoringCase("close") { closes = true }
                if option.equalsIgnoringCase("keep-alive") { keepsAlive = true }
            }
        } else if name.equalsIgnoringCase("accept") {
            for element in value.elements {
                var end = element.lowerBound
                while end < element.upperBound, value[end] != UInt8(ascii: ";") { end += 1 }
                let type = value.extracting(value.trim(element.lowerBound..<end))
                if type.equalsIgnoringCase("application/openmetrics-text") { acceptsOpenMetrics = true }
            }
        }
    }

    /// The request, now that all of its header is known.
    func request() throws(HTTPRefusal) -> HTTPRequest {
        guard hosts == 1 || hosts == 0 && minorVersion == 0 else { throw .badRequest }
        if refusesMethod { throw .methodNotAllowed }
        if hasBody { throw .contentTooLarge }
        return HTTPRequest(
            isHead: isHead,
            path: path,
            query: query,
            minorVersion: minorVersion,
            keepsConnection: closes ? false : minorVersion == 1 || keepsAlive,
            acceptsOpenMetrics: acceptsOpenMetrics
        )
    }
}
