import Foundation
import RegexBuilder
import TestSupport
import Testing

/// Access log, error log, what workers print, slow and overlong requests.
@Suite(.daemons)
struct LogTests {
    private static let pool = "pm = static\npm.max_children = 1\n"

    private func accessLog(_ daemon: Daemon) -> LogFile {
        LogFile(path: daemon.directory + "/access.log")
    }

    // MARK: Access log

    @Test func defaultFormat() throws {
        let daemon = try Daemon.start(
            "[www]\nuser = www-data\nlisten = 127.0.0.1:{{PORT}}\n\(Self.pool)access.log = {{DIR}}/access.log"
        )
        #expect(try daemon.get("/hello.php", query: "a=b").isComplete)
        try accessLog(daemon).wait(
            for: #/^127\.0\.0\.1 -  \d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4} "GET /hello\.php" 200$/#
        )
    }

    @Test func pathWithParentDirectoryIsNoScript() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "access.log = {{DIR}}/access.log\naccess.format = \"%s %f\""
        )
        var request = daemon.makeRequest("/hello.php")
        request.set("SCRIPT_FILENAME", daemon.documentRoot + "/user-ini/../hello.php")
        #expect(try daemon.send(request).status == 404)
        #expect(try accessLog(daemon).waitForLines(1) == ["404 -"])
    }

    struct Format: Sendable, CustomStringConvertible {
        let format: String
        let expected: String
        var description: String { format }
    }

    @Test(arguments: [
        Format(format: "%% %m %r %q%Q %s", expected: "% GET /headers.php code=201&x=%2F? 201"),
        Format(format: "%n %f", expected: "www {ROOT}/headers.php"),
        Format(format: "%l %u %R", expected: "0 jane -"),
        Format(
            format: "%{HTTP_HOST}e %{NO_SUCH}e %{REQUEST_URI}e",
            expected: "example.test - /headers.php?code=201&x=%2F"
        ),
        Format(format: "%{Content-type}o %{X-None}o", expected: "text/html; charset=UTF-8 -"),
        Format(format: "%p %P", expected: #"{WORKER} {MASTER}"#),
        Format(
            format: "%t|%T",
            expected:
                #"~\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\|\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"#
        ),
        Format(
            format: "%{%s}t %{%Y-%m-%dT%H:%M:%S%z}T",
            expected: #"~\d{10} \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"#
        ),
        Format(
            format: "%d %{seconds}d %{milliseconds}d %{milli}d %{microseconds}d %{micro}d",
            expected: #"~\d+\.\d{3} \d+\.\d{3} \d+\.\d{3} \d+\.\d{3} \d+ \d+"#
        ),
        Format(
            format: "%C %{total}C %{user}C %{system}C",
            expected: #"~\d+\.\d\d \d+\.\d\d \d+\.\d\d \d+\.\d\d"#
        ),
        Format(
            format: "%M %{bytes}M %{kilobytes}M %{kilo}M %{megabytes}M %{mega}M",
            expected: #"~2097152 2097152 2048 2048 2 2"#
        ),
    ])
    func formatSpecifier(test: Format) throws {
        let daemon = try Daemon.startPool(
            Self.pool + "access.log = {{DIR}}/access.log\naccess.format = \"\(test.format)\""
        )
        let worker = try #require(try daemon.waitForWorkers(1).first)
        let credentials = Data("jane:secret".utf8).base64EncodedString()
        let response = try daemon.get(
            "/headers.php",
            query: "code=201&x=%2F",
            headers: ["HTTP_AUTHORIZATION": "Basic \(credentials)"]
        )
        #expect(response.status == 201)
        let line = try accessLog(daemon).wait(for: /.+/)
        if test.expected.hasPrefix("~") {
            #expect(try Regex(String(test.expected.dropFirst())).wholeMatch(in: line) != nil, "\(line)")
        } else {
            let expected = test.expected.replacingOccurrences(of: "{ROOT}", with: daemon.documentRoot)
                .replacingOccurrences(of: "{WORKER}", with: "\(worker.pid)")
                .replacingOccurrences(of: "{MASTER}", with: "\(daemon.master)")
            #expect(line == expected)
        }
    }

    @Test func everyOutcomeIsLogged() throws {
        let daemon = try Daemon.startPool(
            Self.pool + """
                access.log = {{DIR}}/access.log
                access.format = "%m %r %s"
                ping.path = /ping
                pm.status_path = /status
                """
        )
        for script in [
            "/hello.php", "/missing.php", "/page.html", "/fatal.php", "/exit.php", "/ping", "/status",
        ] {
            #expect(try daemon.get(script).isComplete)
        }
        #expect(try daemon.send(daemon.makeRequest("/hello.php", method: "HEAD")).isComplete)
        #expect(
            try accessLog(daemon).waitForLines(8) == [
                "GET /hello.php 200", "GET /missing.php 404", "GET /page.html 403", "GET /fatal.php 500",
                "GET /exit.php 200", "GET /ping 200", "GET /status 200", "HEAD /hello.php 200",
            ]
        )
    }

    @Test func suppressedPaths() throws {
        let daemon = try Daemon.startPool(
            Self.pool + """
                access.log = {{DIR}}/access.log
                access.format = "%m %r%Q%q %s"
                access.suppress_path[] = /hello.php
                access.suppress_path[] = /missing.php
                """
        )
        for query in ["", "a=b"] { #expect(try daemon.get("/hello.php", query: query).isComplete) }
        #expect(try daemon.get("/missing.php").isComplete)
        #expect(try daemon.get("/pid.php").isComplete)
        #expect(try daemon.send(daemon.makeRequest("/hello.php", method: "HEAD")).isComplete)
        #expect(
            try daemon.send(daemon.makeRequest("/hello.php", body: [65], contentType: "text/plain"))
                .isComplete
        )
        #expect(
            try accessLog(daemon).waitForLines(4)
                == [
                    "GET /hello.php?a=b 200", "GET /missing.php 404", "GET /pid.php 200",
                    "POST /hello.php 200",
                ]
        )
    }

    @Test func longLinesAreCut() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "access.log = {{DIR}}/access.log\naccess.format = \"%{HTTP_X_LONG}e%{HTTP_X_LONG}e\""
        )
        let long = String(repeating: "x", count: 900)
        let response = try daemon.get("/hello.php", headers: ["HTTP_X_LONG": long])
        #expect(response.isComplete)
        #expect(
            response.errors
                == "the log buffer is full (1024). The access log request has been truncated."
        )
        let line = try #require(try accessLog(daemon).waitForLines(1).first)
        // php-fpm cuts one byte more and writes a NUL in its place.
        #expect((1023...1024).contains(line.prefix { $0 == "x" }.count))
        #expect(line.utf8.count <= 1024)
        #expect(accessLog(daemon).lines.count == 1)
    }

    // MARK: What scripts log and print

    @Test func phpMessages() throws {
        let daemon = try Daemon.startPool(Self.pool + "catch_workers_output = yes")
        daemon.allowLog(/WARNING: \[pool www\] child \d+ said into stderr: "NOTICE: PHP message:/)
        let response = try daemon.get("/log.php")
        #expect(response.text == "logged\n")
        let path = daemon.documentRoot + "/log.php"
        #expect(
            response.errors
                == "PHP message: first message; PHP message: PHP Warning:  Undefined variable $undefined in \(path) on line 4"
        )
        try daemon.waitForLog(/child \d+ said into stderr: "NOTICE: PHP message: first message"$/)
        try daemon.waitForLog(
            /child \d+ said into stderr: "NOTICE: PHP message: PHP Warning:  Undefined variable/
        )
    }

    /// `log_level` hides the label of what PHP logs, not PHP's errors.
    @Test(arguments: ["warning", "error"]) func phpMessagesBelowTheLevel(level: String) throws {
        var options = Daemon.Options(global: "log_level = \(level)")
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool(
            Self.pool + "catch_workers_output = yes\ndecorate_workers_output = no",
            options
        )
        try daemon.waitForWorkers(1)
        daemon.allowLog(/^(PHP message: .*|Stack trace:|#0 .*|  thrown in .*)$/)
        #expect(try daemon.get("/log.php").isComplete)
        try daemon.waitForLog(/^PHP message: first message$/)
        _ = try daemon.get("/fatal.php")
        try daemon.waitForLog(/^PHP message: PHP Fatal error: .*/)
    }

    @Test func phpMessagesWithoutPipes() throws {
        let daemon = try Daemon.startPool(Self.pool)
        #expect(try daemon.get("/log.php").errors.hasPrefix("PHP message: first message; "))
        #expect(try daemon.get("/hello.php").errors.isEmpty)
        #expect(daemon.log.count(of: /PHP message/) == 0)
    }

    @Test func phpErrorLogOfThePool() throws {
        let daemon = try Daemon.startPool(Self.pool + "php_admin_value[error_log] = {{TMP}}/php.log")
        #expect(try daemon.get("/log.php").errors.isEmpty)
        let lines = try LogFile(path: daemon.scratch + "/php.log").waitForLines(2)
        #expect(lines.count == 2)
        #expect(lines.first?.hasSuffix("first message") == true)
    }

    @Test func undecoratedOutput() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "catch_workers_output = yes\ndecorate_workers_output = no"
        )
        daemon.allowLog(/^(one|two|NOTICE: PHP message: .*)$/)
        #expect(try daemon.get("/output.php", query: "stderr=one%0Atwo%0A").isComplete)
        #expect(try daemon.get("/log.php").isComplete)
        try daemon.waitForLog(/^one$/)
        try daemon.waitForLog(/^two$/)
        try daemon.waitForLog(/^NOTICE: PHP message: first message$/)
    }

    @Test func decoratedOutput() throws {
        let daemon = try Daemon.startPool(Self.pool + "catch_workers_output = yes")
        daemon.allowLog(/WARNING: \[pool www\] child \d+ said into std(err|out): "/)
        let worker = try #require(try daemon.waitForWorkers(1).first)
        let said = "WARNING: \\[pool www\\] child \(worker.pid) said into"
        #expect(try daemon.get("/output.php", query: "stderr=one%0Atwo").isComplete)
        try daemon.waitForLog(try Regex("\(said) stderr: \"one\"$"))
        try daemon.waitForLog(try Regex("\(said) stderr: \"two\"$"))
        #expect(try daemon.get("/output.php", query: "stderr=three%0A&stdout=four%0A").isComplete)
        try daemon.log.waitAnywhere(for: try Regex("\(said) stdout: \"four\"$"))
        try daemon.log.waitAnywhere(for: try Regex("\(said) stderr: \"three\"$"))
    }

    /// The text that a request leaves without an end on stdout is logged with it: the next request's does not join it.
    @Test func unfinishedOutputOfTwoRequests() throws {
        let daemon = try Daemon.startPool(Self.pool + "catch_workers_output = yes")
        daemon.allowLog(/WARNING: \[pool www\] child \d+ said into std(err|out): "/)
        for round in 0..<20 {
            #expect(try daemon.get("/output.php", query: "stderr=e&stdout=first\(round)%0Amore").isComplete)
            try daemon.log.waitAnywhere(for: try Regex("stdout: \"first\(round)\"$"))
            #expect(try daemon.get("/output.php", query: "stdout=second\(round)").isComplete)
            try daemon.log.waitAnywhere(for: try Regex("stdout: \"second\(round)\"$"))
        }
        #expect(daemon.log.count(of: /stdout: "more"$/) == 20)
    }

    /// Lines that do not fit into one turn of the master's are not cut where the other stream has some, too.
    @Test func muchOutputOnBothStreams() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "catch_workers_output = yes\ndecorate_workers_output = no"
        )
        daemon.allowLog(/^[eo]?[0-9]*[.]?$/)
        let numbers = (0..<4000).map { "\($0)." }
        let text = { (name: String) in numbers.map { name + $0 + "%0A" }.joined() }
        let query = "stderr=\(text("e"))&stdout=\(text("o"))"
        #expect(try daemon.get("/output.php", query: query).isComplete)
        try daemon.log.waitAnywhere(for: /^e3999[.]$/)
        try daemon.log.waitAnywhere(for: /^o3999[.]$/)
        let pieces = daemon.log.lines.filter { $0.contains(/^[eo]?[0-9]*[.]?$/) && !$0.isEmpty }
        #expect(pieces.count { !$0.contains(/^[eo][0-9]+[.]$/) } == 0)
        for name in ["e", "o"] {
            let isAll = pieces.filter { $0.hasPrefix(name) }.map { String($0.dropFirst()) } == numbers
            #expect(isAll, "lines of \(name)")
        }
    }

    @Test func longOutputIsWrapped() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "catch_workers_output = yes\ndecorate_workers_output = no",
            .init(global: "log_limit = 600")
        )
        daemon.allowLog(/^[a-z0-9]+$/)
        let text = (0..<3000).map { String($0 % 10) }.joined()
        #expect(try daemon.get("/output.php", query: "stderr=\(text)%0A").isComplete)
        #expect(try daemon.get("/output.php", query: "stderr=end%0A").isComplete)
        try daemon.waitForLog(/^end$/)
        let lines = daemon.log.lines.filter { $0.allSatisfy(\.isNumber) && !$0.isEmpty }
        #expect(lines.joined() == text)
        #expect(lines.dropLast().allSatisfy { $0.utf8.count == 599 })
    }

    @Test func outputWithoutEndIsFlushedWithTheRequest() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "catch_workers_output = yes\ndecorate_workers_output = no"
        )
        daemon.allowLog(/^(first|second)$/)
        #expect(try daemon.get("/output.php", query: "stderr=first").isComplete)
        #expect(try daemon.get("/output.php", query: "stderr=second").isComplete)
        try daemon.waitForLog(/^first$/)
        try daemon.waitForLog(/^second$/)
    }

    @Test func muchOutputDoesNotBlock() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2\ncatch_workers_output = yes")
        daemon.allowLog(/said into stderr: "x+"/)
        let text = String(repeating: "x", count: 20_000)
        for _ in 1...20 { #expect(try daemon.get("/output.php", query: "stderr=\(text)%0A").isComplete) }
        #expect(try daemon.get("/hello.php").isComplete)
    }

    // MARK: Slow requests

    @Test func terminateTimeout() throws {
        let daemon = try Daemon.startPool(Self.pool + "request_terminate_timeout = 1s")
        let pattern = Regex {
            /WARNING: \[pool www\] child \d+, script '/
            daemon.documentRoot
            /\/hold.php' \(request: "GET \/hold.php\?dir=\S+"\) execution timed out \(\d+\.\d{6} sec\), terminating/
        }
        daemon.allowLog(pattern)
        daemon.allowLog(/child \d+.* (exited|cut off) on signal 15 \(SIGTERM\)/)
        let connection = try daemon.startHolding("1")
        try daemon.waitForLog(pattern)
        try daemon.waitForLog(/WARNING: \[pool www\] child \d+ exited on signal 15 \(SIGTERM\) after/)
        let response = try connection.finalResponse()
        #expect(try daemon.get("/hello.php").isComplete)
        guard !Program.underTest.isReference else { return }
        #expect(response.isComplete)
        #expect(response.status == 504)
    }

    @Test func terminateTimeoutSparesOthers() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2\nrequest_terminate_timeout = 2s")
        daemon.allowLog(/execution timed out|(exited|cut off) on signal 15/)
        let worker = try #require(Int32(try daemon.get("/pid.php").text))
        let connection = try daemon.startHolding("1")
        try daemon.waitForLog(/execution timed out/)
        _ = try connection.readToEnd()
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(worker > 0)
        #expect(daemon.log.count(of: /exited on signal/) <= 1)
    }

    @Test func slowLog() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "slowlog = {{DIR}}/slow.log\nrequest_slowlog_timeout = 1s\npm.status_path = /status"
        )
        daemon.allowLog(/executing too slow/)
        let response = try daemon.get("/slow.php", query: "seconds=3")
        #expect(response.text == "slow\n")
        try daemon.waitForLog(
            /WARNING: \[pool www\] child \d+, script '.*\/slow.php' \(request: "GET \/slow.php\?seconds=3"\) executing too slow \(\d+\.\d{6} sec\), logging$/
        )
        let slow = LogFile(path: daemon.directory + "/slow.log")
        let root = daemon.documentRoot
        try slow.wait(for: /^\[\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d\]  \[pool www\] pid \d+$/)
        try slow.wait(for: try Regex("^script_filename = \(root)/slow\\.php$"))
        try slow.wait(for: /^request = GET \/slow.php\?seconds=3$/)
        try slow.wait(for: try Regex("^\\[0x[0-9a-f]{16}\\] sleep\\(\\) \(root)/slow\\.php:4$"))
        try slow.wait(for: try Regex("^\\[0x[0-9a-f]{16}\\] slow_function\\(\\) \(root)/slow\\.php:6$"))
        #expect(try daemon.get("/status", query: "json").json["slow requests"] as? Int == 1)
    }

    /// As in a container whose engine gives the usual capabilities.
    @Test(.fpmdOnly("says it in other words"), .needsRoot) func slowLogWithoutTheRightToLook() throws {
        var options = Daemon.Options()
        options.wrapper = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all"]
        let daemon = try Daemon.startPool(
            Self.pool + "slowlog = {{DIR}}/slow.log\nrequest_slowlog_timeout = 1s",
            options
        )
        daemon.allowLog(/executing too slow|failed to read the memory/)
        #expect(try daemon.get("/slow.php", query: "seconds=2").text == "slow\n")
        try daemon.waitForLog(
            /ERROR: failed to read the memory of child \d+: Operation not permitted \(1\); give the service CAP_SYS_PTRACE$/
        )
        try LogFile(path: daemon.directory + "/slow.log").wait(for: /^\+\+\+ dump failed$/)
    }
}
