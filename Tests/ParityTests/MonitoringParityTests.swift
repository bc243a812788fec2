import Foundation
import TestSupport
import Testing

/// Status page, ping and access log, letter by letter but for numbers that cannot be the same.
@Suite(.daemons, .needsReference)
struct MonitoringParityTests {
    private static let pool =
        "pm = static\npm.max_children = 1\npm.status_path = /status\nping.path = /ping\n"

    /// Replaces process numbers, times and durations; counters stay.
    private func masked(_ text: String, of daemon: Daemon) -> String {
        let clock = #/\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}/#
        return normalise(text, of: daemon)
            .replacing(clock, with: "TIME")
            .replacing(
                #/(?<name>"(?:start time|start since|pid|request duration|last request cpu|last request memory)":)[\d.]+/#
            ) {
                "\($0.output.name)N"
            }
            .replacing(
                #/(?<name><(?<tag>start-time|start-since|pid|request-duration|last-request-cpu|last-request-memory)>)[\d.]+/#
            ) { "\($0.output.name)N" }
            .replacing(
                #/(?<name>^(?:start since|pid|request duration|last request cpu|last request memory): +)[\d.]+/#
                    .anchorsMatchLineEndings()
            ) {
                "\($0.output.name)N"
            }
            .replacing(#/(?<name><th>start (?:time|since)</th><td>)[^<]*/#) { "\($0.output.name)N" }
            .replacing(#/(?<name>phpfpm_start_since )\d+/#) { "\($0.output.name)N" }
            .replacing(
                #/<tr><td>\d+</td><td>(?<state>[^<]*)</td><td>[^<]*</td><td>\d+</td><td>(?<requests>\d+)</td><td>\d+</td>/#
            ) {
                "<tr>N \($0.output.state) \($0.output.requests)"
            }
            .replacing(#/<td>\d+\.\d\d</td><td>\d+</td></tr>/#, with: "N</tr>")
            .replacing(#/(?<name>"(?:start-time|start-since|pid|request-duration|last-request-memory)":)\d+/#)
        {
            "\($0.output.name)N"
        }
            .replacing(#/"last-request-cpu":[\d.e-]+/#, with: "cpu")
            // php-fpm does not know the accept queue of a Unix socket, and shows 0.
            .replacing(
                #/(?<name>(?:listen[ -]queue[ -]len(?:<\/th><td>|>|":|:\s+))|phpfpm_listen_queue_length )\d+/#
            ) { "\($0.output.name)N" }
    }

    private func compare(
        _ pair: Pair,
        _ name: String,
        at label: String = "",
        _ request: (Daemon) -> FastCGIRequest
    ) throws {
        let expected = try pair.reference.send(request(pair.reference), to: label)
        let actual = try pair.subject.send(request(pair.subject), to: label)
        expectSame(
            name,
            "headers",
            expected.headerLines.joined(separator: "\n"),
            actual.headerLines.joined(separator: "\n")
        )
        expectSame(
            name,
            "body",
            masked(expected.text, of: pair.reference),
            masked(actual.text, of: pair.subject)
        )
    }

    @Test func statusPage() throws {
        let pair = try Pair(Self.pool)
        try pair.compare("before", { $0.makeRequest("/hello.php") })
        for query in [
            "", "html", "xml", "json", "openmetrics", "full", "html&full", "xml&full", "json&full",
            "openmetrics&full",
            "j", "h=1", "f", "x&f", "JSON", "json=1&html", "nothing", "ope",
        ] {
            try compare(pair, "status ?\(query)") { $0.makeRequest("/status", query: query) }
        }
        try compare(pair, "status HEAD") { $0.makeRequest("/status", query: "json", method: "HEAD") }
        try compare(pair, "status POST") {
            $0.makeRequest("/status", body: Array("a=1".utf8), contentType: "text/plain")
        }
        try compare(pair, "status with a path behind") { $0.makeRequest("/status/more") }
        try compare(pair, "status function") {
            $0.makeRequest("/status-function.php", query: "a=<b>&c=\"d\"")
        }
    }

    /// Answers on `pm.status_listen` are those on the pool's own address.
    @Test func statusListener() throws {
        let pair = try Pair(Self.pool + "pm.status_listen = {{SOCKET:status}}\n")
        try pair.compare("before", { $0.makeRequest("/hello.php") })
        for daemon in [pair.reference, pair.subject] {
            try wait(for: "the worker to be idle") {
                try daemon.get("/status", query: "json", from: "status").json["idle processes"] as? Int == 1
            }
        }
        for query in [
            "", "html", "xml", "json", "openmetrics", "full", "html&full", "xml&full", "json&full",
            "openmetrics&full",
        ] {
            try compare(pair, "status listener ?\(query)", at: "status") {
                $0.makeRequest("/status", query: query)
            }
        }
        for method in ["HEAD", "POST"] {
            try compare(pair, "status listener \(method)", at: "status") {
                $0.makeRequest("/status", query: "json", method: method)
            }
        }
        try compare(pair, "status listener ping", at: "status") { $0.makeRequest("/ping") }
    }

    @Test func statusOfARunningRequest() throws {
        let pair = try Pair("pm = static\npm.max_children = 2\npm.status_path = /status\n")
        let held = try [pair.reference, pair.subject].map { daemon in
            let connection = try daemon.begin(
                "/hold.php",
                query: "dir=\(daemon.scratch)&name=x&text=<b>&more='\"",
                headers: ["HTTP_AUTHORIZATION": "Basic " + Data("<i>:x".utf8).base64EncodedString()]
            )
            try daemon.waitUntilStarted(["x"])
            return connection
        }
        // Which worker has it is chance: take its entry out of the list.
        for (query, separator) in [
            ("html&full", "<tr>"), ("xml&full", "<process>"), ("json&full", "{\""), ("full", "\n****"),
        ] {
            let entries = try [pair.reference, pair.subject].map { daemon in
                let text = try daemon.get("/status", query: query).text
                let entry =
                    text.components(separatedBy: separator).first { $0.contains("hold.php") } ?? "none"
                return masked(
                    separator
                        + entry.replacing(
                            #/,$|\]\}$|<\/processes>\n<\/status>|<\/table>.*$/#.dotMatchesNewlines(),
                            with: ""
                        ),
                    of: daemon
                )
                .trimmingCharacters(in: .whitespacesAndNewlines)
            }
            expectSame("status of a running request ?\(query)", "body", entries[0], entries[1])
            #expect(entries[0].contains("hold.php"))
        }
        for daemon in [pair.reference, pair.subject] { try daemon.releaseHeld() }
        for connection in held { #expect(try connection.finalResponse().isComplete) }
    }

    @Test func statusOfEveryStyle() throws {
        for (name, lines) in [
            (
                "dynamic",
                "pm = dynamic\npm.max_children = 1\npm.start_servers = 1\npm.min_spare_servers = 1\npm.max_spare_servers = 1\n"
            ),
            ("ondemand", "pm = ondemand\npm.max_children = 4\n"),
        ] {
            let pair = try Pair(lines + "pm.status_path = /status\n")
            for query in ["json", "openmetrics"] {
                try compare(pair, "status \(name) ?\(query)") { $0.makeRequest("/status", query: query) }
            }
        }
    }

    @Test func ping() throws {
        let pair = try Pair(Self.pool + "ping.response = \"alive and well\"\n")
        for method in ["GET", "HEAD", "POST", "BREW"] {
            try compare(pair, "ping \(method)") { $0.makeRequest("/ping", query: "a=b", method: method) }
        }
        try compare(pair, "ping without a script") { daemon in
            var request = daemon.makeRequest("/ping")
            request.set("SCRIPT_FILENAME", nil)
            return request
        }
        try compare(pair, "ping without a method") { daemon in
            var request = daemon.makeRequest("/ping")
            request.set("REQUEST_METHOD", nil)
            return request
        }
        try compare(pair, "ping exposed") {
            $0.makeRequest("/ping", headers: ["PHP_VALUE": "default_charset = latin1"])
        }
    }

    @Test func accessLog() throws {
        let format =
            "%% %m|%r|%q|%Q|%s|%n|%f|%l|%u|%R|%{HTTP_HOST}e|%{NONE}e|%{Content-type}o|%{Content-Type}o|%{X-A}o|%{megabytes}M"
        let pair = try Pair(Self.pool + "access.log = {{DIR}}/access.log\naccess.format = \"\(format)\"\n")
        let credentials = Data("jane:secret".utf8).base64EncodedString()
        let requests: [(String, (Daemon) -> FastCGIRequest)] = [
            ("hello", { $0.makeRequest("/hello.php") }),
            ("query", { $0.makeRequest("/hello.php", query: "a=b&c=%20\"") }),
            ("missing", { $0.makeRequest("/missing.php") }),
            ("denied", { $0.makeRequest("/page.html") }),
            ("fatal", { $0.makeRequest("/fatal.php") }),
            ("header", { $0.makeRequest("/headers.php", query: "code=404&header[]=X-A:%20value") }),
            ("json", { $0.makeRequest("/headers.php", query: "header[]=Content-Type:%20application/json") }),
            (
                "user",
                { $0.makeRequest("/auth.php", headers: ["HTTP_AUTHORIZATION": "Basic \(credentials)"]) }
            ),
            ("body", { $0.makeRequest("/input.php", body: Array("a=1".utf8), contentType: "text/plain") }),
            ("path info", { $0.makeRequest("/hello.php/more") }),
            ("ping", { $0.makeRequest("/ping") }),
            ("status", { $0.makeRequest("/status", query: "json") }),
            ("HEAD", { $0.makeRequest("/hello.php", method: "HEAD") }),
            ("long method", { $0.makeRequest("/hello.php", method: String(repeating: "M", count: 30)) }),
            (
                "no method",
                { daemon in
                    var request = daemon.makeRequest("/hello.php")
                    request.set("REQUEST_METHOD", nil)
                    return request
                }
            ),
            (
                "no script",
                { daemon in
                    var request = daemon.makeRequest("/hello.php")
                    request.set("SCRIPT_FILENAME", nil)
                    return request
                }
            ),
        ]
        for (_, request) in requests {
            _ = try pair.reference.send(request(pair.reference))
            _ = try pair.subject.send(request(pair.subject))
        }
        let expected = try LogFile(path: pair.reference.directory + "/access.log").waitForLines(
            requests.count
        )
        let actual = try LogFile(path: pair.subject.directory + "/access.log").waitForLines(requests.count)
        #expect(expected.count == actual.count)
        for (index, lines) in zip(expected, actual).enumerated() {
            expectSame(
                "access log, \(index < requests.count ? requests[index].0 : "more")",
                "line",
                normalise(lines.0, of: pair.reference),
                normalise(lines.1, of: pair.subject)
            )
        }
    }

    @Test func controlCharactersInWorkerOutput() throws {
        let pair = try Pair(Self.pool + "catch_workers_output = yes\n")
        let lines = try [pair.reference, pair.subject].map { daemon in
            daemon.allowLog(/said into stderr/)
            #expect(
                try daemon.get("/output.php", query: "stderr=a%00%01%1b%09b%7f%ff%0D%0Aend%0A").isComplete
            )
            try daemon.waitForLog(/said into stderr: "end"/)
            let line = daemon.log.lines.first { $0.contains("said into stderr") } ?? ""
            return line.replacing(#/^.*said into/#, with: "")
        }
        expectSame("worker output, control characters", "line", lines[0], lines[1])
    }

    @Test func workerLog() throws {
        let pair = try Pair(Self.pool + "catch_workers_output = yes\n", global: "log_limit = 700")
        for daemon in [pair.reference, pair.subject] {
            daemon.allowLog(/said into std(err|out)/)
            for query in [
                "stderr=one%0Atwo%0A", "stderr=three", "stderr=four%0Afive%0A",
                "stderr=\(String(repeating: "y", count: 3000))%0A",
            ] {
                #expect(try daemon.get("/output.php", query: query).isComplete)
            }
            for script in ["/log.php", "/fatal.php", "/page.html", "/missing.php", "/parse-error.php"] {
                #expect(try daemon.get(script).isComplete)
            }
            #expect(try daemon.get("/output.php", query: "stderr=end%0A").isComplete)
            try daemon.waitForLog(/said into stderr: "end"/)
        }
        func lines(_ daemon: Daemon) -> String {
            normalise(daemon.log.lines.joined(separator: "\n"), of: daemon)
                .replacing(#/child \d+/#, with: "child N").replacing(#/pid \d+/#, with: "pid N")
        }
        expectSame("worker log", "text", lines(pair.reference), lines(pair.subject))
    }

    @Test func masterLog() throws {
        let pair = try Pair(Self.pool)
        for daemon in [pair.reference, pair.subject] {
            daemon.signal(SIGUSR1)
            try daemon.waitForLog(/error log file re-opened/)
            daemon.signal(SIGUSR2)
            try daemon.waitForLog(/ready to handle connections/)
            #expect(try daemon.get("/hello.php").isComplete)
            try daemon.stop(SIGQUIT)
        }
        func lines(_ daemon: Daemon) -> String {
            normalise(daemon.log.lines.joined(separator: "\n"), of: daemon)
                .replacing(#/pid \d+/#, with: "pid N").replacing(#/fd=\d+/#, with: "fd=N")
                .replacingOccurrences(of: daemon.program.path, with: "PROGRAM")
        }
        expectSame("master log", "text", lines(pair.reference), lines(pair.subject))
    }
}
