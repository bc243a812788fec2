import Foundation
import TestSupport
import Testing

/// The live page, in a browser.
@Suite(.daemons, .fpmdOnly("has no dashboard"))
struct DashboardTests {
    private static let pool =
        "pm = static\npm.max_children = 2\npm.status_path = /status\npm.max_queue = 10\n"
    private static let evil = "evil=<img src=x onerror=document.title=1>%22'</script><b>"
    private static let browser = "/usr/bin/chromium"

    private func start() throws -> (Daemon, Metrics) {
        let daemon = try Daemon.startPool(Self.pool, Daemon.Options(global: MetricsTests.global))
        return (daemon, Metrics(port: try daemon.port("metrics")))
    }

    /// Rows of the page's own making, and figures that follow what happens.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: browser), "needs chromium"))
    func livesInABrowser() throws {
        let (daemon, metrics) = try start()
        let held = try daemon.begin("/hold.php", query: "dir=\(daemon.scratch)&name=x&\(Self.evil)")
        try daemon.waitUntilStarted(["x"])
        for _ in 1...3 { #expect(try daemon.get("/hello.php").isComplete) }
        let home = daemon.directory + "/browser"
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: false)
        let output = daemon.directory + "/dom.html"
        let process = try ChildProcess(
            [
                Self.browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--user-data-dir=\(home)", "--virtual-time-budget=30000", "--dump-dom",
                "http://127.0.0.1:\(metrics.port)/",
            ],
            environment: baseEnvironment.merging(["HOME": home]) { $1 },
            output: output,
            errors: daemon.directory + "/browser.log"
        )
        var sent = 3
        while process.isRunning, sent < 20_000 {
            #expect(try daemon.get("/hello.php").isComplete)
            sent += 1
        }
        try process.wait(within: .seconds(120))
        let dom = readText(output)
        let turns = try #require(dom.firstMatch(of: /data-turns="(\d+)"/)?.1)
        #expect(Int(turns) ?? 0 >= 3, "asked \(turns) times")
        #expect(dom.contains("<section data-pool=\"www\">"))
        #expect(dom.contains("<span class=\"dot on\">"))
        #expect(dom.contains("up to 2 workers"))
        let all = try #require(dom.firstMatch(of: /<b>(\d+)<\/b><span>requests in all/)?.1)
        #expect(Int(all) ?? 0 > 4, "no request was seen to be added: \(all)")
        let pid = try #require(daemon.workers().map(\.pid).first { dom.contains("<td>\($0)</td>") })
        #expect(dom.contains("<tr><td>\(pid)</td><td><span class=\"state"))
        #expect(dom.contains("class=\"state busy\">Running</span>"))
        #expect(dom.components(separatedBy: "<svg").count == 6)
        #expect(dom.contains("<polyline class=\"line\"") && dom.contains("<rect class=\"bar"))
        // The strangers' words are words.
        #expect(!dom.contains("<img") && !dom.contains("</script><b>"))
        #expect(dom.contains("&lt;img src=x onerror=document.title=1&gt;"))
        #expect(dom.contains("<title>fpmd: www</title>"))
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    /// How durations are shown, and what percentiles of a histogram come to.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: browser), "needs chromium"))
    func durationsAndPercentiles() throws {
        let (daemon, metrics) = try start()
        let page = try metrics.get("/").text
        let script = try #require(page.firstMatch(of: /(?s)<script>(.*)\nturn\(\);/)?.1)
        let file = daemon.directory + "/functions.html"
        let calls = """
            const bounds = [128, 256, 512];
            document.body.textContent = "[" + [
              ...[0, 999, 1e3, 1e4, 1e5, 39e4, 123456, 1e6, 1.9e6, 59e6, 6e7, 36e8].map(duration),
              quantile([0, 100, 0, 0], bounds, .5), quantile([0, 100, 0, 0], bounds, .99),
              quantile([100, 0, 100, 0], bounds, .75), quantile([0, 0, 0, 1], bounds, .5)].join("|") + "]";
            """
        try "<main></main><p id=clock></p><script>\(script)\n\(calls)</script>".write(
            toFile: file,
            atomically: true,
            encoding: .utf8
        )
        let home = daemon.directory + "/browser"
        let shown = try run(
            [
                Self.browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--user-data-dir=\(home)", "--dump-dom", "file://\(file)",
            ],
            environment: baseEnvironment.merging(["HOME": home]) { $1 },
            within: .seconds(120)
        )
        let wanted = [
            "0 µs", "999 µs", "1 ms", "10 ms", "100 ms", "390 ms", "123 ms", "1 s", "1.9 s", "59 s", "1 min",
            "1.0 h",
            "≈ 190 µs", "≈ 250 µs", "≈ 380 µs", "&gt; 512 µs",
        ]
        #expect(shown.output.contains("[" + wanted.joined(separator: "|") + "]"), "\(shown.output)")
    }

    /// The same page on the pool's own address; without a script it shows what there is.
    @Test func withoutScript() throws {
        let (daemon, metrics) = try start()
        let held = try daemon.begin("/hold.php", query: "dir=\(daemon.scratch)&name=x&\(Self.evil)")
        try daemon.waitUntilStarted(["x"])
        let own = try daemon.get("/status", query: "dashboard")
        #expect(own.headerLines.contains { $0.hasPrefix("Content-type: text/html") })
        // A worker answers that, and the master, when all of them are busy.
        let browser = ["HTTP_ACCEPT": "text/html,application/xhtml+xml,*/*;q=0.8"]
        let browsed = try daemon.get("/status", query: "html", headers: browser).text
        let second = try daemon.begin("/hold.php", query: "dir=\(daemon.scratch)&name=y")
        try daemon.waitUntilStarted(["x", "y"])
        daemon.allowLog(/busy|max_children/)
        let byMaster = try daemon.get("/status", query: "html", headers: browser).text
        for headers in [[:], ["HTTP_ACCEPT": "*/*"]] {
            let read = try daemon.get("/status", query: "html", headers: headers).text
            #expect(read.contains("<title>PHP-FPM Status Page</title>"), "\(read.prefix(300))")
        }
        for page in [own.text, browsed, byMaster, try metrics.get("/").text] {
            #expect(page.contains("<th>active processes</th>"))
            #expect(page.contains("&lt;img src=x"))
            #expect(!page.contains("<img"))
            #expect(page.components(separatedBy: "</script>").count == 2)
            // The name of a namespace is no address that is asked for.
            let addresses = page.replacing("http://www.w3.org/2000/svg", with: "")
            #expect(!addresses.contains("http://") && !addresses.contains("https://"))
        }
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete && second.finalResponse().isComplete)
    }

    /// The policy names the script and the style that are there, and nothing else runs.
    @Test func contentSecurityPolicy() throws {
        let (daemon, metrics) = try start()
        let file = daemon.directory + "/page.html"
        let answer = try metrics.get("/")
        #expect(answer.header("X-Frame-Options") == "DENY")
        try answer.text.write(toFile: file, atomically: true, encoding: .utf8)
        let program = """
            import base64, hashlib, re, sys
            page = open(sys.argv[1]).read()
            for tag in "script", "style":
                text = re.search("<%s>(.*)</%s>" % (tag, tag), page, re.S).group(1)
                digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
                print(tag, digest, "%s-src 'sha256-%s'" % (tag, digest) in page)
            """
        let checked = try run(["/usr/bin/python3", "-c", program, file])
        #expect(checked.output.components(separatedBy: " True\n").count == 3, "\(checked.output)")
        #expect(answer.text.contains("default-src 'none';"))
        #expect(!answer.text.contains("unsafe-inline"))
    }

    @Test func figuresInJSON() throws {
        let (daemon, metrics) = try start()
        for _ in 1...4 { #expect(try daemon.get("/hello.php").isComplete) }
        let plain = try daemon.get("/status", query: "json").json
        #expect(plain["figures"] == nil)
        // A worker counts a request when its answer has gone; what the master answers in its place is not counted.
        try wait(for: "all requests to be counted") {
            try metrics.get("/metrics").text.contains(
                /\nphpfpm_request_duration_seconds_count\{pool="www"\} [45]\n/
            )
        }
        let figures = try #require(
            try daemon.get("/status", query: "json&full&figures").json["figures"] as? [String: Any]
        )
        #expect(figures["max children"] as? Int == 2)
        let counted = try #require(figures["service"] as? [Int]).reduce(0, +)
        #expect((4...5).contains(counted), "\(counted)")
        #expect((figures["bounds"] as? [Int])?.count == 21)
        let all = try JSONSerialization.jsonObject(with: Data(try metrics.get("/?json&full&figures").body))
        let pools = try #require((all as? [String: Any])?["pools"] as? [[String: Any]])
        #expect(pools.count == 1 && pools[0]["pool"] as? String == "www")
        #expect((pools[0]["processes"] as? [Any])?.count == 2)
    }
}
