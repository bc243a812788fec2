import Foundation
import TestSupport
import Testing

/// A real Prometheus scrapes fpmd, evaluates the packaged rules, and answers all that the dashboard asks.
@Suite(.daemons, .fpmdOnly("has no metrics listener"))
struct PrometheusTests {
    private static let pool = "{instance=\"fpmd\",pool=\"www\"}"

    /// The packaged rules, which do not wait and look back for some scrapes only: minutes are too long for a test.
    private func rules() throws -> String {
        try String(contentsOfFile: sourceRoot + "/packaging/prometheus/fpmd.rules.yml", encoding: .utf8)
            .replacing(/for: \d+m/, with: "for: 0s")
            .replacing("[2m]", with: "[5s]")
    }

    private func start(scraping port: UInt16) throws -> Prometheus {
        let directory = try TestContext.required().makeDirectory("rules")
        try rules().write(toFile: directory + "/fpmd.rules.yml", atomically: false, encoding: .utf8)
        return try Prometheus(
            configuration: """
                global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 200ms}
                rule_files: [\(directory)/fpmd.rules.yml]
                scrape_configs:
                  - job_name: fpmd
                    static_configs:
                      - targets: ['127.0.0.1:\(port)']
                        labels: {instance: fpmd, namespace: shop, pod: site-1}

                """
        )
    }

    /// How many requests have waited in the queue until now, as fpmd's own page says.
    private func queueWaits(_ daemon: Daemon) throws -> Double {
        let page = try HTTPClient(port: try daemon.port("metrics")).request("GET", "/metrics").text
        let line = try #require(page.firstMatch(of: /phpfpm_queue_wait_seconds_count\{pool="www"\} (\d+)\n/))
        return try #require(Double(line.1))
    }

    @Test(.enabled(if: Prometheus.isInstalled, "needs prometheus")) func endToEnd() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 2\npm.max_queue = 2\npm.status_path = /status\n",
            Daemon.Options(global: "metrics.listen = 127.0.0.1:{{PORT:metrics}}")
        )
        daemon.allowLog(/saturated|refused with 503|seems busy|max_children/)
        let prometheus = try start(scraping: try daemon.port("metrics"))
        func value(_ expression: String) throws -> Double? { try prometheus.query(expression).first?.value }

        // It is scraped, in the form that it prefers, and nothing is wrong.
        try wait(for: "the target to be up") { try value("up{job=\"fpmd\"}") == 1 }
        let targets = try prometheus.api("targets") as? [String: Any]
        let target = try #require((targets?["activeTargets"] as? [[String: Any]])?.first)
        #expect(target["health"] as? String == "up" && target["lastError"] as? String == "")
        try wait(for: "readiness") { try value("fpmd_ready") == 1 }
        try wait(for: "counters before the load") {
            try value("phpfpm_queue_refused_total{pool=\"www\",reason=\"max_queue\"}") == 0
        }

        // A load of which everything is known: 20 requests, 2 that run, 2 that wait, and those that are refused.
        for _ in 1...20 { #expect(try daemon.get("/hello.php").isComplete) }
        let held = try ["1", "2"].map { try daemon.startHolding($0) }
        // On a busy machine one of these may have met two workers that had not told yet that they are idle.
        let waitedBefore = try queueWaits(daemon)
        let waiting = try (0..<2).map { _ in try daemon.begin("/hello.php") }
        try wait(for: "both to wait") { try value("phpfpm_queue_depth\(Self.pool)") == 2 }
        var refused = 0
        var firing: Set<String> = []
        // A scrape that comes late is an alert of its own, and ends the others for a moment.
        try wait(for: "these alerts alone; there are \(firing)", within: .seconds(60)) {
            #expect(try daemon.get("/hello.php").status == 503)
            refused += 1
            firing = try prometheus.firing()
            return firing.isSuperset(of: ["FpmdPoolSaturated", "FpmdRequestsRefused"])
                && firing.isDisjoint(with: ["FpmdDown", "FpmdNotReady", "FpmdReloadRefused"])
        }
        try wait(for: "saturation") { try value("phpfpm_saturation_ratio\(Self.pool)") == 1 }
        try wait(for: "the number of workers") { try value("phpfpm_max_children\(Self.pool)") == 2 }
        try daemon.releaseHeld()
        for one in held + waiting { #expect(try one.finalResponse().isComplete) }
        try wait(for: "the load to be counted") {
            try value("phpfpm_request_duration_seconds_count\(Self.pool)") == 24
        }
        for (name, count) in [
            ("phpfpm_accepted_connections{pool=\"www\"}", 24.0),
            ("phpfpm_queue_wait_seconds_count\(Self.pool)", waitedBefore + 2),
            ("phpfpm_queue_refused_total{pool=\"www\",reason=\"max_queue\"}", Double(refused)),
        ] {
            try wait(for: "\(name) to be \(count)") { try value(name) == count }
        }
        try wait(for: "the pool to be free again") {
            try !prometheus.firing().contains("FpmdPoolSaturated")
        }

        // Every rule has been evaluated without complaint.
        let names = try rules().matches(of: /- (?:alert|record): (\S+)/).map { String($0.1) }
        try wait(for: "all rules to be evaluated") {
            let all = try prometheus.rules()
            for rule in all where rule["health"] as? String == "err" {
                throw TestFailure("\(rule["name"] ?? ""): \(rule["lastError"] ?? "")")
            }
            return all.compactMap { $0["name"] as? String }.sorted() == names.sorted()
                && all.allSatisfy { $0["health"] as? String == "ok" }
        }
        try wait(for: "the recorded series") { try (value("pool:phpfpm_busy:ratio_rate1m") ?? 0) > 0 }

        // What the dashboard asks gives data, once workers have ended and a reload has been done.
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ready to handle connections/)
        var unanswered = try dashboard()
        #expect(unanswered.count > 20)
        try wait(for: "data for the dashboard: \(unanswered)") {
            for _ in 1...5 { #expect(try daemon.get("/hello.php").isComplete) }
            unanswered = try unanswered.filter { try prometheus.query($0).isEmpty }
            return unanswered.isEmpty
        }
        for (label, match) in try variables() {
            #expect(
                try prometheus.api("label/\(label)/values", [("match[]", match)]) as? [String] != [],
                "\(label)"
            )
        }

        // And what the autoscaler follows.
        let followed = try prometheus.query(try adapterQuery())
        #expect(followed.count == 1 && followed[0].labels["pod"] == "site-1")
    }

    /// fpmd does not answer any more: that is an alert too.
    @Test(.enabled(if: Prometheus.isInstalled, "needs prometheus")) func down() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\n",
            Daemon.Options(global: "metrics.listen = 127.0.0.1:{{PORT:metrics}}")
        )
        let prometheus = try start(scraping: try daemon.port("metrics"))
        try wait(for: "the target to be up") { try prometheus.query("up == 1").count == 1 }
        try wait(for: "no alert") { try !prometheus.firing().contains("FpmdDown") }
        try daemon.stop()
        try wait(for: "the alert") { try prometheus.firing().contains("FpmdDown") }
    }

    // MARK: - What is packaged

    private func json(_ path: String) throws -> [String: Any] {
        let data = try Data(contentsOf: URL(fileURLWithPath: sourceRoot + "/packaging/" + path))
        return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    }

    /// The text with Grafana's variables as they are when nothing is chosen.
    private func filled(_ text: String) -> String {
        text.replacing("$__rate_interval", with: "1m").replacing(/\$(instance|pool|job)\b/, with: ".*")
    }

    /// All expressions of the dashboard.
    private func dashboard() throws -> [String] {
        let dashboard = try json("grafana/fpmd.json")
        let panels = dashboard["panels"] as? [[String: Any]] ?? []
        let annotations = (dashboard["annotations"] as? [String: Any])?["list"] as? [[String: Any]] ?? []
        let targets = panels.flatMap { $0["targets"] as? [[String: Any]] ?? [] } + annotations
        return targets.compactMap { $0["expr"] as? String }.map(filled)
    }

    /// The labels that the dashboard lets one choose from, and the series that it takes them from.
    private func variables() throws -> [(String, String)] {
        let list = (try json("grafana/fpmd.json")["templating"] as? [String: Any])?["list"]
        return (list as? [[String: Any]] ?? []).compactMap { variable in
            guard let definition = variable["definition"] as? String,
                let match = filled(definition).wholeMatch(of: /label_values\((.*), (\w+)\)/)
            else { return nil }
            return (String(match.2), String(match.1))
        }
    }

    /// What prometheus-adapter asks for one pod.
    private func adapterQuery() throws -> String {
        let path = sourceRoot + "/packaging/kubernetes/prometheus-adapter.yaml"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let query = try #require(text.firstMatch(of: /metricsQuery: (.*)/)?.1)
        let series = try #require(text.firstMatch(of: /seriesQuery: '(\w+)\{/)?.1)
        return String(query).replacing("<<.Series>>", with: series)
            .replacing("<<.GroupBy>>", with: "pod")
            .replacing("<<.LabelMatchers>>", with: "namespace=\"shop\",pod=~\"site-1|site-2\"")
    }
}
