import Foundation
import TestSupport
import Testing

/// The access log's lines of status and ping requests that the master answers because all workers are busy: what
/// php-fpm's worker writes about the same requests.
@Suite(.daemons, .needsReference)
struct OwnAnswerParityTests {
    private static let pool =
        "pm = static\npm.max_children = 1\npm.status_path = /status\nping.path = /ping\naccess.log = {{DIR}}/access.log\n"

    private static func requests(_ daemon: Daemon) -> [(String, FastCGIRequest)] {
        func basic(_ text: String) -> [String: String] {
            ["HTTP_AUTHORIZATION": "Basic " + Data(text.utf8).base64EncodedString()]
        }
        return [
            ("ping", daemon.makeRequest("/ping")),
            ("status", daemon.makeRequest("/status")),
            ("status json", daemon.makeRequest("/status", query: "json&full")),
            ("status html", daemon.makeRequest("/status", query: "html")),
            ("ping HEAD", daemon.makeRequest("/ping", method: "HEAD")),
            ("status HEAD", daemon.makeRequest("/status", method: "HEAD")),
            ("ping query", daemon.makeRequest("/ping", query: "a=b&c=%20\"")),
            ("ping user", daemon.makeRequest("/ping", headers: basic("jane:secret"))),
            ("ping no password", daemon.makeRequest("/ping", headers: basic("jane"))),
            (
                "ping long user",
                daemon.makeRequest("/ping", headers: basic(String(repeating: "u", count: 40) + ":p"))
            ),
            ("ping body", daemon.makeRequest("/ping", body: Array("a=1".utf8), contentType: "text/plain")),
            ("ping long query", daemon.makeRequest("/ping", query: String(repeating: "q", count: 600))),
            ("ping long method", daemon.makeRequest("/ping", method: String(repeating: "M", count: 30))),
        ]
    }

    /// The lines of both, in the order of the requests; the subject's worker is busy meanwhile.
    private static func lines(_ pair: Pair, _ count: Int) throws -> (expected: [String], actual: [String]) {
        let blocker = try pair.subject.hold("blocker")
        try pair.subject.waitUntilStarted(["blocker"])
        for (name, request) in requests(pair.reference) {
            #expect(try pair.reference.send(request).isComplete, "php-fpm, \(name)")
        }
        for (name, request) in requests(pair.subject) {
            #expect(try pair.subject.send(request).isComplete, "\(name)")
        }
        // All of them are there before the worker's own line.
        let actual = try LogFile(path: pair.subject.directory + "/access.log").waitForLines(count)
        try pair.subject.releaseHeld()
        #expect(try blocker.finalResponse().isComplete)
        let expected = try LogFile(path: pair.reference.directory + "/access.log").waitForLines(count)
        return (expected, actual)
    }

    @Test func lines() throws {
        let format =
            "%% %m|%r|%q|%Q|%s|%n|%f|%l|%u|%R|%C|%{user}C|%{HTTP_HOST}e|%{NONE}e|%{Content-type}o|%{Content-Type}o|%{Expires}o|%{Cache-Control}o|%{X-Powered-By}o|%t|%T|%{%Y}t"
        let pair = try Pair(Self.pool + "access.format = \"\(format)\"\n")
        let names = Self.requests(pair.reference).map(\.0)
        let (expected, actual) = try Self.lines(pair, names.count)
        #expect(expected.count == names.count)
        #expect(actual.count == names.count)
        let clock = #/\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}/#
        for (name, lines) in zip(names, zip(expected, actual)) {
            expectSame(
                "access log of the master, \(name)",
                "line",
                normalise(lines.0, of: pair.reference).replacing(clock, with: "TIME"),
                normalise(lines.1, of: pair.subject).replacing(clock, with: "TIME")
            )
        }
    }

    /// php-fpm leaves out the same ones.
    @Test func suppressedPaths() throws {
        let pair = try Pair(
            Self.pool
                + "access.format = \"%m|%r|%q|%l\"\naccess.suppress_path[] = /ping\naccess.suppress_path[] = /status\n"
        )
        // HEAD and GET without query and body, whoever asks.
        let left = Self.requests(pair.reference).count - 7
        let (expected, actual) = try Self.lines(pair, left)
        #expect(expected.count == left)
        #expect(expected == actual)
    }

    /// Numbers that differ by nature: who answers, how long it took, the memory of a PHP that is not there.
    @Test func numbers() throws {
        let pair = try Pair(Self.pool + "access.format = \"%p %P %{micro}d %M\"\n")
        let (expected, actual) = try Self.lines(pair, Self.requests(pair.reference).count)
        for line in expected {
            let fields = line.split(separator: " ").compactMap { Int($0) }
            try #require(fields.count == 4, "\(line)")
            #expect(fields[0] != fields[1] && fields[1] == Int(pair.reference.master))
        }
        for line in actual {
            let fields = line.split(separator: " ").compactMap { Int($0) }
            try #require(fields.count == 4, "\(line)")
            #expect(fields[0] == Int(pair.subject.master) && fields[1] == Int(pair.subject.master))
            #expect(fields[2] > 0 && fields[2] < 60_000_000 && fields[3] == 0)
        }
    }
}
