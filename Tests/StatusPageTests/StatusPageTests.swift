import Foundation
import StatusPage
import Testing

/// Pages written by php-fpm 8.2.36; pids, times and durations were replaced by fixed ones.
@Suite struct StatusPageTests {
    static let start = StartTime(
        epochSeconds: 1_795_348_817,
        text: Array("22/Nov/2026:12:00:17 +0000".utf8),
        secondsSince: 1
    )

    static var page: StatusPage {
        var pool = PoolStatus(pool: Array("www".utf8), processManager: Array("static".utf8), start: start)
        pool.acceptedConnections = 2
        pool.idleProcesses = 1
        pool.activeProcesses = 1
        pool.maxActiveProcesses = 1
        var first = ProcessStatus(pid: 31684, state: .idle, start: start)
        first.requests = 1
        first.requestDuration = 393
        first.requestMethod = Array("P\"<>".utf8)
        first.requestURI = Array("/st".utf8)
        first.queryString = Array("q=<\"'&/\\é€😀\u{1}\t".utf8)
        first.contentLength = 17
        first.user = Array("u<&\"/é".utf8)
        first.script = Array("/srv/app/a&b.php".utf8)
        first.lastRequestMemory = 2_097_152
        var second = ProcessStatus(pid: 31685, state: .running, start: start)
        second.requests = 1
        second.requestDuration = 12
        second.requestMethod = Array("GET".utf8)
        second.requestURI = Array("/st".utf8)
        second.contentLength = 17
        second.script = Array("/srv/app/x.php".utf8)
        return StatusPage(pool: pool, processes: [first, second])
    }

    @Test(
        arguments: [
            ("text", StatusFormat.text, ""), ("html", .html, "html&"), ("xml", .xml, "xml&"),
            ("json", .json, "json&"), ("openmetrics", .openMetrics, "openmetrics&"),
        ],
        [false, true]
    )
    func pageIsThatOfPHPFPM(format: (name: String, format: StatusFormat, key: String), isFull: Bool) throws {
        let name = isFull ? "\(format.name)-full" : format.name
        let url = try #require(Bundle.module.url(forResource: "Fixtures/\(name)", withExtension: "golden"))
        let golden = try Data(contentsOf: url)
        var page = Self.page
        page.processes[1].queryString = Array("\(format.key)full&bad=<b>".utf8)
        let rendered = page.render(StatusQuery(format: format.format, isFull: isFull))
        #expect(String(decoding: rendered, as: UTF8.self) == String(decoding: golden, as: UTF8.self))
        #expect(Array(golden) == rendered)
    }

    @Test func memoryPeakIsShownWhenThere() {
        var page = Self.page
        page.pool.memoryPeak = 4096
        func text(_ format: StatusFormat) -> String {
            String(decoding: page.render(StatusQuery(format: format)), as: UTF8.self)
        }
        #expect(text(.text).hasSuffix("slow requests:        0\nmemory peak:          4096\n"))
        #expect(text(.json).hasSuffix(",\"memory peak\":4096}"))
        #expect(text(.xml).hasSuffix("<memory-peak>4096</memory-peak>\n</status>"))
        #expect(text(.openMetrics).hasSuffix("gauge\nphpfpm_memory_peak 4096\n# EOF\n"))
    }

    @Test(
        arguments: [
            (0, "0.00"), (0.004, "0.00"), (0.006, "0.01"), (99.999, "100.00"), (12.345678, "12.35"),
            (250.1, "250.10"), (-1, "0.00"), (Double.nan, "0.00"), (.infinity, "0.00"),
        ] as [(Double, String)]
    )
    func processorShareHasTwoDecimals(share: Double, text: String) {
        var page = Self.page
        page.processes = [page.processes[0]]
        page.processes[0].lastRequestCPU = share
        let json = String(decoding: page.render(StatusQuery(format: .json, isFull: true)), as: UTF8.self)
        #expect(json.contains("\"last request cpu\":\(text),"))
    }

    /// What php-fpm 8.2.36 makes of a query in JSON and in XML; empty means that the text was refused.
    @Test(
        arguments: [
            (Array("a'b\"c<d>&e".utf8), "a'b\\\"c<d>&e", "a'b&quot;c&lt;d&gt;&amp;e"),
            (
                Array("a\u{1}b\u{7f}c\td\ne\rf".utf8), "a\\u0001b\u{7f}c\\td\\ne\\rf",
                "a\u{fffd}b\u{7f}c\td\ne\rf"
            ),
            (Array("é€😀".utf8), "\\u00e9\\u20ac\\ud83d\\ude00", "é€😀"),
            ([0x62, 0xff, 0x7a], "bz", ""),
            ([0xef, 0xbf, 0xbe, 0xef, 0xbf, 0xbf], "\\ufffe\\uffff", "\u{fffd}\u{fffd}"),
            (Array("\u{85}\u{a0}".utf8), "\\u0085\\u00a0", "\u{85}\u{a0}"),
            ([0xed, 0xa0, 0x80, 0x78], "x", ""),
            ([0xc0, 0x80, 0x78], "x", ""),
            ([0xf4, 0x90, 0x80, 0x80, 0x78], "x", ""),
            (Array("\u{2028}/".utf8), "\\u2028\\/", "\u{2028}/"),
            (Array("\u{b}\u{c}\u{8}\\".utf8), "\\u000b\\f\\b\\\\", "\u{fffd}\u{fffd}\u{fffd}\\"),
            ([0x74, 0xe2, 0x82], "t", ""),
            ([0xe2, 0x41, 0xf0, 0x9f, 0x98, 0x7a], "Az", ""),
            (Array("\u{10ffff}".utf8), "\\udbff\\udfff", "\u{10ffff}"),
        ] as [([UInt8], String, String)]
    )
    func stringsAreEscaped(query: [UInt8], json: String, markup: String) {
        var page = Self.page
        page.processes = [page.processes[1]]
        page.processes[0].queryString = query
        func text(_ format: StatusFormat) -> String {
            String(decoding: page.render(StatusQuery(format: format, isFull: true)), as: UTF8.self)
        }
        #expect(text(.json).contains("\"request uri\":\"\\/st?\(json)\",\"content length\""))
        #expect(text(.xml).contains("<request-uri>/st?\(markup)</request-uri>"))
        #expect(text(.html).contains("<td>/st?\(markup)</td>"))
    }

    @Test func aPoolNameCannotBreakOut() {
        var page = Self.page
        page.pool.pool = Array("a\"<b>\n\\".utf8)
        func text(_ format: StatusFormat) -> String {
            String(decoding: page.render(StatusQuery(format: format)), as: UTF8.self)
        }
        #expect(text(.json).hasPrefix("{\"pool\":\"a\\\"<b>\\n\\\\\","))
        #expect(text(.html).contains("<td>a&quot;&lt;b&gt;\n\\</td>"))
        #expect(text(.openMetrics).hasPrefix("# HELP phpfpm_up Could pool a\\\"<b>\\n\\\\ using"))
    }

    @Test(
        arguments: [
            ("", StatusFormat.text, false), ("full", .text, true), ("f", .text, true), ("json", .json, false),
            ("j", .json, false), ("js", .json, false), ("json=1", .json, false), ("json&full", .json, true),
            ("xml&json", .xml, false), ("json&h", .html, false), ("o&f", .openMetrics, true),
            ("openmetrics&x", .xml, false), ("jsonx", .text, false), ("JSON", .text, false),
            ("json[]=1", .json, false), ("full[a]=1&xml", .xml, true), ("%6A", .json, false),
            ("+json", .json, false), ("%20json", .json, false), ("json;full", .text, false),
            ("json.x", .text, false),
            ("js on", .text, false), ("&&x", .xml, false), ("x%00ml", .xml, false), ("=json", .text, false),
            ("[json", .text, false), ("json%5Bfull", .text, false), ("json%00", .json, false),
            ("0", .text, false),
            ("x=json", .xml, false), ("%", .text, false), ("%6", .text, false), ("+", .text, false),
        ] as [(String, StatusFormat, Bool)]
    )
    func queryChoosesTheForm(query: String, format: StatusFormat, isFull: Bool) {
        let bytes = Array(query.utf8)
        #expect(StatusQuery(bytes.span) == StatusQuery(format: format, isFull: isFull))
    }
}
