import Foundation

extension Daemon {
    /// A request for a script below the document root; see ``FastCGIRequest/init(_:root:method:query:headers:body:contentType:)``.
    package func makeRequest(
        _ script: String,
        query: String = "",
        method: String? = nil,
        headers: [String: String] = [:],
        body: [UInt8] = [],
        contentType: String = ""
    ) -> FastCGIRequest {
        FastCGIRequest(
            script,
            root: documentRoot,
            method: method,
            query: query,
            headers: headers,
            body: body,
            contentType: contentType
        )
    }

    /// Connects to an address of the configuration; see ``endpoint(_:)``.
    package func connect(_ label: String = "") throws -> FastCGIConnection {
        try FastCGIConnection(try endpoint(label))
    }

    /// Sends a request on a connection of its own and reads the answer.
    package func send(
        _ request: FastCGIRequest,
        to label: String = "",
        within limit: Duration = patience
    ) throws -> FastCGIResponse {
        let connection = try connect(label)
        try connection.send(request)
        return try connection.finalResponse(within: limit)
    }

    /// Asks for a script on a connection of its own and reads the answer.
    package func get(
        _ script: String,
        query: String = "",
        headers: [String: String] = [:],
        from label: String = "",
        within limit: Duration = patience
    ) throws -> FastCGIResponse {
        try send(makeRequest(script, query: query, headers: headers), to: label, within: limit)
    }

    /// Sends a request without waiting for the answer.
    ///
    /// - Returns: The connection on which the answer will come.
    package func begin(
        _ script: String,
        query: String = "",
        headers: [String: String] = [:],
        from label: String = ""
    ) throws -> FastCGIConnection {
        let connection = try connect(label)
        try connection.send(makeRequest(script, query: query, headers: headers))
        return connection
    }

    // MARK: Requests that last as long as a test wants

    /// Sends a request that goes on until ``releaseHeld()``, without waiting for it to begin.
    package func hold(_ name: String, from label: String = "") throws -> FastCGIConnection {
        try begin("/hold.php", query: "dir=\(scratch)&name=\(name)", from: label)
    }

    /// Tells whether a held request has begun to run.
    package func hasStarted(_ name: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(scratch)/started.\(name)")
    }

    /// Waits until all these held requests run.
    package func waitUntilStarted(_ names: some Sequence<String>, within limit: Duration = patience) throws {
        let names = Array(names)
        try wait(for: "held requests to start", within: limit) { names.allSatisfy(hasStarted) }
    }

    /// Sends a held request and waits until it runs.
    package func startHolding(_ name: String, from label: String = "") throws -> FastCGIConnection {
        let connection = try hold(name, from: label)
        try waitUntilStarted([name])
        return connection
    }

    /// Lets all held requests end, and later ones end at once.
    package func releaseHeld() throws {
        try Data().write(to: URL(fileURLWithPath: scratch + "/release"))
    }

    /// Waits for a file that a fixture writes below ``scratch``.
    ///
    /// - Returns: Its text, once it has any.
    package func waitForScratch(_ name: String, within limit: Duration = patience) throws -> String {
        try wait(for: "file \(name)", within: limit) {
            let text = readText("\(scratch)/\(name)")
            return text.isEmpty ? nil : text
        }
    }
}
