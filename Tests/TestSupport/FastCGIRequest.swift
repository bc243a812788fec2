/// One request as a web server would send it, with every part open to change.
package struct FastCGIRequest: Sendable {
    package var id: UInt16 = 1
    /// 1 responder, 2 authorizer, 3 filter.
    package var role: UInt16 = 1
    package var keepsConnection = false
    /// Parameters in the order they are sent in.
    package var parameters: [(name: String, value: String)]
    package var body: [UInt8]

    /// Makes a request with the parameters that nginx sends.
    ///
    /// `script` is SCRIPT_NAME, also the path below `root` that is SCRIPT_FILENAME; `root` is DOCUMENT_ROOT.
    /// `headers` are further parameters, such as `HTTP_COOKIE`; one of the same name replaces the default.
    package init(
        _ script: String,
        root: String,
        method: String? = nil,
        query: String = "",
        headers: [String: String] = [:],
        body: [UInt8] = [],
        contentType: String = ""
    ) {
        self.body = body
        parameters = [
            ("QUERY_STRING", query),
            ("REQUEST_METHOD", method ?? (body.isEmpty ? "GET" : "POST")),
            ("CONTENT_TYPE", contentType),
            ("CONTENT_LENGTH", body.isEmpty ? "" : String(body.count)),
            ("SCRIPT_FILENAME", root + script),
            ("SCRIPT_NAME", script),
            ("REQUEST_URI", query.isEmpty ? script : "\(script)?\(query)"),
            ("DOCUMENT_URI", script),
            ("DOCUMENT_ROOT", root),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REQUEST_SCHEME", "http"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SERVER_SOFTWARE", "nginx/1.22.1"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("REMOTE_PORT", "7777"),
            ("SERVER_ADDR", "192.0.2.1"),
            ("SERVER_PORT", "80"),
            ("SERVER_NAME", "example.test"),
            ("REDIRECT_STATUS", "200"),
            ("HTTP_HOST", "example.test"),
        ]
        for (name, value) in headers.sorted(by: { $0.key < $1.key }) { set(name, value) }
    }

    /// Makes a request with no parameters but these.
    package init(parameters: [(name: String, value: String)], body: [UInt8] = []) {
        self.parameters = parameters
        self.body = body
    }

    /// Sets a parameter in its place, or at the end if there is none of that name; nil removes it.
    package mutating func set(_ name: String, _ value: String?) {
        let index = parameters.firstIndex { $0.name == name }
        switch (index, value) {
        case (let index?, let value?): parameters[index].value = value
        case (let index?, nil): parameters.remove(at: index)
        case (nil, let value?): parameters.append((name, value))
        case (nil, nil): break
        }
    }

    /// BEGIN_REQUEST, PARAMS with its end, STDIN with its end.
    package var records: [Record] {
        let pairs = parameters.flatMap { encodePair($0.name, $0.value) }
        let begin = Record(
            RecordKind.beginRequest,
            id: id,
            [UInt8(role >> 8), UInt8(role & 0xff), keepsConnection ? 1 : 0, 0, 0, 0, 0, 0]
        )
        return [begin] + Record.split(RecordKind.parameters, id: id, pairs)
            + [Record(RecordKind.parameters, id: id)]
            + Record.split(RecordKind.stdin, id: id, body) + [Record(RecordKind.stdin, id: id)]
    }

    /// The whole request as bytes.
    package var bytes: [UInt8] {
        records.flatMap { $0.encoded() }
    }
}
