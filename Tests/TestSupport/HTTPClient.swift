import Foundation

/// What a web server answered.
package struct HTTPResponse {
    package let status: Int
    /// In order of arrival, names as sent.
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]

    package var text: String { String(decoding: body, as: UTF8.self) }

    package func header(_ name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }

    /// Takes a whole answer apart: status line, header block, and a body that may come in chunks.
    package init(_ bytes: [UInt8]) throws {
        let mark: [UInt8] = [13, 10, 13, 10]
        guard let end = bytes.indices.first(where: { bytes[$0] == 13 && bytes[$0...].starts(with: mark) })
        else {
            throw TestFailure(
                "no HTTP response in \(bytes.count) bytes: \(String(decoding: bytes.prefix(200), as: UTF8.self))"
            )
        }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).components(separatedBy: "\r\n")
        let words = lines[0].split(separator: " ")
        guard words.count >= 2, let status = Int(words[1]) else {
            throw TestFailure("bad status line \(lines[0])")
        }
        self.status = status
        headers = lines.dropFirst().compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            return (
                String(line[..<colon]), line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            )
        }
        let rest = bytes[(end + 4)...]
        let isChunked = headers.contains {
            $0.name.lowercased() == "transfer-encoding" && $0.value == "chunked"
        }
        body = isChunked ? try Self.joinChunks(rest) : Array(rest)
    }

    private static func joinChunks(_ bytes: ArraySlice<UInt8>) throws -> [UInt8] {
        var rest = bytes
        var body: [UInt8] = []
        while let lineEnd = rest.firstIndex(of: 13) {
            let line = String(decoding: rest[rest.startIndex..<lineEnd], as: UTF8.self)
            guard let length = Int(line, radix: 16) else { throw TestFailure("bad chunk length \(line)") }
            if length == 0 { return body }
            let start = lineEnd + 2
            guard rest.endIndex >= start + length + 2 else { break }
            body += rest[start..<(start + length)]
            rest = rest[(start + length + 2)...]
        }
        throw TestFailure("body cut off after \(body.count) bytes")
    }
}

/// A browser of the simple kind: it keeps cookies and nothing else, and makes a connection per request.
package final class HTTPClient {
    private let port: UInt16
    private var cookies: [String: String] = [:]

    package init(port: UInt16) {
        self.port = port
    }

    /// Sends a request and reads the whole answer.
    ///
    /// `path` is path and query; the host of an absolute URL is ignored.
    package func request(
        _ method: String,
        _ path: String,
        headers: [String: String] = [:],
        body: [UInt8]? = nil,
        within limit: Duration = patience
    ) throws -> HTTPResponse {
        let connection = try FastCGIConnection(.tcp("127.0.0.1", port))
        try connection.send(head(method, path, headers: headers, bodyLength: body?.count) + (body ?? []))
        let response = try HTTPResponse(try connection.readToEnd(within: limit))
        for header in response.headers where header.name.lowercased() == "set-cookie" { keep(header.value) }
        return response
    }

    /// The bytes of a request up to its body.
    package func head(_ method: String, _ path: String, headers: [String: String] = [:], bodyLength: Int?)
        -> [UInt8]
    {
        var lines = [
            "\(method) \(local(path)) HTTP/1.1", "Host: 127.0.0.1:\(port)", "Connection: close",
            "User-Agent: fpmd-test",
        ]
        if !cookies.isEmpty {
            lines.append(
                "Cookie: "
                    + cookies.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(
                        separator: "; "
                    )
            )
        }
        if let bodyLength { lines.append("Content-Length: \(bodyLength)") }
        lines += headers.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }

    private func local(_ path: String) -> String {
        let prefix = "http://127.0.0.1:\(port)"
        return path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
    }

    private func keep(_ cookie: String) {
        guard let pair = cookie.split(separator: ";").first, let equals = pair.firstIndex(of: "=") else {
            return
        }
        let name = String(pair[..<equals])
        let value = String(pair[pair.index(after: equals)...])
        cookies[name] = value == "deleted" ? nil : value
    }

    package func get(_ path: String) throws -> HTTPResponse {
        try request("GET", path)
    }

    /// Sends a form the way browsers send one without files.
    package func post(_ path: String, form: [(String, String)]) throws -> HTTPResponse {
        let body = form.map { "\(Self.escape($0.0))=\(Self.escape($0.1))" }.joined(separator: "&")
        return try request(
            "POST",
            path,
            headers: ["Content-Type": "application/x-www-form-urlencoded"],
            body: Array(body.utf8)
        )
    }

    /// Sends a form with one file.
    package func upload(
        _ path: String,
        form: [(String, String)],
        field: String,
        name: String,
        content: [UInt8]
    ) throws -> HTTPResponse {
        let boundary = "--------------------------fpmd-test"
        var body: [UInt8] = []
        for (key, value) in form {
            body += Array(
                "--\(boundary)\r\nContent-Disposition: form-data; name=\"\(key)\"\r\n\r\n\(value)\r\n".utf8
            )
        }
        let head =
            "--\(boundary)\r\nContent-Disposition: form-data; name=\"\(field)\"; filename=\"\(name)\"\r\n"
            + "Content-Type: image/png\r\n\r\n"
        body += Array(head.utf8) + content + Array("\r\n--\(boundary)--\r\n".utf8)
        return try request(
            "POST",
            path,
            headers: ["Content-Type": "multipart/form-data; boundary=\(boundary)"],
            body: body
        )
    }

    static func escape(_ text: String) -> String {
        var allowed = CharacterSet.alphanumerics
        allowed.insert(charactersIn: "-._~")
        return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? ""
    }
}

/// The fields that a browser would send with the forms of a page.
package func formFields(_ html: String) -> [(String, String)] {
    html.matches(of: #/<(?:input|textarea|select)\b[^>]*>/#).compactMap { match in
        var attributes: [String: String] = [:]
        for attribute in match.output.matches(of: #/([\w-]+)=(?:"([^"]*)"|'([^']*)')/#) {
            attributes[String(attribute.1)] = String(attribute.2 ?? attribute.3 ?? "")
        }
        guard let name = attributes["name"] else { return nil }
        switch attributes["type"] {
        case "submit", "file", "button": return nil
        case "checkbox", "radio":
            guard match.output.contains("checked") else { return nil }
        default: break
        }
        return (name, unescape(attributes["value"] ?? ""))
    }
}

private func unescape(_ text: String) -> String {
    [("&quot;", "\""), ("&#039;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&#92;", "\\"), ("&amp;", "&")]
        .reduce(text) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
}

/// Sets fields, in their place or at the end; nil removes one.
package func setFields(_ fields: [(String, String)], _ changes: [(String, String?)]) -> [(String, String)] {
    var result = fields
    for (name, value) in changes {
        let index = result.firstIndex { $0.0 == name }
        result.removeAll { $0.0 == name }
        if let value { result.insert((name, value), at: min(index ?? result.count, result.count)) }
    }
    return result
}
