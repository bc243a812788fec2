import StatusPage
import Testing

@Suite struct MetricsExpositionTests {
    private func pool(_ name: String) -> PoolFigures {
        let start = StartTime(epochSeconds: 0, text: [], secondsSince: 7)
        let status = PoolStatus(pool: Array(name.utf8), processManager: Array("static".utf8), start: start)
        var pool = PoolFigures(status: status, maxChildren: 4)
        pool.scrapeURI = Array("unix:///a\"b\\c\n;/s".utf8)
        pool.totals.wait.add(2, toBucket: 0)
        pool.totals.wait.add(1, toBucket: 21)
        pool.totals.wait.add(microseconds: 1_500_000)
        return pool
    }

    private func text(_ pools: [PoolFigures], _ format: MetricsExposition.Format = .text) -> (
        String, pieces: Int
    ) {
        var exposition = MetricsExposition(
            service: ServiceFigures(version: Array("1.2".utf8)),
            pools: pools,
            format: format
        )
        var bytes: [UInt8] = []
        var pieces = 0
        while let piece = exposition.next() {
            bytes += piece
            pieces += 1
            #expect(piece.count < 64 << 10)
        }
        return (String(decoding: bytes, as: UTF8.self), pieces)
    }

    @Test func histogram() {
        let page = text([pool("www")]).0
        for line in [
            "# TYPE phpfpm_queue_wait_seconds histogram",
            "phpfpm_queue_wait_seconds_bucket{pool=\"www\",le=\"0.000128\"} 2",
            "phpfpm_queue_wait_seconds_bucket{pool=\"www\",le=\"1.048576\"} 2",
            "phpfpm_queue_wait_seconds_bucket{pool=\"www\",le=\"134.217728\"} 2",
            "phpfpm_queue_wait_seconds_bucket{pool=\"www\",le=\"+Inf\"} 3",
            "phpfpm_queue_wait_seconds_sum{pool=\"www\"} 1.5",
            "phpfpm_queue_wait_seconds_count{pool=\"www\"} 3",
        ] {
            #expect(page.contains("\n\(line)\n"), "\(line)")
        }
    }

    @Test func labelsAreEscaped() {
        var bad = pool("")
        bad.status.pool = [0x61, 0xff, 0x22, 0x0a]
        let page = text([bad]).0
        #expect(
            page.contains("phpfpm_up{pool=\"a\u{fffd}\\\"\\n\",scrape_uri=\"unix:///a\\\"b\\\\c\\n;/s\"} 1\n")
        )
    }

    /// Samples of a family stand together, and the page is the same however many pieces it has.
    @Test func manyPoolsInPieces() {
        let pools = (0..<400).map { pool("pool\($0)") }
        let (page, pieces) = text(pools, .openMetrics)
        #expect(pieces > 20)
        #expect(page.hasSuffix("\n# EOF\n"))
        var seen: Set<Substring> = []
        var family: Substring = ""
        for line in page.split(separator: "\n") where line.hasPrefix("# TYPE ") {
            family = line.split(separator: " ")[2]
            #expect(seen.insert(family).inserted, "\(family) twice")
        }
        #expect(page.components(of: "\nphpfpm_up{") == 400)
        #expect(page.components(of: "\nphpfpm_queue_wait_seconds_count{") == 400)
    }

    /// Wherever a piece ends, in a family's head, between pools or within a pool's workers: nothing is there twice.
    @Test func piecesEndAnywhere() {
        for length in 1...16 {
            var large = pool(String(repeating: "x", count: length * 83))
            large.workers = Array(repeating: WorkerFigures(state: .running), count: 20)
            let pools = (0..<3).map { (number: UInt8) in
                var one = large
                one.status.pool.append(UInt8(ascii: "0") + number)
                return one
            }
            let lines = text(pools).0.utf8.split(separator: UInt8(ascii: "\n"))
            let heads = lines.filter { $0.starts(with: "# HELP ".utf8) }.map { String($0) }
            #expect(Set(heads).count == heads.count)
            #expect(lines.count { $0.starts(with: "phpfpm_process_requests{".utf8) } == 3 * 20)
            #expect(lines.count { $0.starts(with: "phpfpm_process_state{".utf8) } == 3 * 20 * 5)
        }
    }

    /// Thousands of pools that have nothing to show are passed in steps too; such a piece may be empty.
    @Test func manyIdlePools() {
        var idle = pool("idle")
        idle.hasServed = false
        let (page, pieces) = text(Array(repeating: idle, count: 3000))
        #expect(pieces > 3 * 10)
        #expect(page.utf8.split(separator: 10).count { $0.starts(with: "phpfpm_up{".utf8) } == 3000)
        #expect(!page.contains("_bucket"))
    }

    @Test func idlePoolsAreShort() {
        var idle = pool("idle")
        idle.hasServed = false
        let page = text([idle]).0
        #expect(page.contains("phpfpm_up{pool=\"idle\""))
        #expect(!page.contains("_bucket"))
    }

    @Test func saturation() {
        var figures = pool("www")
        figures.status.activeProcesses = 1
        #expect(figures.saturation == 0.25)
        figures.status.activeProcesses = 9
        #expect(figures.saturation == 1)
        figures.status.activeProcesses = 0
        figures.queue.isSaturated = true
        #expect(figures.saturation == 1)
        figures = PoolFigures(status: figures.status, maxChildren: 0)
        #expect(figures.saturation == 0)
    }

    @Test func sumsStayAtTheMaximum() {
        var totals = PoolTotals()
        totals.service.add(.max, toBucket: 3)
        totals.service.add(microseconds: .max)
        totals.exits[.crash] = .max
        var sum = totals
        sum.add(totals)
        #expect(sum == totals)
        #expect(sum.service.count == .max)
    }

    @Test func dashboardIsNotPHPFPMs() {
        let query = { (text: String) in StatusQuery(Array(text.utf8).span) }
        #expect(query("dashboard").isDashboard && query("dashboard").format == .html)
        #expect(!query("dash").isDashboard && query("d").format == .text)
        #expect(query("json&full&figures").hasFigures && query("json&full&figures").format == .json)
        #expect(!query("html&full").isDashboard)
    }

    /// Browsers, but nobody else, get the live page for `?html`.
    @Test(arguments: [
        ("html", "text/html,application/xhtml+xml,*/*;q=0.8", true), ("h", "text/html", true),
        ("html&full", "application/xml, text/html", true), ("html", "*/*", false), ("html", "", false),
        ("html", "text/htm", false), ("json", "text/html", false), ("", "text/html", false),
        ("dashboard", "*/*", true),
    ]) func browsersGetTheLivePage(_ text: String, _ accept: String, _ expected: Bool) {
        var query = StatusQuery(Array(text.utf8).span)
        let format = query.format
        query.adapt(toAccept: Array(accept.utf8).span)
        #expect(query.isDashboard == expected && query.format == format)
    }
}

extension String {
    fileprivate func components(of text: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: text) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
