import Foundation
import TestSupport
import Testing

/// `fpmctl status --json`, the status page in its forms, and the metrics say the same of a pool.
@Suite(.daemons, .fpmdOnly("php-fpm has neither metrics nor fpmctl"))
struct FiguresAgreeTests {
    private static let pool = """
        pm = dynamic
        pm.max_children = 2
        pm.start_servers = 1
        pm.min_spare_servers = 1
        pm.max_spare_servers = 2
        pm.max_queue = 3
        pm.status_path = /status
        pm.status_listen = {{SOCKET:status}}
        request_slowlog_timeout = 1s
        slowlog = {{DIR}}/slow.log
        """

    /// One look at all of them, while nothing changes.
    private struct Look {
        let control: [String: Any]
        let status: [String: Any]
        let text: String
        let metrics: Metrics.Page

        init(_ daemon: Daemon) throws {
            control = try daemon.controlPool()
            // On its own listener the page costs the pool no request.
            status = try daemon.get("/status", query: "json&full&figures", from: "status").json
            text = try daemon.get("/status", from: "status").text
            metrics = try Metrics(port: try daemon.port("metrics")).page()
        }

        func metric(_ name: String, _ label: String = "") -> Double? {
            let found = metrics.samples.filter {
                $0.name.hasPrefix("phpfpm_\(name){pool=\"www\"") && (label.isEmpty || $0.name.contains(label))
            }
            return found.count == 1 ? found[0].value : nil
        }

        /// A line of the status page as text.
        func line(_ name: String) -> Int? {
            let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            return line.flatMap { Int($0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces)) }
        }

        /// What differs, in lines; empty if all agree.
        var differences: [String] {
            var found: [String] = []
            let shared = [
                ("accepted conn", "accepted", "accepted_connections"),
                ("listen queue", "listen_queue", "listen_queue"),
                ("max listen queue", "max_listen_queue", "max_listen_queue"),
                ("listen queue len", "listen_queue_length", "listen_queue_length"),
                ("idle processes", "idle", "idle_processes"),
                ("active processes", "active", "active_processes"),
                ("total processes", "running", "total_processes"),
                ("max active processes", "max_active", "max_active_processes"),
                ("max children reached", "max_children_reached", "max_children_reached"),
                ("slow requests", "slow_requests", "slow_requests"),
            ]
            for (page, member, name) in shared {
                let values = [
                    status[page] as? Int, line(page), control[member] as? Int, metric(name).map { Int($0) },
                ]
                if values[0] == nil || Set(values).count != 1 { found.append("\(page): \(values)") }
            }
            let own = [
                ("max_children", metric("max_children")), ("queued", metric("queue_depth")),
                ("rejected", metric("queue_refused_total", "max_queue")),
                ("expired", metric("queue_refused_total", "queue_timeout")),
                ("abandoned", metric("queue_abandoned_total")),
            ]
            for (member, value) in own where control[member] as? Int != value.map({ Int($0) }) {
                found.append("\(member): \(String(describing: control[member])) \(String(describing: value))")
            }
            return found + workers
        }

        /// The workers, by what is the same in all of them.
        private var workers: [String] {
            let processes = status["processes"] as? [[String: Any]] ?? []
            let shown = control["workers"] as? [[String: Any]] ?? []
            var found: [String] = []
            func compare(_ what: String, _ values: [[String]]) {
                if Set(values.map { $0.sorted() }).count != 1 { found.append("\(what): \(values)") }
            }
            func words(_ list: [[String: Any]], _ name: String) -> [String] {
                list.map { "\($0[name] ?? "nothing")" }
            }
            compare("pids", [words(processes, "pid"), words(shown, "pid")])
            compare("states", [words(processes, "state"), words(shown, "stage"), states])
            compare(
                "requests",
                [
                    words(processes, "requests"), words(shown, "requests"),
                    metrics.values(of: "phpfpm_process_requests{pool=\"www\"").map { "\(Int($0))" },
                ]
            )
            compare(
                "URIs",
                [
                    words(processes, "request uri").map { $0 == "-" ? "" : $0 },
                    shown.map { worker in
                        let query = worker["query"] as? String ?? ""
                        return (worker["uri"] as? String ?? "nothing") + (query.isEmpty ? "" : "?" + query)
                    },
                ]
            )
            return found
        }

        private var states: [String] {
            metrics.samples.filter { $0.name.hasPrefix("phpfpm_process_state{pool=\"www\"") && $0.value == 1 }
                .map {
                    String($0.name.split(separator: "state=\"").last?.prefix { $0 != "\"" } ?? "")
                }
        }
    }

    /// Looks until nothing differs: workers start and end beside it, and a look is not one moment.
    private func agree(_ daemon: Daemon, _ when: String) throws -> Look {
        var last: [String] = []
        do {
            return try wait(for: "all figures to agree \(when)") {
                let look = try Look(daemon)
                last = look.differences
                return last.isEmpty ? look : nil
            }
        } catch { throw TestFailure("\(error)\n\(last.joined(separator: "\n"))") }
    }

    @Test func afterAKnownLoad() throws {
        let daemon = try Daemon.startPool(
            Self.pool,
            Daemon.Options(global: Control.directive + MetricsTests.global)
        )
        daemon.allowLog(/.*/)
        _ = try agree(daemon, "at rest")
        for _ in 1...5 { #expect(try daemon.get("/hello.php").isComplete) }
        #expect(try agree(daemon, "after requests").control["accepted"] as? Int == 5)

        // Both workers serve for longer than the slow log's limit, three requests wait, and two are refused.
        let held = [try daemon.startHolding("one"), try daemon.startHolding("two")]
        let waiting = try (1...3).map { try daemon.hold("waiting\($0)") }
        try wait(for: "requests to wait") { try daemon.controlPool()["queued"] as? Int == 3 }
        for _ in 1...2 { #expect(try daemon.get("/hello.php").status == 503) }
        try wait(for: "slow requests") { try daemon.controlPool()["slow_requests"] as? Int == 2 }
        let busy = try agree(daemon, "while the pool is busy")
        #expect(busy.control["active"] as? Int == 2 && busy.control["idle"] as? Int == 0)
        #expect(busy.control["listen_queue"] as? Int == 3 && busy.control["rejected"] as? Int == 2)
        #expect(busy.control["max_children_reached"] as? Int ?? 0 >= 1)
        #expect(busy.metric("saturation_ratio") == 1)
        let figures = try #require(busy.status["figures"] as? [String: Any])
        #expect(figures["rejected"] as? Int == 2)

        try daemon.releaseHeld()
        for connection in held + waiting { #expect(try connection.finalResponse().isComplete) }
        try wait(for: "the queue to be empty") { try daemon.controlPool()["active"] as? Int == 0 }
        let after = try agree(daemon, "afterwards")
        #expect(after.control["accepted"] as? Int == 10 && after.control["max_active"] as? Int == 2)
        #expect(after.metric("request_duration_seconds_count") == 10)

        // A reload begins anew with php-fpm's figures; the others add up.
        #expect(try daemon.ctl("reload").status == .code(0))
        for _ in 1...2 { #expect(try daemon.get("/hello.php").isComplete) }
        let reloaded = try agree(daemon, "after a reload")
        #expect(reloaded.control["accepted"] as? Int == 2 && reloaded.control["rejected"] as? Int == 2)
        #expect(reloaded.metric("request_duration_seconds_count") == 12)
    }
}
