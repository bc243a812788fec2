import Foundation
import TestSupport
import Testing

/// Metrics of a service with hundreds of pools: made in steps, while others are served.
@Suite(.daemons, .fpmdOnly("has no metrics listener"))
struct ManyPoolsMetricsTests {
    private static let count = 500

    private func pools(_ numbers: some Sequence<Int>) -> String {
        numbers.map {
            "[p\($0)]\nuser = www-data\nlisten = {{DIR}}/p\($0)\npm = ondemand\npm.max_children = 2\n"
        }.joined()
    }

    /// Whether a page is whole: families one after the other, each with its two lines, and each of these pools once.
    private func check(
        _ page: String,
        _ pools: some Collection<Int>,
        isOpenMetrics: Bool,
        _ location: SourceLocation = #_sourceLocation
    ) {
        var families: [String: [Substring]] = [:]
        var name = ""
        for line in page.split(separator: "\n") {
            let words = line.split(separator: " ")
            if line.hasPrefix("# HELP ") {
                name = String(words[2])
                #expect(families[name] == nil, "\(name) twice", sourceLocation: location)
                families[name] = []
            } else if line.hasPrefix("# TYPE ") {
                #expect(words.count == 4 && words[2] == name, "\(line)", sourceLocation: location)
            } else if line != "# EOF" {
                families[name]?.append(line)
                #expect(line.hasPrefix(name), "\(line) below \(name)", sourceLocation: location)
                #expect(Double(words.last ?? "") != nil, "\(line)", sourceLocation: location)
            }
        }
        #expect(page.hasSuffix("\n# EOF\n") == isOpenMetrics, sourceLocation: location)
        for name in ["phpfpm_up", "phpfpm_saturation_ratio", "phpfpm_responses_draining_bytes"] {
            let named = (families[name] ?? []).compactMap { $0.firstMatch(of: /pool="([^"]*)"/)?.1 }
            let wanted = pools.map { "p\($0)" } + ["www"]
            #expect(named.map(String.init).sorted() == wanted.sorted(), "\(name)", sourceLocation: location)
        }
    }

    private func ask(_ connection: FastCGIConnection, _ accept: String = "application/openmetrics-text")
        throws
    {
        try connection.send(
            Array("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: \(accept)\r\nConnection: close\r\n\r\n".utf8)
        )
    }

    @Test func whole() throws {
        let daemon = try Daemon.start(
            Daemon.poolSection("pm = static\npm.max_children = 2\n") + pools(0..<Self.count),
            Daemon.Options(global: MetricsTests.global)
        )
        #expect(try daemon.get("/hello.php").isComplete)
        let metrics = Metrics(port: try daemon.port("metrics"))
        let open = try metrics.get("/metrics", accept: "application/openmetrics-text").text
        check(open, 0..<Self.count, isOpenMetrics: true)
        check(try metrics.get("/metrics").text, 0..<Self.count, isOpenMetrics: false)
        let file = daemon.directory + "/metrics.txt"
        try open.write(toFile: file, atomically: true, encoding: .utf8)
        let parser = """
            import sys
            from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
            print(sum(len(family.samples) for family in parse(open(sys.argv[1]).read())))
            """
        let parsed = try run(["/usr/bin/python3", "-c", parser, file])
        #expect(parsed.status == .code(0), "\(parsed.errors)")
        let samples = open.split(separator: "\n").count { $0.first != "#" }
        #expect(Int(parsed.output.trimmingCharacters(in: .whitespacesAndNewlines)) == samples)
        // The busiest are on the dashboard, and then the first ones.
        let page = try metrics.get("/").text
        #expect(page.components(separatedBy: "<section>").count == 51)
        #expect(
            page.contains("<h2>www</h2>") && page.contains("<h2>p0</h2>") && !page.contains("<h2>p50</h2>")
        )
    }

    /// Clients that ask and do not read: others are answered, pools go and come, and what is read then is whole.
    @Test func slowScrapers() throws {
        let global = "metrics.listen = {{SOCKET:metrics}}"
        let www = Daemon.poolSection("pm = static\npm.max_children = 2\n")
        let daemon = try Daemon.start(www + pools(0..<Self.count), Daemon.Options(global: global))
        let endpoint = try daemon.endpoint("metrics")
        let slow = try (0..<5).map { number in
            let connection = try FastCGIConnection(endpoint)
            try ask(connection, number == 0 ? "text/plain" : "application/openmetrics-text")
            return connection
        }
        func isLive() throws -> Bool {
            let connection = try FastCGIConnection(endpoint)
            try connection.send(Array("GET /live HTTP/1.0\r\n\r\n".utf8))
            return String(decoding: try connection.readToEnd(), as: UTF8.self).hasSuffix("live\n")
        }
        #expect(try isLive())
        #expect(try daemon.get("/hello.php").isComplete)
        // What is written has been asked of all pools before.
        let begun = try slow.map { try $0.read(until: "# HELP") }
        // Half of the pools go, others come; each kept one has another generation.
        let fresh = Self.count / 2..<Self.count + 100
        try daemon.rewriteConfiguration(www + pools(fresh), global: global)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ready to handle connections/)
        #expect(try isLive())
        #expect(try daemon.get("/hello.php").isComplete)
        for (number, connection) in slow.enumerated() {
            let answer = try HTTPResponse(begun[number] + (try connection.readToEnd()))
            check(answer.text, 0..<Self.count, isOpenMetrics: number > 0)
        }
        let connection = try FastCGIConnection(endpoint)
        try ask(connection)
        check(try HTTPResponse(try connection.readToEnd()).text, fresh, isOpenMetrics: true)
    }

    /// Two generations of a pool finish when the service stops: it is in the page once, with what both have counted.
    @Test func stopping() throws {
        let global = MetricsTests.global + "\nprocess_control_timeout = 60s"
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\n",
            Daemon.Options(global: global)
        )
        let metrics = Metrics(port: try daemon.port("metrics"))
        #expect(try daemon.get("/hello.php").isComplete)
        let first = try daemon.startHolding("1")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ready to handle connections/)
        #expect(try daemon.get("/hello.php").isComplete)
        let second = try daemon.startHolding("2")
        daemon.signal(SIGQUIT)
        try wait(for: "the stop") { try metrics.get("/ready").status == 503 }
        let page = try metrics.get("/metrics", accept: "application/openmetrics-text").text
        check(page, [], isOpenMetrics: true)
        #expect(page.contains("\nphpfpm_request_duration_seconds_count{pool=\"www\"} 2\n"))
        try daemon.releaseHeld()
        #expect(try first.finalResponse().isComplete)
        #expect(try second.finalResponse().isComplete)
        try daemon.process.wait()
    }

    @Test func hundredsSentAhead() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\n",
            Daemon.Options(global: MetricsTests.global)
        )
        let connection = try Metrics(port: try daemon.port("metrics")).connect()
        let request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
        try connection.send(
            Array((String(repeating: request, count: 300) + "GET /live HTTP/1.0\r\n\r\n").utf8)
        )
        let text = String(decoding: try connection.readToEnd(), as: UTF8.self)
        #expect(text.components(separatedBy: "\nphpfpm_up{").count == 301)
        #expect(text.hasSuffix("\r\n\r\nlive\n"))
    }
}
