extension Daemon {
    /// A request for a script below the document root; see ``FastCGIRequest/init(_:root:method:query:headers:body:contentType:)``.
    public func makeRequest(
        _ script: String, query: String = "", method: String? = nil, headers: [String: String] = [:],
        body: [UInt8] = [], contentType: String = ""
    ) -> FastCGIRequest {
        FastCGIRequest(
            script, root: documentRoot, method: method, query: query, headers: headers, body: body,
            contentType: contentType)
    }

    /// Connects to an address of the configuration; see ``endpoint(_:)``.
    public func connect(_ label: String = "") throws -> FastCGIConnection {
        try FastCGIConnection(try endpoint(label))
    }

    /// Sends a request on a connection of its own and reads the answer.
    public func send(
        _ request: FastCGIRequest, to label: String = "", within limit: Duration = patience
    ) throws -> FastCGIResponse {
        let connection = try connect(label)
        try connection.send(request)
        return try connection.readResponse(within: limit)
    }

    /// Asks for a script on a connection of its own and reads the answer.
    public func get(
        _ script: String, query: String = "", headers: [String: String] = [:], from label: String = "",
        within limit: Duration = patience
    ) throws -> FastCGIResponse {
        try send(makeRequest(script, query: query, headers: headers), to: label, within: limit)
    }

    /// Sends a request without waiting for the answer.
    ///
    /// - Returns: The connection on which the answer will come.
    public func begin(
        _ script: String, query: String = "", from label: String = ""
    ) throws -> FastCGIConnection {
        let connection = try connect(label)
        try connection.send(makeRequest(script, query: query))
        return connection
    }
}
