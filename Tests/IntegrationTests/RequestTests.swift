import Foundation
import TestSupport
import Testing

/// What a script sees of a request, and the client of its answer.
@Suite(.daemons)
struct RequestTests {
    private static let pool = "pm = static\npm.max_children = 1"

    // MARK: Variables

    @Test func serverVariables() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let request = daemon.makeRequest(
            "/server.php",
            query: "a=b&c=%20d",
            headers: ["HTTP_X_CUSTOM": "value with \"quotes\"", "HTTP_EMPTY": "", "HTTPS": "on"]
        )
        let seen = try daemon.send(request).json
        for (name, value) in request.parameters { #expect(seen[name] as? String == value, "\(name)") }
        #expect(seen["PHP_SELF"] as? String == "/server.php")
        #expect(seen["FCGI_ROLE"] as? String == "RESPONDER")
        #expect(abs((seen["REQUEST_TIME_FLOAT"] as? Double ?? 0) - Date().timeIntervalSince1970) < 60)
    }

    @Test func variablesDoNotOutliveARequest() throws {
        let daemon = try Daemon.startPool(Self.pool)
        #expect(
            try daemon.get("/server.php", headers: ["HTTP_X_ONCE": "1"]).json["HTTP_X_ONCE"] as? String == "1"
        )
        #expect(try daemon.get("/server.php").json["HTTP_X_ONCE"] == nil)
    }

    @Test func proxyHeaderIsHidden() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let headers = ["HTTP_PROXY": "evil:8080", "HTTP_PROXY_X": "seen"]
        let server = try daemon.get("/server.php", headers: headers).json
        #expect(server["HTTP_PROXY"] == nil)
        #expect(server["HTTP_PROXY_X"] as? String == "seen")
        let environment = try daemon.get("/environment.php", query: "name=HTTP_PROXY", headers: headers).json
        #expect(environment["single"] as? Bool == false)
        #expect((environment["getenv"] as? [String: String])?["HTTP_PROXY_X"] == "seen")
    }

    /// It is no header's: the web server's configuration says it.
    @Test func proxyOfTheWebServersConfigurationIsShown() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let headers = ["http_proxy": "http://proxy:3128"]
        #expect(
            try daemon.get("/server.php", headers: headers).json["http_proxy"] as? String
                == headers["http_proxy"]
        )
        let environment = try daemon.get("/environment.php", headers: headers).json
        #expect((environment["getenv"] as? [String: String])?["http_proxy"] == headers["http_proxy"])
    }

    @Test(.fpmdOnly("shows it in the array of getenv()")) func proxyHeaderIsHiddenInTheArray() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let environment = try daemon.get("/environment.php", headers: ["HTTP_PROXY": "evil:8080"]).json
        #expect((environment["getenv"] as? [String: String])?["HTTP_PROXY"] == nil)
    }

    @Test func basicAuthentication() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let credentials = Data("jane:se:cret".utf8).base64EncodedString()
        let seen = try daemon.get("/auth.php", headers: ["HTTP_AUTHORIZATION": "Basic \(credentials)"]).json
        #expect(seen["user"] as? String == "jane")
        #expect(seen["password"] as? String == "se:cret")
        let next = try daemon.get("/auth.php").json
        #expect(next["user"] is NSNull)
        let digest = try daemon.get("/auth.php", headers: ["HTTP_AUTHORIZATION": "Digest username=\"x\""])
            .json
        #expect(digest["digest"] as? String == "username=\"x\"")
    }

    @Test func authenticationOfAMissingScript() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let worker = try #require(try daemon.waitForWorkers(1).first)
        let credentials = Data("jane:secret".utf8).base64EncodedString()
        let missing = try daemon.get("/missing.php", headers: ["HTTP_AUTHORIZATION": "Basic \(credentials)"])
        #expect(missing.status == 404)
        #expect(try daemon.send(FastCGIRequest(parameters: [])).isComplete)
        #expect(worker.exists)
    }

    @Test func allHeaders() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let request = daemon.makeRequest(
            "/all-headers.php",
            headers: ["HTTP_X_SOME_NAME": "v", "HTTP_ACCEPT": "*/*"],
            body: Array("a".utf8),
            contentType: "text/plain"
        )
        let seen = try daemon.send(request).json
        let all = try #require(seen["all"] as? [String: String])
        #expect(
            all == [
                "X-Some-Name": "v", "Accept": "*/*", "Content-Type": "text/plain", "Content-Length": "1",
                "Host": "example.test",
            ]
        )
        #expect(seen["apache"] as? [String: String] == all)
    }

    // MARK: Answers

    struct HeaderCase: Sendable, CustomStringConvertible {
        let query: String
        let lines: [String]
        var description: String { query }
    }

    @Test(arguments: [
        HeaderCase(query: "", lines: ["Content-type: text/html; charset=UTF-8"]),
        HeaderCase(
            query: "code=404",
            lines: ["Status: 404 Not Found", "Content-type: text/html; charset=UTF-8"]
        ),
        HeaderCase(
            query: "code=503",
            lines: ["Status: 503 Service Unavailable", "Content-type: text/html; charset=UTF-8"]
        ),
        HeaderCase(query: "code=299", lines: ["Status: 299", "Content-type: text/html; charset=UTF-8"]),
        HeaderCase(
            query: "header[]=Location:%20/x",
            lines: ["Status: 302 Found", "Location: /x", "Content-type: text/html; charset=UTF-8"]
        ),
        HeaderCase(
            query: "header[]=HTTP/1.1%20201%20All%20Made",
            lines: ["Status: 201 All Made", "Content-type: text/html; charset=UTF-8"]
        ),
        HeaderCase(
            query: "header[]=Status:%20410%20Away",
            lines: ["Status: 410 Away", "Content-type: text/html; charset=UTF-8"]
        ),
        HeaderCase(
            query: "header[]=Set-Cookie:%20a=1&header[]=Set-Cookie:%20b=2&header[]=X-Y:%20z",
            lines: ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-Y: z", "Content-type: text/html; charset=UTF-8"]
        ),
        HeaderCase(
            query: "header[]=Content-Type:%20text/plain",
            lines: ["Content-type: text/plain;charset=UTF-8"]
        ),
        HeaderCase(query: "header[]=Content-Type:%20image/png", lines: ["Content-Type: image/png"]),
        HeaderCase(query: "code=304&header[]=ETag:%20x", lines: ["Status: 304 Not Modified", "ETag: x"]),
    ])
    func headers(test: HeaderCase) throws {
        let daemon = try Daemon.startPool(Self.pool)
        let response = try daemon.get("/headers.php", query: test.query)
        #expect(response.headerLines == test.lines)
        #expect(response.text == "body\n")
        #expect(response.isComplete)
    }

    @Test func poweredBy() throws {
        let daemon = try Daemon.startPool(Self.pool, .init(ini: .neutral("expose_php = On")))
        #expect(try daemon.get("/hello.php").headerLines.first?.hasPrefix("X-Powered-By: PHP/8") == true)
    }

    @Test func headRequest() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let response = try daemon.send(daemon.makeRequest("/hello.php", method: "HEAD"))
        #expect(response.headerLines == ["Content-type: text/html; charset=UTF-8"])
        #expect(response.body.isEmpty)
    }

    @Test func missingScript() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let response = try daemon.get("/missing.php")
        #expect(response.header("Status") == "404 Not Found")
        #expect(response.text == "File not found.\n")
        #expect(response.errors == "Primary script unknown")
    }

    @Test func missingParameters() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/hello.php")
        request.set("SCRIPT_FILENAME", nil)
        #expect(try daemon.send(request).header("Status") == "404 Not Found")
        request = daemon.makeRequest("/hello.php")
        request.set("REQUEST_METHOD", nil)
        let response = try daemon.send(request)
        #expect(response.status == 200)
        #expect(response.body.isEmpty)
        let empty = try daemon.send(FastCGIRequest(parameters: []))
        #expect(empty.isComplete)
    }

    @Test(.needsRoot) func unreadableScript() throws {
        let daemon = try Daemon.startPool(Self.pool)
        chmod(daemon.documentRoot + "/hello.php", 0o600)
        let response = try daemon.get("/hello.php")
        #expect(response.header("Status") == "403 Forbidden")
        #expect(response.text == "Access denied.\n")
        #expect(
            response.errors.contains(
                "Unable to open primary script: \(daemon.documentRoot)/hello.php (Permission denied)"
            )
        )
    }

    @Test func directoryTraversal() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/hello.php")
        request.set("SCRIPT_FILENAME", daemon.documentRoot + "/user-ini/../hello.php")
        #expect(try daemon.send(request).status == 404)
    }

    // MARK: Functions of the server interface

    @Test(arguments: [false, true]) func finishRequest(keep: Bool) throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/finish.php", query: "dir=\(daemon.scratch)")
        request.keepsConnection = keep
        let connection = try daemon.connect()
        try connection.send(request)
        let response = try connection.readResponse()
        #expect(response.text == "answer\n")
        #expect(response.isComplete)
        #expect(!FileManager.default.fileExists(atPath: daemon.scratch + "/finished"))
        // In php-fpm the script goes on only when the client has closed.
        if !keep { connection.close() }
        try daemon.releaseHeld()
        #expect(try daemon.waitForScratch("finished") == "true")
        connection.close()
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test(.fpmdOnly("waits for the client to close")) func scriptGoesOnBesideTheClient() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.begin("/finish.php", query: "dir=\(daemon.scratch)")
        #expect(try connection.readResponse().text == "answer\n")
        #expect(try connection.read() == .end)
        try daemon.releaseHeld()
        #expect(try daemon.waitForScratch("finished") == "true")
    }

    @Test(.fpmdOnly("sends what comes later as records after the end"))
    func outputAfterFinishRequestIsNotSent() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/finish.php", query: "dir=\(daemon.scratch)")
        request.keepsConnection = true
        let connection = try daemon.connect()
        try connection.send(request)
        #expect(try connection.readResponse().text == "answer\n")
        try daemon.releaseHeld()
        try connection.send(daemon.makeRequest("/hello.php"))
        #expect(try connection.readResponse().text == "hello, world\n")
    }

    @Test func statusFunction() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        // php-fpm's may crash while another worker is starting.
        if daemon.program.isReference { daemon.allowLog(/exited on signal 11/) }
        let status = try wait(for: "both workers to be counted") {
            let status = try daemon.get("/status-function.php", query: "a=b").json
            return status["total-processes"] as? Int == 2 ? status : nil
        }
        #expect(status["pool"] as? String == "www")
        #expect(status["process-manager"] as? String == "static")
        #expect(status["active-processes"] as? Int == 1)
        let processes = try #require(status["procs"] as? [[String: Any]])
        #expect(processes.count == 2)
        let own = try #require(processes.first { $0["state"] as? String == "Running" })
        #expect(own["request-uri"] as? String == "/status-function.php")
        #expect(own["query-string"] as? String == "a=b")
        #expect(own["request-method"] as? String == "GET")
    }

    @Test func shutdownFunctionsStillAnswer() throws {
        let daemon = try Daemon.startPool(Self.pool)
        #expect(try daemon.get("/shutdown.php").text == "script\nshutdown\ndestructor\n")
    }

    @Test func sessions() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let first = try daemon.get("/session.php", query: "dir=\(daemon.scratch)")
        let parts = first.text.split(separator: " ")
        #expect(parts.last == "1")
        let id = String(try #require(parts.first))
        #expect(first.header("Set-Cookie")?.hasPrefix("PHPSESSID=\(id)") == true)
        let second = try daemon.get(
            "/session.php",
            query: "dir=\(daemon.scratch)",
            headers: ["HTTP_COOKIE": "PHPSESSID=\(id)"]
        )
        #expect(second.text == "\(id) 2")
    }
}
