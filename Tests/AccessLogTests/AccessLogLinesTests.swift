import AccessLog
import Configuration
import FastCGI
import Syscalls
import Testing

/// Lines of the access log, by table.
struct AccessLogLinesTests {
    private func line(
        _ format: String,
        suppressed: [ByteString] = [],
        isJournal: Bool = false,
        parameters: [(String, String)] = [],
        _ change: (inout LoggedRequest) -> Void = { _ in }
    ) throws -> AccessLogLines.Line? {
        var request = LoggedRequest()
        request.method = Array("GET".utf8)
        request.uri = Array("/ping".utf8)
        request.process = ProcessID(12)
        request.master = ProcessID(7)
        request.duration = .milliseconds(1500)
        change(&request)
        var table = ParameterTable()
        table.reset(role: .responder)
        for (name, value) in parameters {
            let pair =
                [UInt8(name.utf8.count), UInt8(value.utf8.count)] + Array(name.utf8) + Array(value.utf8)
            try table.append(pair.span)
        }
        try table.finish()
        let lines = AccessLogLines(
            format: try AccessLogFormat(ByteString(format)),
            pool: "www",
            suppressed: suppressed,
            isJournal: isJournal
        )
        return lines.line(for: request, table) { $0 == "X-A" ? Array("value".utf8) : nil }
    }

    @Test(arguments: [
        ("%m %r %s", "GET /ping 200\n"),
        ("%n|%p|%P|%R|%f|%u|%q|%Q|%l", "www|12|7|-|-||||0\n"),
        ("%{X-A}o %{x-a}o", "value -\n"),
        ("%{HOST}e %{NONE}e", "here -\n"),
        ("%d %{milli}d %{micro}d", "1.500 1500.000 1500000\n"),
        ("%C %{user}C %{system}C", "20.00 13.33 6.67\n"),
        ("%M %{kilo}M %{mega}M", "2097152 2048 2\n"),
    ])
    func tokens(_ format: String, _ expected: String) throws {
        let line = try line(format, parameters: [("HOST", "here")]) {
            $0.cpuUser = 0.2
            $0.cpuSystem = 0.1
            $0.memoryPeak = 2 << 20
        }
        #expect(line.map { String(decoding: $0.bytes, as: UTF8.self) } == expected)
        #expect(line?.isTruncated == false)
    }

    @Test func longLinesAreCut() throws {
        let line = try line("%q") { $0.query = Array(repeating: UInt8(ascii: "x"), count: 2000) }
        #expect(line?.bytes.count == AccessLogLines.longest + 1)
        #expect(line?.isTruncated == true)
    }

    @Test func emptyLinesAreNone() throws { #expect(try line("%u") == nil) }

    @Test func suppressedPaths() throws {
        let paths: [ByteString] = ["/other", "/ping"]
        #expect(try line("%r", suppressed: paths) == nil)
        #expect(try line("%r", suppressed: paths) { $0.method = Array("HEAD".utf8) } == nil)
        #expect(try line("%r", suppressed: ["/pin"]) != nil)
        #expect(try line("%r", suppressed: paths) { $0.method = Array("POST".utf8) } != nil)
        #expect(try line("%r", suppressed: paths) { $0.query = Array("a".utf8) } != nil)
        #expect(try line("%r", suppressed: paths) { $0.status = 404 } != nil)
        #expect(try line("%r", suppressed: paths) { $0.contentLength = 1 } != nil)
    }

    @Test func journalEntries() throws {
        let entry = try line("%m", isJournal: true, parameters: [("REQUEST_ID", "abc\n")]) {
            $0.query = Array("a=b".utf8)
            $0.status = 204
        }
        let text = entry.map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
        for field in [
            "PRIORITY=6\n", "FPMD_POOL=www\n", "FPMD_WORKER=12\n", "FPMD_REQUEST_ID=abc\\x0a\n",
            "FPMD_METHOD=GET\n", "FPMD_URI=/ping?a=b\n", "FPMD_STATUS=204\n", "FPMD_DURATION_USEC=1500000\n",
            "MESSAGE=GET\n",
        ] { #expect(text.contains(field), "\(field) in \(text)") }
    }

    @Test(arguments: [
        ("Basic amFuZTpzZWNyZXQ=", "jane"),
        ("basic amFuZTpzZWNyZXQ", "jane"),
        ("BASIC am Fu-ZTpz", "jane"),
        ("Basic OnNlY3JldA==", ""),
        ("Basic amFuZQ==", ""),
        ("Basic", ""),
        ("Digest username=\"jane\"", ""),
        ("", ""),
    ])
    func users(_ header: String, _ user: String) {
        #expect(BasicAuthentication.user(of: Array(header.utf8)) == Array(user.utf8))
    }

    @Test func textsEndWhereTheScoreboardEndsThem() {
        #expect(LoggedRequest.text([1, 2, 0, 3], 10) == [1, 2])
        #expect(LoggedRequest.text([1, 2, 3], 2) == [1, 2])
    }
}
