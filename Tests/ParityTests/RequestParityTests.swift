import Foundation
import TestSupport
import Testing

/// The same request to both programs: status, headers in order, body, STDERR.
@Suite(.daemons, .needsReference)
struct RequestParityTests {
    private static let pool = "pm = static\npm.max_children = 1\n"

    // MARK: Pages

    static let pages: [Case] = [
        Case(name: "hello", script: "/hello.php"),
        Case(name: "HEAD", script: "/hello.php", method: "HEAD"),
        Case(name: "OPTIONS", method: "OPTIONS"),
        Case(name: "unknown method", method: "BREW"),
        Case(name: "missing script", script: "/missing.php"),
        Case(name: "missing directory", script: "/no/such/missing.php"),
        Case(name: "directory", script: "/user-ini"),
        Case(name: "directory with slash", script: "/user-ini/"),
        Case(name: "wrong extension", script: "/page.html"),
        Case(name: "upper-case extension", script: "/hello.PHP"),
        Case(name: "exit", script: "/exit.php"),
        Case(name: "fatal", script: "/fatal.php"),
        Case(name: "uncaught", script: "/uncaught.php"),
        Case(name: "parse error", script: "/parse-error.php"),
        Case(name: "memory", script: "/memory.php", headers: ["PHP_VALUE": "memory_limit = 32M"]),
        Case(name: "log", script: "/log.php"),
        Case(name: "shutdown", script: "/shutdown.php"),
        Case(name: "static state", script: "/static-state.php"),
        Case(name: "large", script: "/large.php", query: "bytes=300000"),
        Case(
            name: "all headers",
            script: "/all-headers.php",
            headers: ["HTTP_X_A": "1", "HTTP_ACCEPT_LANGUAGE": "de"]
        ),
        Case(
            name: "user.ini",
            script: "/user-ini/sub/settings.php",
            query: "names=precision,memory_limit,date.timezone"
        ),
    ]

    @Test func pages() throws {
        let pair = try Pair(Self.pool)
        try pair.compare(Self.pages)
        for code in [
            200, 201, 204, 206, 301, 302, 303, 304, 307, 400, 401, 403, 404, 405, 410, 418, 429, 451, 499,
            500, 502, 503, 511, 599, 999,
        ] {
            try pair.compare([Case(name: "code \(code)", script: "/headers.php", query: "code=\(code)")])
        }
    }

    /// The time limit ends with the script.
    @Test func sessionWrittenAtTheEnd() throws {
        try Pair(Self.pool).compare([Case(name: "session at the end", script: "/session-at-end.php")])
    }

    @Test func headerLines() throws {
        let pair = try Pair(Self.pool)
        for lines in [
            ["Location: /x"], ["Location: /x", "X-A: 1"], ["X-A: 1", "X-A: 2", "X-B: 3"],
            ["Set-Cookie: a=b", "Set-Cookie: c=d"],
            ["Content-Type: text/plain"], ["content-type: text/html; charset=latin1"],
            ["Content-Type: application/json"],
            ["Content-Type:"], ["Content-Length: 3"], ["Status: 404 Gone Fishing"], ["Status: 200 OK"],
            ["Status: 404", "Status: 500"],
            ["HTTP/1.1 201 Created by hand"], ["HTTP/1.0 404"], ["HTTP/1.1 200 OK"], ["HTTP/2 503 Busy"],
            ["HTTP/1.1 999 X", "X-A: 1"],
            ["HTTP/1.1 304 Not Modified", "ETag: \"x\""],
            ["HTTP/1.1 201 " + String(repeating: "A", count: 1014)],
            ["X-Long: " + String(repeating: "v", count: 9000)], ["X-Empty:"], ["X-NoValue"], [""],
            ["X-Umlaut: ä"],
            ["WWW-Authenticate: Basic realm=\"x\""], ["Transfer-Encoding: chunked"],
        ] {
            let query = lines.map {
                "header[]=" + ($0.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")
            }
            .joined(separator: "&")
            for code in ["", "&code=404", "&code=304"] {
                let test = Case(
                    name: "header \(lines.joined(separator: "|").prefix(60))\(code)",
                    script: "/headers.php",
                    query: query + code
                )
                try pair.compare([test])
            }
        }
    }

    @Test(arguments: [
        ["cgi.nph=1"], ["cgi.rfc2616_headers=1"], ["fastcgi.logging=0"],
        ["fastcgi.error_header=HTTP/1.1 550 PHP Error"],
        ["expose_php=1"], ["display_errors=1", "html_errors=0"], ["default_charset="],
        ["output_buffering=4096"],
        ["implicit_flush=1"], ["zlib.output_compression=1"], ["default_mimetype=text/plain"],
        ["variables_order=EGPCS"],
        ["register_argc_argv=1"], ["auto_globals_jit=0"], ["cgi.check_shebang_line=1"],
        ["enable_post_data_reading=0"],
    ])
    func settings(_ settings: [String]) throws {
        let pair = try Pair(Self.pool, settings: settings)
        let pages =
            Self.pages.filter { !["memory", "large"].contains($0.name) } + [
                Case(name: "code 404", script: "/headers.php", query: "code=404"),
                Case(name: "status line", script: "/headers.php", query: "header[]=HTTP/1.1%20201%20Made"),
                Case(name: "query", query: "a+b=c&d"),
                Case(name: "gzip", script: "/hello.php", headers: ["HTTP_ACCEPT_ENCODING": "gzip"]),
                Case(
                    name: "form",
                    script: "/input.php",
                    body: "a=b",
                    contentType: "application/x-www-form-urlencoded"
                ),
                Case(name: "environment", script: "/environment.php"),
            ]
        for page in pages { try pair.compare("\(settings): \(page.name)", page.request) }
    }

    // MARK: Variables

    @Test func variables() throws {
        let pair = try Pair(
            Self.pool
                + "env[ONE] = 1\nenv[TWO] = two words\nenv[HTTP_PROXY] = local\nenv[QUERY_STRING] = local\n"
        )
        try pair.compare([
            Case(name: "plain"),
            Case(name: "query", query: "a=1&b[]=2&b[]=3&c.d=4&e%20f=5"),
            Case(
                name: "odd names",
                changes: [
                    ("A.B", "1"), ("C D", "2"), ("E[F]", "3"), ("", "4"), ("=", "5"), ("G", ""),
                    ("[H]", "6"),
                ]
            ),
            Case(name: "not UTF-8 name", changes: [("N\u{e4}me", "\u{e4}")]),
            Case(name: "NUL", changes: [("HTTP_X", "a\0b"), ("HTTP\0Y", "c")]),
            Case(name: "long", changes: [("HTTP_X", String(repeating: "y", count: 20_000))]),
            Case(name: "HTTP_PROXY", headers: ["HTTP_PROXY": "evil"]),
            Case(name: "http_proxy", changes: [("http_proxy", "http://proxy:3128")]),
            Case(
                name: "http_proxy in getenv()",
                script: "/environment.php",
                query: "name=http_proxy",
                changes: [("http_proxy", "http://proxy:3128")]
            ),
            Case(
                name: "overridden environment",
                changes: [("ONE", "parameter"), ("USER", "parameter"), ("HOME", "h")]
            ),
            Case(name: "PHP_SELF", changes: [("PHP_SELF", "given")]),
            Case(name: "argv", query: "a+b+c"),
            Case(name: "REQUEST_TIME", changes: [("REQUEST_TIME", "1")]),
            Case(name: "SERVER_NAME", changes: [("SERVER_NAME", "OTHER.test")]),
            Case(name: "cookies", script: "/input.php", headers: ["HTTP_COOKIE": "a=1; b=%20; c[x]=2;d"]),
            Case(name: "environment", script: "/environment.php", query: "name=ONE"),
            Case(
                name: "environment of a parameter",
                script: "/environment.php",
                query: "name=REMOTE_ADDR"
            ),
            Case(name: "environment overridden", script: "/environment.php", query: "name=QUERY_STRING"),
            Case(
                name: "HTTP_PROXY in getenv()",
                script: "/environment.php",
                query: "name=HTTP_PROXY",
                headers: ["HTTP_PROXY": "evil"]
            ),
            Case(
                name: "no parameters but the script",
                changes: [
                    ("QUERY_STRING", nil), ("CONTENT_TYPE", nil), ("CONTENT_LENGTH", nil),
                    ("SCRIPT_NAME", nil), ("REQUEST_URI", nil),
                    ("DOCUMENT_URI", nil), ("DOCUMENT_ROOT", nil), ("SERVER_NAME", nil),
                    ("SERVER_SOFTWARE", nil),
                ]
            ),
            Case(name: "no method", changes: [("REQUEST_METHOD", nil)]),
            Case(name: "empty method", changes: [("REQUEST_METHOD", "")]),
            Case(name: "no script", changes: [("SCRIPT_FILENAME", nil)]),
            Case(name: "empty script", changes: [("SCRIPT_FILENAME", "")]),
        ]
        )
        try pair.compare("duplicate parameter") { daemon in
            var request = daemon.makeRequest("/server.php")
            request.parameters.append((name: "REQUEST_METHOD", value: "PUT"))
            request.parameters.insert((name: "SERVER_PORT", value: "81"), at: 0)
            return request
        }
        for role: UInt16 in [2, 3] {
            try pair.compare("role \(role)") { daemon in
                var request = daemon.makeRequest("/server.php")
                request.role = role
                return request
            }
        }
    }

    @Test(arguments: ["clear_env = no", "clear_env = yes"]) func environment(line: String) throws {
        let pair = try Pair(
            Self.pool + line + "\nenv[LAST] = $HOME\nenv[PATH] = /bin\nenv[NONE] = $NOT_SET\n"
        )
        for (name, settings) in [("server", "/server.php"), ("environment", "/environment.php")] {
            try pair.compare("\(line): \(name)") { daemon in
                daemon.makeRequest(settings, headers: ["PHP_VALUE": "variables_order = EGPCS"])
            }
        }
    }

    @Test func authentication() throws {
        let pair = try Pair(Self.pool)
        for value in [
            "Basic amFuZTpzZWNyZXQ=", "basic amFuZTpzZWNyZXQ=", "BASIC amFuZTpzZTpjcmV0", "Basic amFuZQ==",
            "Basic !!!", "Basic ", "Basic",
            "Digest username=\"x\"", "digest a", "Digest", "Bearer token", "", "Basic  amFuZTpzZWNyZXQ=",
        ] {
            try pair.compare([
                Case(
                    name: "authorization \(value)",
                    script: "/auth.php",
                    headers: ["HTTP_AUTHORIZATION": value]
                ),
                Case(
                    name: "authorization \(value), variables",
                    headers: ["HTTP_AUTHORIZATION": value, "AUTH_TYPE": "x", "REMOTE_USER": "y"]
                ),
                Case(
                    name: "authorization \(value), missing script",
                    script: "/missing.php",
                    headers: ["HTTP_AUTHORIZATION": value]
                ),
            ]
            )
        }
    }

    // MARK: Kept connections

    @Test func keptConnection() throws {
        let pair = try Pair(Self.pool + "pm.max_requests = 40\n")
        let scripts = [
            "/hello.php", "/missing.php", "/fatal.php", "/exit.php", "/page.html", "/input.php", "/hello.php",
        ]
        func exchange(_ daemon: Daemon) throws -> [String] {
            let connection = try daemon.connect()
            return try scripts.map { script in
                var request = daemon.makeRequest(script)
                request.keepsConnection = true
                try connection.send(request)
                let response = try connection.readResponse()
                return normalise(
                    String(decoding: response.output, as: UTF8.self) + response.errors,
                    of: daemon
                )
            }
        }
        let expected = try exchange(pair.reference)
        let actual = try exchange(pair.subject)
        for (index, script) in scripts.enumerated() {
            expectSame("kept \(script)", "body", expected[index], actual[index])
        }
    }
}
