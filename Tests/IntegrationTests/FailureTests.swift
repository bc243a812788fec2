import Foundation
import TestSupport
import Testing

/// Scripts that fail, and workers that die of them: the pool goes on.
@Suite(.daemons)
struct FailureTests {
    private static let pool = "pm = static\npm.max_children = 1"

    struct Failing: Sendable, CustomStringConvertible {
        let script: String
        let status: Int
        let message: String
        var description: String { script }
    }

    /// The script fails, the worker does not.
    @Test(arguments: [
        Failing(
            script: "/fatal.php",
            status: 500,
            message: "PHP Fatal error:  Uncaught Error: Call to undefined function no_such_function()"
        ),
        Failing(
            script: "/uncaught.php",
            status: 500,
            message: "PHP Fatal error:  Uncaught RuntimeException: nobody catches this"
        ),
        Failing(
            script: "/parse-error.php",
            status: 500,
            message: "PHP Parse error:  syntax error, unexpected identifier \"is\""
        ),
        Failing(script: "/memory.php", status: 500, message: "PHP Fatal error:  Allowed memory size of"),
        Failing(
            script: "/time-limit.php",
            status: 500,
            message: "PHP Fatal error:  Maximum execution time of 1 second exceeded"
        ),
    ])
    func failingScript(test: Failing) throws {
        let daemon = try Daemon.startPool(Self.pool, .init(ini: .neutral("memory_limit = 32M")))
        let worker = try #require(try daemon.waitForWorkers(1).first)
        for _ in 1...2 {
            let response = try daemon.get(test.script)
            #expect(response.isComplete)
            #expect(response.status == test.status)
            #expect(response.body.isEmpty)
            #expect(response.errors.contains("PHP message: \(test.message)"))
            let next = try daemon.get("/hello.php")
            #expect(next.text == "hello, world\n")
            #expect(next.errors.isEmpty)
        }
        #expect(worker.exists)
    }

    /// A request that needs more memory than 2 MB before its script is reached: PHP cannot go on in its worker.
    static func tooLarge(_ daemon: Daemon) -> FastCGIRequest {
        let variable = "a" + String(repeating: "[]", count: 60) + "&"
        return daemon.makeRequest(
            "/hello.php",
            body: Array(String(repeating: variable, count: 200).utf8),
            contentType: "application/x-www-form-urlencoded"
        )
    }

    @Test func displayedError() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "\nphp_flag[display_errors] = on\nphp_flag[html_errors] = off"
        )
        let response = try daemon.get("/fatal.php")
        #expect(response.status == 200)
        #expect(
            response.text.contains(
                "Fatal error: Uncaught Error: Call to undefined function no_such_function()"
            )
        )
    }

    @Test func exitStatusIsNotReported() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let worker = try #require(try daemon.waitForWorkers(1).first)
        for _ in 1...3 {
            let response = try daemon.get("/exit.php")
            #expect(response.text == "before\n")
            #expect(response.status == 200)
            #expect(response.applicationStatus == 0)
        }
        #expect(worker.exists)
    }

    @Test func failureOnAKeptConnection() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.connect()
        for script in [
            "/hello.php", "/fatal.php", "/exit.php", "/uncaught.php", "/missing.php", "/hello.php",
        ] {
            var request = daemon.makeRequest(script)
            request.keepsConnection = true
            try connection.send(request)
            #expect(try connection.readResponse().isComplete)
        }
    }

    @Test func errorHeader() throws {
        let daemon = try Daemon.startPool(
            Self.pool,
            .init(arguments: ["-d", "fastcgi.error_header=HTTP/1.1 550 PHP Error"])
        )
        #expect(try daemon.get("/fatal.php").header("Status") == "550 PHP Error")
        #expect(try daemon.get("/hello.php").header("Status") == nil)
    }

    /// The worker dies, another takes its place.
    private func expectReplacement(_ daemon: Daemon, script: String, query: String, signal: String) throws {
        daemon.allowLog(
            try Regex("WARNING: \\[pool www\\] child \\d+.* (exited|cut off) on signal \(signal)")
        )
        daemon.allowLog(try Regex("crashed on signal \(signal)"))
        let connection = try daemon.begin(script, query: query)
        let response = try connection.finalResponse()
        try daemon.waitForLog(try Regex("WARNING: \\[pool www\\] child \\d+ exited on signal \(signal)"))
        try daemon.waitForLog(/NOTICE: \[pool www\] child \d+ started/)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        #expect(daemon.workers().count == 1)
        // php-fpm closes the connection; so does whoever is killed without a chance to say anything.
        guard !Program.underTest.isReference, !signal.hasPrefix("9 ") else { return }
        #expect(response.isComplete)
        #expect([500, 503].contains(response.status))
    }

    @Test(arguments: [(9, "9 \\(SIGKILL"), (11, "11 \\(SIGSEGV"), (15, "15 \\(SIGTERM"), (6, "6 \\(SIGABRT")])
    func dyingWorker(number: Int, name: String) throws {
        let daemon = try Daemon.startPool(Self.pool)
        try expectReplacement(daemon, script: "/die.php", query: "signal=\(number)", signal: name)
    }

    @Test func stackOverflow() throws {
        let daemon = try Daemon.startPool(Self.pool)
        try expectReplacement(daemon, script: "/stack.php", query: "", signal: "11 \\(SIGSEGV")
    }

    @Test func deathInTheMiddleOfAnAnswer() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.allowLog(/(exited|cut off) on signal 9/)
        let connection = try daemon.begin("/half-and-die.php")
        let received = try connection.finalResponse()
        #expect(received.output.count >= 65_528)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test(.fpmdOnly("loses the connections of a dying worker"))
    func connectionsBehindADeathAreServed() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.allowLog(/(exited|cut off) on signal 9/)
        let busy = try daemon.begin("/die.php")
        let waiting = try (1...5).map { _ in try daemon.begin("/hello.php") }
        _ = try busy.finalResponse()
        for connection in waiting { #expect(try connection.finalResponse().text == "hello, world\n") }
    }

    @Test func manyDeaths() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        daemon.markDescriptors()
        daemon.allowLog(/(exited|cut off) on signal 9/)
        for _ in 1...30 {
            let connection = try daemon.begin("/die.php")
            _ = try connection.readToEnd()
        }
        try daemon.waitForWorkers(2)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func workerThatStopsIsNotMissed() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        let workers = try daemon.waitForWorkers(2)
        let stopped = try #require(workers.first)
        kill(stopped.pid, SIGSTOP)
        defer { kill(stopped.pid, SIGCONT) }
        daemon.allowLog(/stopped for tracing/)
        var connections: [FastCGIConnection] = []
        for _ in 1...4 { connections.append(try daemon.begin("/hello.php")) }
        let answered = connections.count { $0.isReadable(within: .seconds(1)) }
        #expect(answered >= 1)
        kill(stopped.pid, SIGCONT)
        for connection in connections { #expect(try connection.finalResponse().isComplete) }
    }
}
