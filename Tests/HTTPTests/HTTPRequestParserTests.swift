import HTTP
import Testing

/// What a stranger may send to the metrics listener.
@Suite struct HTTPRequestParserTests {
    private func parse(_ text: String) -> HTTPRequestParser.Outcome { parse(Array(text.utf8)) }
    private func parse(_ bytes: [UInt8]) -> HTTPRequestParser.Outcome { HTTPRequestParser.parse(bytes.span) }

    private func request(_ text: String) -> HTTPRequest? {
        guard case .request(let request, let consumed) = parse(text), consumed == text.utf8.count else {
            return nil
        }
        return request
    }

    @Test func aScrape() throws {
        let request = try #require(
            self.request(
                "GET /metrics?a=b HTTP/1.1\r\nHost: localhost:9253\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4\r\n\r\n"
            )
        )
        #expect(request.path == Array("/metrics".utf8))
        #expect(request.query == Array("a=b".utf8))
        #expect(!request.isHead)
        #expect(request.minorVersion == 1)
        #expect(request.keepsConnection)
        #expect(request.acceptsOpenMetrics)
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nconnection: x , CLOSE\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("HEAD / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
    ])
    func keepAlive(text: String, keeps: Bool) throws {
        #expect(try #require(self.request(text)).keepsConnection == keeps)
    }

    @Test(arguments: [
        ("GET / HTTP/1.0\r\n\r\n", "/", ""), ("GET http://host HTTP/1.0\r\n\r\n", "/", ""),
        ("GET http://host/x?y?z HTTP/1.0\r\n\r\n", "/x", "y?z"),
        ("GET HTTP://host?q HTTP/1.0\r\n\r\n", "/", "q"),
        ("\r\nGET /a%2F..? HTTP/1.0\r\n\r\n", "/a%2F..", ""),
        ("GET //metrics HTTP/1.9\r\nHost:\r\n\r\n", "//metrics", ""),
        ("GET / HTTP/1.0\r\nContent-Length: 000\r\n\r\n", "/", ""),
        ("GET / HTTP/1.0\r\nX: a\tb \u{e4}\r\nY:\r\n\r\n", "/", ""),
    ])
    func targets(text: String, path: String, query: String) throws {
        let request = try #require(self.request(text))
        #expect(String(decoding: request.path, as: UTF8.self) == path)
        #expect(String(decoding: request.query, as: UTF8.self) == query)
    }

    static let refusals: [(String, HTTPRefusal)] = [
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", .badRequest), ("GET\r\n\r\n", .badRequest),
        ("GET /\r\n\r\n", .badRequest),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", .badRequest),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", .badRequest),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", .badRequest),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", .badRequest),
        ("GET / HTTP/11\r\n\r\n", .badRequest), ("GET / HTTP/1.10\r\n\r\n", .badRequest),
        ("GET / HTTP/x.1\r\n\r\n", .badRequest), ("GET x HTTP/1.0\r\n\r\n", .badRequest),
        ("GET * HTTP/1.0\r\n\r\n", .badRequest), ("GET ?a HTTP/1.0\r\n\r\n", .badRequest),
        ("GET http:/// HTTP/1.0\r\n\r\n", .badRequest), ("GET /#a HTTP/1.0\r\n\r\n", .badRequest),
        ("GET /\u{e4} HTTP/1.0\r\n\r\n", .badRequest), ("G(T / HTTP/1.0\r\n\r\n", .badRequest),
        ("GET / HTTP/1.0\nHost: a\n\n", .badRequest), ("GET / HTTP/1.0\r\r\n", .badRequest),
        ("GET /\u{0} HTTP/1.0\r\n\r\n", .badRequest), ("GET / HTTP/1.0\r\nA\u{7f}: b\r\n\r\n", .badRequest),
        ("GET / HTTP/1.1\r\n\r\n", .badRequest),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .badRequest),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .badRequest),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", .badRequest),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", .badRequest),
        ("GET / HTTP/1.0\r\nnothing\r\n\r\n", .badRequest),
        ("GET / HTTP/1.0\r\n: x\r\n\r\n", .badRequest),
        ("GET / HTTP/1.0\r\nContent-Length: x\r\n\r\n", .badRequest),
        ("GET / HTTP/1.0\r\nContent-Length:\r\n\r\n", .badRequest),
        ("GET / HTTP/1.0\r\nContent-Length: -1\r\n\r\n", .badRequest),
        ("POST / HTTP/1.0\r\n\r\n", .methodNotAllowed), ("get / HTTP/1.0\r\n\r\n", .methodNotAllowed),
        ("OPTIONS * HTTP/1.0\r\n\r\n", .methodNotAllowed),
        ("CONNECT a:1 HTTP/1.0\r\n\r\n", .methodNotAllowed),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .versionNotSupported),
        ("GET / HTTP/0.9\r\n\r\n", .versionNotSupported),
        ("GET / HTTP/3.0\r\n\r\n", .versionNotSupported),
        ("GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", .contentTooLarge),
        ("GET / HTTP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n", .contentTooLarge),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .contentTooLarge),
        ("GET /" + String(repeating: "a", count: 5000), .targetTooLong),
        ("GET / HTTP/1.0\r\nA: " + String(repeating: "a", count: 17_000), .headerTooLarge),
        ("GET / HTTP/1.0\r\n" + String(repeating: "A: b\r\n", count: 101) + "\r\n", .headerTooLarge),
        (
            "GET / HTTP/1.0\r\n" + String(repeating: "A: bcdefghijklmnopqrstuvwxyz\r\n", count: 800),
            .headerTooLarge
        ),
    ]

    @Test(arguments: refusals) func refused(text: String, refusal: HTTPRefusal) {
        #expect(parse(text) == .refused(refusal), "\(text.debugDescription.prefix(80))")
    }

    /// Nothing is decided before it must be, and never differently because of how the bytes arrive.
    @Test func everyPrefixWaits() {
        let text = Array("\r\nGET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n".utf8)
        for length in 0..<text.count { #expect(parse(Array(text[..<length])) == .needMore) }
        guard case .request(_, let consumed) = parse(text + Array("GET".utf8)) else {
            Issue.record("not a request")
            return
        }
        #expect(consumed == text.count)
    }

    @Test func arbitraryBytes() {
        var generator = SplitMix(state: 20)
        let seeds =
            Self.refusals.map { Array($0.0.utf8.prefix(200)) } + [
                Array(
                    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: a/b\r\nConnection: close\r\n\r\n"
                        .utf8
                )
            ]
        for round in 0..<20_000 {
            var bytes = seeds[Int(generator.next() % UInt64(seeds.count))]
            for _ in 0..<(generator.next() % 4) where !bytes.isEmpty {
                let place = Int(generator.next() % UInt64(bytes.count))
                switch generator.next() % 3 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: generator.next())
                case 1: bytes.remove(at: place)
                default: bytes.insert(UInt8(truncatingIfNeeded: generator.next()), at: place)
                }
            }
            if round % 5 == 0 { bytes = (0..<64).map { _ in UInt8(truncatingIfNeeded: generator.next()) } }
            if case .request(let request, let consumed) = parse(bytes) {
                #expect(consumed <= bytes.count && request.path.first == UInt8(ascii: "/"))
            }
        }
    }

    private struct SplitMix {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
            return mixed ^ mixed >> 31
        }
    }
}

@Suite struct HTTPResponseTests {
    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
        (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT"), (-5, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (Int64.max, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ])
    func dates(seconds: Int64, text: String) { #expect(httpDate(seconds) == text) }

    @Test func heads() {
        var head = HTTPResponseHead(
            "200 OK",
            contentType: "text/plain",
            body: .length(3),
            keepsConnection: true
        )
        head.fields = ["Allow: GET, HEAD"]
        #expect(
            String(decoding: head.bytes(at: 0), as: UTF8.self)
                == "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nAllow: GET, HEAD\r\n\r\n"
        )
        head = HTTPResponseHead(
            "200 OK",
            contentType: "text/plain",
            body: .untilClosed,
            keepsConnection: true
        )
        #expect(
            String(decoding: head.bytes(at: 0), as: UTF8.self).hasSuffix(
                "nosniff\r\nConnection: close\r\n\r\n"
            )
        )
        #expect(
            HTTPResponseHead.chunk(Array(repeating: 65, count: 17))
                == Array("11\r\nAAAAAAAAAAAAAAAAA\r\n".utf8)
        )
    }
}
