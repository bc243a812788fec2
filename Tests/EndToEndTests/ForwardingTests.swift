import Foundation
import TestSupport
import Testing

/// nginx in front of the daemon: Unix socket and TCP, a connection per request and kept ones.
@Suite(.daemons, .needsNginx)
struct ForwardingTests {
    struct Transport: Sendable, CustomStringConvertible {
        let isTCP: Bool
        let keeps: Bool
        var description: String { (isTCP ? "TCP" : "Unix socket") + (keeps ? ", kept" : "") }
    }

    private static let transports = [false, true].flatMap { tcp in
        [false, true].map { Transport(isTCP: tcp, keeps: $0) }
    }

    private struct Stack {
        let daemon: Daemon
        let server: WebServer
        let client: HTTPClient
    }

    private func start(_ transport: Transport, program: Program = .underTest, _ more: String = "") throws
        -> Stack
    {
        // Kept connections must not use up php-fpm's workers: nginx keeps up to 8.
        let pool = """
            [www]
            user = www-data
            listen = \(transport.isTCP ? "127.0.0.1:{{PORT}}" : "{{SOCKET}}")
            listen.owner = www-data
            pm = static
            pm.max_children = 10
            pm.status_path = /status
            ping.path = /ping
            \(more)
            """
        let daemon = try Daemon.start(pool, .init(program: program, ini: .distribution))
        let upstream = transport.isTCP ? "127.0.0.1:\(try daemon.port())" : "unix:\(daemon.socketPaths[0])"
        let server = try WebServer(
            upstream: upstream,
            root: daemon.documentRoot,
            keepsConnections: transport.keeps
        )
        return Stack(daemon: daemon, server: server, client: HTTPClient(port: server.port))
    }

    private static let requests: [(method: String, path: String, body: String?)] = [
        ("GET", "/hello.php", nil), ("HEAD", "/hello.php", nil), ("GET", "/missing.php", nil),
        ("GET", "/page.html", nil),
        ("GET", "/server.php?a=b&c=%20d", nil), ("GET", "/server.php/path/info?x=1", nil),
        ("POST", "/input.php", "a=1&b=2"),
        ("PUT", "/input.php", "bytes"), ("GET", "/headers.php?code=404", nil),
        ("GET", "/headers.php?code=304", nil),
        ("GET", "/headers.php?header[]=Location:%20/x", nil),
        ("GET", "/headers.php?header[]=Set-Cookie:%20a=1&header[]=Set-Cookie:%20b=2", nil),
        ("GET", "/fatal.php", nil), ("GET", "/exit.php", nil), ("GET", "/large.php?bytes=200000", nil),
        ("GET", "/ping", nil),
        ("GET", "/status", nil), ("GET", "/auth.php", nil), ("GET", "/all-headers.php", nil),
        ("GET", "/user-ini/sub/settings.php?names=precision", nil),
        ("OPTIONS", "/hello.php", nil), ("DELETE", "/server.php", nil),
    ]

    private func visit(_ stack: Stack) throws -> [Step] {
        try Self.requests.map { method, path, body in
            let headers = body == nil ? [:] : ["Content-Type": "application/x-www-form-urlencoded"]
            let response = try stack.client.request(
                method,
                path,
                headers: headers,
                body: body.map { Array($0.utf8) }
            )
            return Step(name: "\(method) \(path)", response: response)
        }
    }

    @Test(.needsReference, arguments: transports) func sameAsPHPFPM(transport: Transport) throws {
        guard let program = Program.reference else { return }
        let reference = try start(transport, program: program)
        let subject = try start(transport)
        expectSameVisit(try visit(reference), try visit(subject)) { text in
            [reference, subject].reduce(text) { text, stack in
                text.replacingOccurrences(of: stack.daemon.directory, with: "DIR")
                    .replacingOccurrences(
                        of: stack.daemon.directory.replacingOccurrences(of: "/", with: "\\/"),
                        with: "DIR"
                    )
                    .replacingOccurrences(of: "\(stack.server.port)", with: "PORT")
            }
            .replacing(#/"REQUEST_TIME(_FLOAT)?":[\d.]+|"REMOTE_PORT":"\d+"/#, with: "N")
            .replacing(#/start (time|since): .*/#, with: "N")
            // php-fpm does not know the accept queue of a Unix socket, and shows 0.
            .replacing(#/listen queue len: +\d+/#, with: "N")
            // php-fpm counts an idle kept connection as a request begun and as an active process.
            .replacing(#/((max )?active|idle|total) processes: +\d+|accepted conn: +\d+/#, with: "N")
        }
    }

    @Test(arguments: transports) func uploads(transport: Transport) throws {
        let stack = try start(transport)
        let content = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 + $0 >> 10) }
        for _ in 1...3 {
            let response = try stack.client.upload(
                "/input.php",
                form: [("a", "1")],
                field: "f",
                name: "x.png",
                content: content
            )
            #expect(response.status == 200)
            #expect(response.text.contains("\"size\":1048576"))
            #expect(response.text.contains("\"post\":{\"a\":\"1\"}"))
        }
    }

    @Test(arguments: transports) func manyRequests(transport: Transport) throws {
        let stack = try start(transport)
        for number in 1...300 {
            let response = try stack.client.get("/input.php?n=\(number)")
            #expect(response.text.contains("\"get\":{\"n\":\"\(number)\"}"))
        }
        stack.server.stop()
        #expect(stack.server.complaints.isEmpty)
    }

    @Test(arguments: transports) func visitorGoesAway(transport: Transport) throws {
        let stack = try start(transport)
        for _ in 1...10 {
            let connection = try FastCGIConnection(.tcp("127.0.0.1", stack.server.port))
            try connection.send(stack.client.head("GET", "/large.php?bytes=5000000", bodyLength: nil))
            #expect(connection.isReadable(within: patience))
            connection.abort()
        }
        #expect(try stack.client.get("/hello.php").text == "hello, world\n")
    }

    @Test(arguments: transports) func answersBesideBusyWorkers(transport: Transport) throws {
        let stack = try start(transport)
        let held = try (1...4).map { number in
            let connection = try FastCGIConnection(.tcp("127.0.0.1", stack.server.port))
            try connection.send(
                stack.client.head(
                    "GET",
                    "/hold.php?dir=\(stack.daemon.scratch)&name=\(number)",
                    bodyLength: nil
                )
            )
            return connection
        }
        try stack.daemon.waitUntilStarted((1...4).map(String.init))
        #expect(try stack.client.get("/hello.php").status == 200)
        try stack.daemon.releaseHeld()
        for (index, connection) in held.enumerated() {
            #expect(try HTTPResponse(try connection.readToEnd()).text == "held \(index + 1)")
        }
    }

    @Test(.fpmdOnly("loses some of them"), arguments: transports) func reloadUnderLoad(transport: Transport)
        throws
    {
        let stack = try start(transport)
        for round in 1...3 {
            stack.daemon.signal(SIGUSR2)
            for _ in 1...50 { #expect(try stack.client.get("/hello.php").status == 200, "round \(round)") }
            try stack.daemon.waitForLog(/ready to handle connections/)
        }
        stack.server.stop()
        #expect(stack.server.complaints.isEmpty)
    }
}
