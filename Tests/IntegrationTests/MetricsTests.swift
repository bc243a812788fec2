import Foundation
import TestSupport
import Testing

/// The metrics listener: what it shows, and what strangers can do to it.
@Suite(.daemons, .fpmdOnly("has no metrics listener"))
struct MetricsTests {
    static let global = "metrics.listen = 127.0.0.1:{{PORT:metrics}}"
    private static let pool =
        "pm = static\npm.max_children = 2\npm.status_path = /status\nping.path = /ping\n"

    private func start(_ pools: String, _ options: Daemon.Options = Daemon.Options(global: global)) throws
        -> (Daemon, Metrics)
    {
        let daemon = try Daemon.start(pools, options)
        return (daemon, Metrics(port: try daemon.port("metrics")))
    }

    @Test func figuresOfRequests() throws {
        let (daemon, metrics) = try start(
            Daemon.poolSection(Self.pool)
                + "[b]\nuser = www-data\nlisten = {{PORT:b}}\npm = ondemand\npm.max_children = 3\n"
        )
        for _ in 1...5 { #expect(try daemon.get("/hello.php").isComplete) }
        let held = try daemon.startHolding("1")
        let www = "pool=\"www\""
        let uri = "scrape_uri=\"unix://\(daemon.directory)/fpm.sock;/status\""
        // A worker is active for a moment more when its answer has gone.
        let page = try wait(for: "the other worker to be idle") {
            let page = try metrics.page()
            return page["phpfpm_idle_processes{\(www),\(uri)}"] == 1 ? page : nil
        }
        #expect(page["phpfpm_up{\(www),\(uri)}"] == 1)
        #expect(page["phpfpm_accepted_connections{\(www),\(uri)}"] == 6)
        #expect(page["phpfpm_active_processes{\(www),\(uri)}"] == 1)
        #expect(page["phpfpm_idle_processes{\(www),\(uri)}"] == 1)
        #expect(page["phpfpm_total_processes{\(www),\(uri)}"] == 2)
        #expect(page["phpfpm_saturation_ratio{\(www)}"] == 0.5)
        #expect(page["phpfpm_request_duration_seconds_count{\(www)}"] == 5)
        let buckets = page.values(of: "phpfpm_request_duration_seconds_bucket{\(www),")
        #expect(buckets.count == 22 && buckets.last == 5 && buckets == buckets.sorted())
        #expect(try #require(page["phpfpm_request_duration_seconds_sum{\(www)}"]) > 0)
        let running = page.values(of: "phpfpm_process_state{\(www),\(uri),", including: "state=\"Running\"")
        #expect(running.sorted() == [0, 1])
        #expect(page["phpfpm_max_children{pool=\"b\"}"] == 3)
        #expect(page["phpfpm_up{pool=\"b\",scrape_uri=\"tcp://:::\(try daemon.port("b"))\"}"] == 1)
        #expect(page["fpmd_ready"] == 1)
        #expect(try #require(page["process_resident_memory_bytes"]) > 1e6)
        #expect(try #require(page["process_open_fds"]) >= 5)
        let started = try #require(page["process_start_time_seconds"])
        #expect(abs(started - Date().timeIntervalSince1970) < 600)
        // The status page has the same figures.
        let status = try daemon.get("/status", query: "json").json
        #expect(status["accepted conn"] as? Int == 7)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    /// The same figures in both forms, each with the names it must have.
    @Test func forms() throws {
        let (daemon, metrics) = try start(Daemon.poolSection(Self.pool))
        #expect(try daemon.get("/hello.php").isComplete)
        let text = try metrics.get("/metrics")
        #expect(text.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8")
        #expect(text.text.contains("# TYPE phpfpm_accepted_connections counter\n"))
        #expect(text.text.contains("# TYPE phpfpm_worker_exits_total counter\n"))
        #expect(!text.text.contains("# EOF"))
        let open = try metrics.get("/metrics", accept: "application/openmetrics-text; version=1.0.0")
        #expect(open.header("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8")
        #expect(open.text.contains("# TYPE phpfpm_accepted_connections unknown\n"))
        #expect(open.text.contains("# TYPE phpfpm_worker_exits counter\n"))
        #expect(open.text.hasSuffix("\n# EOF\n"))
        let names = { (text: String) in
            text.split(separator: "\n").filter { $0.first != "#" }.map { $0.prefix { $0 != " " } }
        }
        #expect(names(text.text) == names(open.text))
    }

    /// What Prometheus' own tool says: nothing, but for names that php-fpm_exporter has chosen.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool"), "needs prometheus"))
    func promtoolAccepts() throws {
        let (daemon, metrics) = try start(Daemon.poolSection(Self.pool))
        #expect(try daemon.get("/hello.php").isComplete)
        let file = daemon.directory + "/metrics.txt"
        try metrics.get("/metrics").text.write(toFile: file, atomically: true, encoding: .utf8)
        let checked = try run(["/bin/sh", "-c", "promtool check metrics < \"$0\"", file])
        let complaints = checked.errors.split(separator: "\n")
        let exporters = [
            "accepted_connections", "max_active_processes", "max_children_reached", "max_listen_queue",
            "process_requests", "scrape_failures", "slow_requests", "start_since",
        ]
        #expect(
            complaints.map(String.init)
                == exporters.map { "phpfpm_\($0) counter metrics should have \"_total\" suffix" },
            "\(checked.errors)"
        )
        let open = try metrics.get("/metrics", accept: "application/openmetrics-text").text
        try open.write(toFile: file, atomically: true, encoding: .utf8)
        let parser =
            "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as p\nprint(len(list(p(open(sys.argv[1]).read()))))"
        let parsed = try run(["/usr/bin/python3", "-c", parser, file])
        #expect(parsed.status == .code(0), "\(parsed.errors)")
        #expect(Int(parsed.output.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 > 35)
    }

    @Test func exitsByCause() throws {
        let (daemon, metrics) = try start(
            Daemon.poolSection(
                "pm = static\npm.max_children = 1\npm.max_requests = 2\nrequest_terminate_timeout = 1s\n"
            )
        )
        daemon.allowLog(/(exited|cut off) on signal|execution timed out|child \d+ exited with code/)
        func exits(_ cause: String) throws -> Double? {
            try metrics.page()["phpfpm_worker_exits_total{pool=\"www\",cause=\"\(cause)\"}"]
        }
        for _ in 1...2 { #expect(try daemon.get("/hello.php").isComplete) }
        try wait(for: "max_requests to be counted") { try exits("max_requests") == 1 }
        let segfault = try daemon.waitForWorkers(1)
        kill(segfault[0].pid, SIGSEGV)
        try wait(for: "the crash to be counted") { try exits("crash") == 1 }
        let killed = try wait(for: "another worker") { daemon.workers().first { $0.pid != segfault[0].pid } }
        kill(killed.pid, SIGKILL)
        try wait(for: "the kill to be counted") { try exits("killed") == 1 }
        let slow = try daemon.hold("x")
        try wait(for: "the timeout to be counted") { try exits("terminate_timeout") == 1 }
        slow.close()
        #expect(try exits("surplus") == 0)
        #expect(try exits("exit") == 0)
        // The requests of workers that are gone count.
        #expect(try metrics.page()["phpfpm_request_duration_seconds_count{pool=\"www\"}"] == 2)
    }

    @Test func totalsOutliveReloads() throws {
        let (daemon, metrics) = try start(Daemon.poolSection(Self.pool))
        for _ in 1...3 { #expect(try daemon.get("/hello.php").isComplete) }
        let count = "phpfpm_request_duration_seconds_count{pool=\"www\"}"
        daemon.signal(SIGUSR2)
        try wait(for: "the reload") { try metrics.page()["fpmd_reloads_total{result=\"done\"}"] == 1 }
        #expect(try metrics.page()[count] == 3)
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(try metrics.page()[count] == 4)
        try wait(for: "the old workers to end") {
            try metrics.page()["phpfpm_worker_exits_total{pool=\"www\",cause=\"recycled\"}"] == 2
        }
        #expect(try metrics.page()[count] == 4)
        #expect(try metrics.page()["fpmd_last_reload_successful"] == 1)
        daemon.allowLog(/ERROR/)
        try daemon.rewriteConfiguration(Daemon.poolSection("pm = nonsense\npm.max_children = 1"))
        daemon.signal(SIGUSR2)
        try wait(for: "the refusal") { try metrics.page()["fpmd_reloads_total{result=\"refused\"}"] == 1 }
        #expect(try metrics.page()["fpmd_last_reload_successful"] == 0)
    }

    /// All workers are busy and requests wait: it still answers, and says so.
    @Test func saturation() throws {
        let (daemon, metrics) = try start(
            Daemon.poolSection("pm = static\npm.max_children = 1\npm.max_queue = 2\n")
        )
        daemon.allowLog(/saturated|refused with 503|seems busy|max_children/)
        let held = try daemon.startHolding("1")
        let waiting = try (0..<2).map { _ in try daemon.begin("/hello.php") }
        try wait(for: "both to wait") { try metrics.page()["phpfpm_queue_depth{pool=\"www\"}"] == 2 }
        #expect(try metrics.page()["phpfpm_saturation_ratio{pool=\"www\"}"] == 1)
        #expect(try #require(try metrics.page()["phpfpm_queue_oldest_wait_seconds{pool=\"www\"}"]) > 0)
        #expect(try daemon.get("/hello.php").status == 503)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
        for one in waiting { #expect(try one.finalResponse().isComplete) }
        try wait(for: "the waits to be counted") {
            try metrics.page()["phpfpm_queue_wait_seconds_count{pool=\"www\"}"] == 2
        }
        let page = try metrics.page()
        #expect(page["phpfpm_queue_refused_total{pool=\"www\",reason=\"max_queue\"}"] == 1)
        #expect(page["phpfpm_queue_depth{pool=\"www\"}"] == 0)
    }

    // MARK: - Probes

    @Test func health() throws {
        let (daemon, metrics) = try start(Daemon.poolSection(Self.pool))
        for path in ["/live", "/ready", "/health"] { #expect(try metrics.get(path).status == 200) }
        #expect(try metrics.get("/other").status == 404)
        let head = try metrics.exchange("HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(head.hasPrefix("HTTP/1.1 200 OK\r\n") && head.hasSuffix("\r\n\r\n"))
        // Busy is not dead.
        let held = try ["1", "2"].map { try daemon.startHolding($0) }
        #expect(try metrics.get("/ready").status == 200)
        try daemon.releaseHeld()
        for one in held { #expect(try one.finalResponse().isComplete) }
    }

    @Test func notReadyWhileStopping() throws {
        let (daemon, metrics) = try start(
            Daemon.poolSection(Self.pool),
            Daemon.Options(global: Self.global + "\nprocess_control_timeout = 30s")
        )
        let held = try daemon.startHolding("1")
        daemon.signal(SIGQUIT)
        try wait(for: "503") { try metrics.get("/ready").status == 503 }
        #expect(try metrics.get("/live").status == 200)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
        try daemon.process.wait()
    }
}
