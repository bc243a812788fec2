import Foundation
import TestSupport
import Testing

/// Strangers at the metrics listener.
@Suite(.daemons, .fpmdOnly("has no metrics listener"))
struct MetricsListenerTests {
    private static let pool = "pm = static\npm.max_children = 1\n"

    private func start(_ global: String = MetricsTests.global) throws -> (Daemon, Metrics) {
        let daemon = try Daemon.startPool(Self.pool, Daemon.Options(global: global))
        return (daemon, Metrics(port: try daemon.port("metrics")))
    }

    struct BadRequest: CustomTestStringConvertible {
        var text: String
        var status: Int
        var testDescription: String { "\(status): \(text.prefix(20).debugDescription)" }
    }

    static let badRequests: [BadRequest] = [
        ("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405), ("DELETE / HTTP/1.0\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 400), ("GET /metrics HTTP/1.1\r\n\r\n", 400), ("\u{16}\u{3}\u{1}\u{2}", 400),
        ("GET /metrics HTTP/2.0\r\n\r\n", 505), ("GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 413),
        ("GET /" + String(repeating: "a", count: 8000) + " HTTP/1.0\r\n\r\n", 414),
        ("GET / HTTP/1.0\r\n" + String(repeating: "A: aaaaaaaaaaaaaaaaaaaaaaaa\r\n", count: 900), 431),
    ].map { BadRequest(text: $0.0, status: $0.1) }

    @Test(arguments: badRequests) func badRequest(_ request: BadRequest) throws {
        let (text, status) = (request.text, request.status)
        let (_, metrics) = try start()
        let answer = try metrics.exchange(text)
        #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer.prefix(80))")
        #expect(answer.contains("\r\nConnection: close\r\n"))
        #expect(answer.contains("\r\nAllow: GET, HEAD\r\n") == (status == 405))
        #expect(try metrics.get("/live").status == 200)
    }

    @Test func incompleteRequestsTimeOut() throws {
        let (_, metrics) = try start()
        #expect(try metrics.exchange("GET /metr").hasPrefix("HTTP/1.1 408 Request Timeout\r\n"))
        // Who has said nothing is told nothing.
        #expect(try metrics.exchange("").isEmpty)
    }

    @Test func keptAndSentAhead() throws {
        let (_, metrics) = try start()
        let connection = try metrics.connect()
        let live = "GET /live HTTP/1.1\r\nHost: a\r\n\r\n"
        try connection.send(
            Array((live + live + "GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").utf8)
        )
        let text = String(decoding: try connection.readToEnd(), as: UTF8.self)
        #expect(text.components(separatedBy: "HTTP/1.1 200 OK\r\n").count == 4)
        #expect(text.hasSuffix("\r\n\r\nready\n"))
    }

    @Test func piecemeal() throws {
        let (_, metrics) = try start()
        let connection = try metrics.connect()
        try connection.send(Array("GET /live HTTP/1.0\r\nHost: a\r\n\r\n".utf8), inPiecesOf: 1)
        #expect(String(decoding: try connection.readToEnd(), as: UTF8.self).hasSuffix("live\n"))
    }

    /// Silent and slow clients keep nobody out, and nobody from being served.
    @Test func floodOfConnections() throws {
        let (daemon, metrics) = try start()
        let silent = try (0..<100).map { _ in try metrics.connect() }
        let begun = try (0..<40).map { _ in
            let connection = try metrics.connect()
            try connection.send(Array("GET /metrics HT".utf8))
            return connection
        }
        #expect(try metrics.get("/metrics").status == 200)
        #expect(try daemon.get("/hello.php").isComplete)
        let count = try #require(ProcessSnapshot(pid: daemon.master)?.descriptorCount)
        #expect(count < 80, "\(count) descriptors")
        for one in silent + begun { one.close() }
        try wait(for: "the connections to be closed") {
            (ProcessSnapshot(pid: daemon.master)?.descriptorCount ?? 999) < 40
        }
    }

    @Test func arbitraryBytes() throws {
        let (_, metrics) = try start()
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<60 {
            let connection = try metrics.connect()
            let bytes = (0..<Int.random(in: 1...400, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            // It may refuse before it has been sent all.
            try? connection.send(bytes + Array("\r\n\r\n".utf8))
            let answer = String(decoding: (try? connection.readToEnd()) ?? [], as: UTF8.self)
            #expect(answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.1 505 "), "\(bytes)")
        }
        #expect(try metrics.get("/live").status == 200)
    }

    @Test func allowedClients() throws {
        let (_, metrics) = try start(MetricsTests.global + "\nmetrics.allowed_clients = 192.0.2.1, ::1")
        #expect(throws: (any Error).self) { try metrics.get("/live") }
        let (_, open) = try start(MetricsTests.global + "\nmetrics.allowed_clients = 127.0.0.1")
        #expect(try open.get("/live").status == 200)
    }

    @Test func unixSocket() throws {
        let daemon = try Daemon.startPool(
            Self.pool,
            Daemon.Options(global: "metrics.listen = {{SOCKET:metrics}}")
        )
        let connection = try FastCGIConnection(try daemon.endpoint("metrics"))
        try connection.send(Array("GET /live HTTP/1.0\r\n\r\n".utf8))
        #expect(String(decoding: try connection.readToEnd(), as: UTF8.self).hasSuffix("live\n"))
    }

    // MARK: - Configuration

    @Test func addressInUse() throws {
        let (_, metrics) = try start()
        let second = try Daemon.startInVain(
            Daemon.poolSection(Self.pool),
            Daemon.Options(global: "metrics.listen = 127.0.0.1:\(metrics.port)")
        )
        #expect(
            second.log.lines.contains {
                $0.contains("unable to bind listening socket for address '127.0.0.1:")
            }
        )
    }

    @Test(arguments: [
        ("metrics.listen = 127.0.0.1:0", "'0' is not a port"),
        ("metrics.listen = {{SOCKET}}", "is an address of pool 'www'"),
    ])
    func refusedConfiguration(line: String, reason: String) throws {
        let daemon = try Daemon.startInVain(Daemon.poolSection(Self.pool), Daemon.Options(global: line))
        #expect(daemon.log.lines.contains { $0.contains("ERROR: metrics.listen '") && $0.contains(reason) })
    }

    /// The address changes with a reload, and goes with one; one that cannot be had refuses the reload.
    @Test func reloads() throws {
        let (daemon, metrics) = try start()
        let pools = Daemon.poolSection(Self.pool)
        try daemon.rewriteConfiguration(pools, global: "metrics.listen = 127.0.0.1:{{PORT:other}}")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ready to handle connections/)
        let other = Metrics(port: try daemon.port("other"))
        #expect(try other.get("/ready").status == 200)
        #expect(throws: (any Error).self) { try metrics.get("/ready") }
        // Kept: a connection lives on.
        let connection = try other.connect()
        let live = Array("GET /live HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        try connection.send(live)
        _ = try connection.read()
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ready to handle connections/)
        try connection.send(live)
        guard case .bytes = try connection.read() else {
            Issue.record("the connection was closed")
            return
        }
        daemon.allowLog(
            /reload refused|unable to bind|see metrics\.listen: choose an address of this machine$/
        )
        try daemon.rewriteConfiguration(pools, global: "metrics.listen = 192.0.2.1:{{PORT:other}}")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/reload refused/)
        #expect(try other.get("/ready").status == 200)
        try daemon.rewriteConfiguration(pools, global: "")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ready to handle connections/)
        #expect(throws: (any Error).self) { try other.get("/ready") }
    }
}
