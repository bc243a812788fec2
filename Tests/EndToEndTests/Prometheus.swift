import Foundation
import TestSupport

/// A Prometheus server of the test's own on loopback.
final class Prometheus {
    static let isInstalled = FileManager.default.isExecutableFile(atPath: "/usr/bin/prometheus")

    /// One series of an answer.
    struct Sample {
        let labels: [String: String]
        /// NaN where there was nothing to divide by.
        let value: Double
    }

    private let port: UInt16
    private let process: ChildProcess

    /// Starts a server with this configuration and waits until it is ready.
    ///
    /// - Throws: `TestFailure` with its log when it does not come up.
    init(configuration: String) throws {
        port = try Ports.unused()
        let directory = try TestContext.required().makeDirectory("prometheus")
        let file = directory + "/prometheus.yml"
        try configuration.write(toFile: file, atomically: false, encoding: .utf8)
        let output = directory + "/output"
        process = try ChildProcess(
            [
                "/usr/bin/prometheus", "--config.file=\(file)", "--storage.tsdb.path=\(directory)/data",
                "--web.listen-address=127.0.0.1:\(port)", "--log.level=warn",
            ],
            environment: baseEnvironment,
            output: output,
            errors: output,
            directory: directory
        )
        do {
            try wait(for: "Prometheus to be ready") {
                if !process.isRunning { throw TestFailure("Prometheus ended") }
                return (try? HTTPClient(port: port).get("/-/ready").status) == 200
            }
        } catch {
            throw TestFailure("\(error)\n" + readText(output))
        }
    }

    deinit {
        process.send(SIGTERM)
        _ = try? process.wait()
    }

    /// The member `data` of an answer of the API.
    ///
    /// - Throws: `TestFailure` with what Prometheus complains about.
    func api(_ path: String, _ parameters: [(String, String)] = []) throws -> Any {
        var allowed = CharacterSet.alphanumerics
        allowed.insert(charactersIn: "-._~")
        let query = parameters.map {
            "\($0)=\($1.addingPercentEncoding(withAllowedCharacters: allowed) ?? "")"
        }
        let target = "/api/v1/" + path + (query.isEmpty ? "" : "?" + query.joined(separator: "&"))
        let answer = try HTTPClient(port: port).get(target)
        let object = try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any]
        guard let object, object["status"] as? String == "success", let data = object["data"] else {
            throw TestFailure("\(path) \(parameters): \(answer.text)")
        }
        return data
    }

    /// What an expression comes to now.
    func query(_ expression: String) throws -> [Sample] {
        let data = try api("query", [("query", expression)]) as? [String: Any]
        let series = data?["result"] as? [[String: Any]] ?? []
        return series.compactMap { one in
            guard let pair = one["value"] as? [Any], let text = pair.last as? String, let value = Double(text)
            else { return nil }
            return Sample(labels: one["metric"] as? [String: String] ?? [:], value: value)
        }
    }

    /// The names of the alerts that fire.
    func firing() throws -> Set<String> {
        let data = try api("alerts") as? [String: Any]
        let alerts = data?["alerts"] as? [[String: Any]] ?? []
        return Set(
            alerts.filter { $0["state"] as? String == "firing" }
                .compactMap { ($0["labels"] as? [String: String])?["alertname"] }
        )
    }

    /// All rules of all groups.
    func rules() throws -> [[String: Any]] {
        let data = try api("rules") as? [String: Any]
        let groups = data?["groups"] as? [[String: Any]] ?? []
        return groups.flatMap { $0["rules"] as? [[String: Any]] ?? [] }
    }
}
