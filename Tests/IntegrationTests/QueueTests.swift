import Foundation
import TestSupport
import Testing

/// What happens to requests when all workers are busy.
@Suite(.daemons, .fpmdOnly("php-fpm has no queue of its own"))
struct QueueTests {
    private static let pages = "pm.status_path = /status\nping.path = /ping\n"

    private static func start(_ workers: Int = 1, _ lines: String = "", listen: String? = nil) throws
        -> Daemon
    {
        let pool = "pm = static\npm.max_children = \(workers)\n\(pages)\(lines)"
        guard let listen else { return try Daemon.startPool(pool) }
        return try Daemon.start("[www]\nuser = www-data\ngroup = www-data\nlisten = \(listen)\n\(pool)\n")
    }

    /// Occupies all workers; the answers come when the test releases them.
    private static func block(_ daemon: Daemon, _ workers: Int = 1) throws -> [FastCGIConnection] {
        let names = (1...workers).map { "blocker\($0)" }
        let connections = try names.map { try daemon.hold($0) }
        try daemon.waitUntilStarted(names)
        return connections
    }

    private static func ordered(_ daemon: Daemon, _ name: String) throws -> FastCGIConnection {
        try daemon.begin("/order.php", query: "dir=\(daemon.scratch)&name=\(name)")
    }

    /// Waits until so many requests wait, by the status page: which is answered although no worker is free.
    private static func waitUntilQueued(_ daemon: Daemon, _ count: Int) throws {
        try wait(for: "\(count) requests to be queued") {
            try daemon.get("/status", query: "json").json["listen queue"] as? Int == count
        }
    }

    private static func order(_ daemon: Daemon) -> [String] {
        readText(daemon.scratch + "/order").split(separator: "\n").map(String.init)
    }

    @Test(arguments: ["{{SOCKET}}", "127.0.0.1:{{PORT}}"])
    func statusAndPingNeedNoWorker(_ listen: String) throws {
        let daemon = try Self.start(2, listen: listen)
        let blockers = try Self.block(daemon, 2)
        let waiting = try (1...20).map { try Self.ordered(daemon, "w\($0)") }
        try Self.waitUntilQueued(daemon, 20)
        let ping = try daemon.get("/ping")
        #expect(ping.text == "pong" && ping.isComplete)
        let status = try daemon.get("/status", query: "json&full").json
        #expect(status["active processes"] as? Int == 2)
        #expect((status["processes"] as? [[String: Any]])?.count == 2)
        // On a connection that is kept alive, one after the other.
        let kept = try daemon.connect()
        for _ in 1...5 {
            var request = daemon.makeRequest("/ping")
            request.keepsConnection = true
            try kept.send(request)
            #expect(try kept.readResponse().text == "pong")
        }
        try daemon.releaseHeld()
        for connection in blockers + waiting { #expect(try connection.finalResponse().isComplete) }
        // It serves scripts as before.
        try kept.send(daemon.makeRequest("/hello.php"))
        #expect(try kept.finalResponse().text == "hello, world\n")
    }

    /// The page is as of this moment, and not of the last tick: the first one that is asked for.
    @Test func statusIsExact() throws {
        let daemon = try Self.start(1, "pm.max_queue = 50\npm.status_listen = {{SOCKET:status}}\n")
        let blockers = try Self.block(daemon)
        var waiting: [FastCGIConnection] = []
        for count in 1...20 {
            waiting.append(try Self.ordered(daemon, "w\(count)"))
            // Then the master has read what was sent before.
            #expect(try daemon.get("/ping", from: "status").text == "pong")
            for label in ["", "status"] {
                let status = try daemon.get("/status", query: "json", from: label).json
                #expect(status["listen queue"] as? Int == count)
                #expect(status["max listen queue"] as? Int == count)
            }
        }
        try daemon.releaseHeld()
        for connection in blockers + waiting { #expect(try connection.finalResponse().isComplete) }
    }

    /// What has waited in the master has waited also when it goes to the workers of the next generation.
    @Test func waitingTimeOutlivesTheQueue() throws {
        let daemon = try Self.start()
        let blockers = try Self.block(daemon)
        let waiting = try (1...10).map { try Self.ordered(daemon, "w\($0)") }
        try Self.waitUntilQueued(daemon, 10)
        daemon.signal(SIGUSR2)
        let answers = try waiting.map { try $0.finalResponse().text }
        #expect(answers.allSatisfy { Double($0) != nil }, "\(answers)")
        try daemon.releaseHeld()
        for connection in blockers { #expect(try connection.finalResponse().isComplete) }
    }

    /// Beyond 32 MiB of requests the others wait unread: they are refused like those that have been read.
    @Test func unreadRequestsAreRefused() throws {
        let daemon = try Self.start(1, "pm.queue_timeout = 3")
        daemon.allowLog(/saturated|refused with 503/)
        let blockers = try Self.block(daemon)
        let body = [UInt8](repeating: 65, count: 100_000)
        let request = daemon.makeRequest("/hello.php", body: body, contentType: "a/b")
        let waiting = try (1...350).map { _ in
            let connection = try daemon.connect()
            try connection.send(request)
            return connection
        }
        for connection in waiting { #expect(try connection.finalResponse().status == 503) }
        try daemon.releaseHeld()
        for connection in blockers { #expect(try connection.finalResponse().isComplete) }
    }

    /// Workers that seem to sleep and take nothing: what needs none is done all the same.
    @Test func stoppedWorkers() throws {
        let daemon = try Self.start(2, "pm.queue_timeout = 3")
        daemon.allowLog(/saturated|refused with 503/)
        let workers = try daemon.waitForWorkers(2)
        for worker in workers { kill(worker.pid, SIGSTOP) }
        defer { for worker in workers { kill(worker.pid, SIGCONT) } }
        for _ in 1...3 {
            #expect(try daemon.get("/ping").text == "pong")
            #expect(try daemon.get("/status", query: "json").json["total processes"] as? Int == 2)
        }
        let late = try daemon.get("/hello.php")
        #expect(late.status == 503 && late.header("Retry-After") != nil)
        try daemon.waitForLog(/WARNING: .* 2 workers sleep and take nothing, .*: (\d+), (\d+)$/)
        let waiting = try daemon.begin("/hello.php")
        for worker in workers { kill(worker.pid, SIGCONT) }
        #expect(try waiting.readResponse().text == "hello, world\n")
        try daemon.waitForLog(/no longer saturated/)
        // Nothing is remembered of it: the workers take what comes, and the master sleeps.
        for _ in 1...20 { #expect(try daemon.get("/hello.php").isComplete) }
    }

    /// No worker is there, nor comes soon.
    @Test(.needsRoot) func stoppedZygoteWithoutWorkers() throws {
        let daemon = try Self.start(1, "pm.queue_timeout = 1")
        daemon.allowLog(
            /saturated|refused with 503|exited on signal 9|zygote \d+ on signal 9|has not forked a worker/
        )
        let worker = try #require(try daemon.waitForWorkers(1).first)
        let zygote = try #require(daemon.zygotes().first)
        kill(zygote.pid, SIGSTOP)
        kill(worker.pid, SIGKILL)
        try wait(for: "its end") { daemon.workers().isEmpty }
        #expect(try daemon.get("/ping").text == "pong")
        #expect(try daemon.get("/hello.php").status == 503)
        try daemon.waitForLog(/has not forked a worker within 5 s: killed/)
        try daemon.waitForWorkers(1)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
    }

    /// Nothing has waited yet when the first one comes, on a connection that the master has had before.
    @Test func firstPingOfAKeptConnection() throws {
        let daemon = try Self.start(1)
        let kept = try daemon.connect()
        var request = daemon.makeRequest("/hello.php")
        request.keepsConnection = true
        try kept.send(request)
        #expect(try kept.readResponse().text == "hello, world\n")
        // The worker gives it to the master, as it has other work.
        let blockers = try Self.block(daemon, 1)
        request = daemon.makeRequest("/ping")
        request.keepsConnection = true
        for _ in 1...3 {
            try kept.send(request)
            #expect(try kept.readResponse().text == "pong")
        }
        try daemon.releaseHeld()
        for connection in blockers { #expect(try connection.finalResponse().isComplete) }
    }

    /// The access log has the master's answers too, and follows a new file.
    @Test func accessLogOfTheMastersAnswers() throws {
        let daemon = try Self.start(
            1,
            "access.log = {{DIR}}/access.log\naccess.format = \"%R %m %r%Q%q %s %p\"",
            listen: "127.0.0.1:{{PORT}}"
        )
        let path = daemon.directory + "/access.log"
        let log = LogFile(path: path)
        let blockers = try Self.block(daemon)
        #expect(try daemon.get("/ping", query: "first").isComplete)
        #expect(try log.waitForLines(1) == ["127.0.0.1 GET /ping?first 200 \(daemon.master)"])
        try FileManager.default.moveItem(atPath: path, toPath: path + ".old")
        daemon.signal(SIGUSR1)
        try daemon.waitForLog(/access log file re-opened/)
        #expect(try daemon.get("/ping", query: "second").isComplete)
        #expect(try log.waitForLines(1) == ["127.0.0.1 GET /ping?second 200 \(daemon.master)"])
        #expect(LogFile(path: path + ".old").lines.count == 1)
        try daemon.releaseHeld()
        for connection in blockers { #expect(try connection.finalResponse().isComplete) }
    }

    /// Who is refused is in the access log, with what the request says of itself.
    @Test func accessLogOfRefusedRequests() throws {
        let daemon = try Self.start(
            1,
            "pm.max_queue = 2\npm.queue_timeout = 5\naccess.log = {{DIR}}/access.log\n"
                + "access.format = \"%R %u %m %r%Q%q %s %f %l %M %{Retry-After}o %{X-Powered-By}o %p\"",
            listen: "127.0.0.1:{{PORT}}"
        )
        daemon.allowLog(/requests are refused with 503/)
        let log = LogFile(path: daemon.directory + "/access.log")
        let blockers = try Self.block(daemon)
        let waiting = try ["a", "b"].map { try daemon.begin("/hello.php", query: $0) }
        try Self.waitUntilQueued(daemon, 2)
        var request = daemon.makeRequest("/hello.php", query: "full", body: [65, 66], contentType: "a/b")
        request.set("HTTP_AUTHORIZATION", "Basic YW5uYTpzZWNyZXQ=")
        let refused = try daemon.connect()
        try refused.send(request)
        #expect(try refused.finalResponse().status == 503)
        // To PHP a request without a script has nothing else either.
        request.set("SCRIPT_FILENAME", nil)
        let strange = try daemon.connect()
        try strange.send(request)
        #expect(try strange.finalResponse().status == 503)
        for connection in waiting { #expect(try connection.finalResponse().status == 503) }
        let rest = "503 - 2 0"
        let lines = try log.waitForLines(4 + log.count(of: /status/))
            .filter { !$0.contains("/status") }
        try #require(lines.count == 4)
        #expect(lines[0].hasPrefix("127.0.0.1 anna POST /hello.php?full \(rest) "), "\(lines[0])")
        #expect(lines[1].hasPrefix("127.0.0.1  -  503 - 0 0 "), "\(lines[1])")
        #expect(lines[2].hasPrefix("127.0.0.1  GET /hello.php?a 503 - 0 0 "), "\(lines[2])")
        #expect(lines[3].hasPrefix("127.0.0.1  GET /hello.php?b 503 - 0 0 "), "\(lines[3])")
        // Seconds until what waits longest would have been served: the two that waited go one after the other.
        for (line, seconds) in zip(lines, [1...5, 1...5, 4...7, 1...2]) {
            let match = line.firstMatch(of: /\ (\d+) - (\d+)$/)
            #expect(match.flatMap { Int($0.1) }.map(seconds.contains) == true, "\(line)")
            #expect(match?.2 == "\(daemon.master)", "\(line)")
        }
        try daemon.releaseHeld()
        for connection in blockers { #expect(try connection.finalResponse().isComplete) }
    }

    /// A flood of requests is refused at a price that has a bound: not each of them gets a line.
    @Test func accessLogOfAFlood() throws {
        let daemon = try Self.start(
            1,
            "pm.max_queue = 1\naccess.log = {{DIR}}/access.log\naccess.format = \"%s %q\""
        )
        daemon.allowLog(/requests are refused with 503/)
        let log = LogFile(path: daemon.directory + "/access.log")
        let blockers = try Self.block(daemon)
        let waiting = try daemon.begin("/hello.php")
        try Self.waitUntilQueued(daemon, 1)
        let before = log.count(of: /^503 flood$/)
        var request = daemon.makeRequest("/hello.php", query: "flood")
        request.keepsConnection = true
        let connection = try daemon.connect()
        let begin = ContinuousClock.now
        var sent = 0
        let deadline = Deadline(in: .seconds(60))
        // Looking at each answer at once would keep the rate below the one that matters.
        while daemon.log.count(of: /requests are refused each second/) == 0, !deadline.hasPassed {
            try connection.flood(request, times: 8000, within: .seconds(60))
            sent += 8000
        }
        try daemon.waitForLog(
            /NOTICE: \[pool www\] more than 1000 requests are refused each second: 1 without a line in the access log$/
        )
        let lines = log.count(of: /^503 flood$/) - before
        let most = 1000 + Int((ContinuousClock.now - begin) / .milliseconds(1))
        #expect(lines >= 1000 && lines < sent && lines <= most, "\(lines) of \(sent), at most \(most)")
        for _ in 0..<sent { #expect(try connection.readResponse().status == 503) }
        try daemon.releaseHeld()
        for connection in blockers + [waiting] { #expect(try connection.finalResponse().status == 200) }
    }

    @Test func requestsAreServedInOrder() throws {
        let daemon = try Self.start()
        let blockers = try Self.block(daemon)
        var waiting: [FastCGIConnection] = []
        let names = (1...50).map { "r\($0)" }
        // Two that arrive at the same moment have no order: each one is there before the next comes.
        for (index, name) in names.enumerated() {
            waiting.append(try Self.ordered(daemon, name))
            try Self.waitUntilQueued(daemon, index + 1)
        }
        try daemon.releaseHeld()
        for connection in blockers + waiting { #expect(try connection.finalResponse().isComplete) }
        #expect(Self.order(daemon) == names)
    }

    @Test(arguments: ["{{SOCKET}}", "127.0.0.1:{{PORT}}"])
    func clientsThatHaveGoneAreNotServed(_ listen: String) throws {
        let daemon = try Self.start(listen: listen)
        daemon.markDescriptors()
        let blockers = try Self.block(daemon)
        let first = try Self.ordered(daemon, "first")
        let gone = try (1...30).map { try Self.ordered(daemon, "gone\($0)") }
        let last = try Self.ordered(daemon, "last")
        try Self.waitUntilQueued(daemon, 32)
        for (index, connection) in gone.enumerated() {
            if index % 2 == 0 { connection.close() } else { connection.abort() }
        }
        // Those before the workers already are dropped by these.
        try wait(for: "clients that have gone to be forgotten") {
            (try daemon.get("/status", query: "json").json["listen queue"] as? Int ?? 99) <= 3
        }
        try daemon.releaseHeld()
        for connection in blockers + [first, last] { #expect(try connection.finalResponse().isComplete) }
        #expect(Self.order(daemon) == ["first", "last"])
    }

    /// A client that sends no more after its request still wants the answer.
    @Test func halfClosedClientsAreServed() throws {
        let daemon = try Self.start()
        let blockers = try Self.block(daemon)
        let waiting = try (1...5).map { try Self.ordered(daemon, "half\($0)") }
        for connection in waiting { connection.finishSending() }
        try Self.waitUntilQueued(daemon, 5)
        try daemon.releaseHeld()
        for connection in blockers + waiting { #expect(try connection.finalResponse().status == 200) }
        #expect(Self.order(daemon).count == 5)
    }

    @Test func maximumLength() throws {
        let daemon = try Self.start(1, "pm.max_queue = 3")
        daemon.allowLog(/requests are refused with 503/)
        let blockers = try Self.block(daemon)
        let waiting = try (1...3).map { try Self.ordered(daemon, "w\($0)") }
        try Self.waitUntilQueued(daemon, 3)
        let refused = try daemon.get("/hello.php")
        #expect(refused.status == 503 && refused.isComplete)
        #expect((refused.header("Retry-After").flatMap { Int($0) } ?? 0) >= 1)
        // The connection of a refused request is kept, if that was wanted.
        let kept = try daemon.connect()
        var request = daemon.makeRequest("/hello.php")
        request.keepsConnection = true
        for _ in 1...3 {
            try kept.send(request)
            #expect(try kept.readResponse().status == 503)
        }
        #expect(try daemon.get("/ping").text == "pong")
        try daemon.waitForLog(/WARNING: \[pool www\] requests are refused with 503/)
        try daemon.releaseHeld()
        for connection in blockers + waiting { #expect(try connection.finalResponse().status == 200) }
        try kept.send(request)
        #expect(try kept.readResponse().text == "hello, world\n")
    }

    /// A refused request with a body that is still to come: the client gets its answer.
    @Test func refusedUpload() throws {
        let daemon = try Self.start(1, "pm.max_queue = 1")
        daemon.allowLog(/requests are refused with 503/)
        let blockers = try Self.block(daemon)
        let waiting = try Self.ordered(daemon, "w")
        try Self.waitUntilQueued(daemon, 1)
        let upload = try daemon.connect()
        let body = [UInt8](repeating: 65, count: 100_000)
        try upload.send(daemon.makeRequest("/input.php", body: body, contentType: "application/x-bytes"))
        #expect(try upload.finalResponse().status == 503)
        try daemon.releaseHeld()
        for connection in blockers + [waiting] { #expect(try connection.finalResponse().status == 200) }
    }

    @Test func longestWait() throws {
        let daemon = try Self.start(1, "pm.queue_timeout = 1")
        daemon.allowLog(/requests are refused with 503/)
        let blockers = try Self.block(daemon)
        let begin = ContinuousClock.now
        let waiting = try (1...10).map { try Self.ordered(daemon, "w\($0)") }
        for connection in waiting {
            let answer = try connection.finalResponse()
            #expect(answer.status == 503 && answer.isComplete)
        }
        #expect(ContinuousClock.now - begin >= .milliseconds(900))
        try daemon.releaseHeld()
        for connection in blockers { #expect(try connection.finalResponse().status == 200) }
        #expect(Self.order(daemon).isEmpty)
        #expect(try daemon.get("/hello.php").status == 200)
    }

    @Test func scriptsAreToldHowLongTheyWaited() throws {
        let daemon = try Self.start()
        #expect(try Self.ordered(daemon, "free").finalResponse().text == "none")
        let blockers = try Self.block(daemon)
        let waiting = try Self.ordered(daemon, "w")
        try Self.waitUntilQueued(daemon, 1)
        try daemon.releaseHeld()
        for connection in blockers { #expect(try connection.finalResponse().isComplete) }
        let text = try waiting.finalResponse().text
        #expect(text.contains(/^\d+\.\d{6}$/))
        #expect((Double(text) ?? 0) > 0)
    }

    /// With a limit on the queue it is said always, so that it can be logged.
    @Test func scriptsAreToldAlways() throws {
        let daemon = try Self.start(1, "pm.max_queue = 10")
        let text = try Self.ordered(daemon, "free").finalResponse().text
        #expect(text.contains(/^0\.\d{6}$/))
    }

    @Test func logSaysWhatWorkersDo() throws {
        let daemon = try Self.start(2)
        let blockers = try Self.block(daemon, 2)
        let waiting = try (1...5).map { try Self.ordered(daemon, "w\($0)") }
        try daemon.waitForLog(
            /NOTICE: \[pool www\] saturated: 2 workers are busy, 5 requests wait, the first for \d\.\d s/
        )
        for _ in 1...2 {
            try daemon.waitForLog(
                /saturated: child \d+ since \d+\.\d s, script '\/.*\/hold\.php' \(request: "GET \/hold\.php\?dir=/
            )
        }
        try daemon.releaseHeld()
        for connection in blockers + waiting { #expect(try connection.finalResponse().isComplete) }
        try daemon.waitForLog(/no longer saturated after \d+\.\d s: at most 5 requests waited/)
    }

    @Test func reloadKeepsTheQueue() throws {
        let daemon = try Self.start(1, "")
        let blockers = try Self.block(daemon)
        let waiting = try (1...20).map { try Self.ordered(daemon, "w\($0)") }
        try Self.waitUntilQueued(daemon, 20)
        daemon.signal(SIGUSR2)
        // The new generation serves them while the old one is still busy.
        for connection in waiting { #expect(try connection.finalResponse().status == 200) }
        try daemon.releaseHeld()
        for connection in blockers { #expect(try connection.finalResponse().isComplete) }
        #expect(Self.order(daemon).count == 20)
        try daemon.waitForLog(/ready to handle connections/)
    }

    @Test func gracefulStopServesTheQueue() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\n\(Self.pages)",
            Daemon.Options(global: "process_control_timeout = 20")
        )
        let blockers = try Self.block(daemon)
        let waiting = try (1...10).map { try Self.ordered(daemon, "w\($0)") }
        try Self.waitUntilQueued(daemon, 10)
        daemon.signal(SIGQUIT)
        try daemon.waitForLog(/Finishing/)
        try daemon.releaseHeld()
        for connection in blockers + waiting { #expect(try connection.finalResponse().status == 200) }
        try daemon.process.wait()
    }

    /// The client of the first one that waits has gone: those behind it are served all the same.
    @Test(arguments: ["{{SOCKET}}", "127.0.0.1:{{PORT}}"])
    func gracefulStopPassesOverClientsThatHaveGone(_ listen: String) throws {
        let daemon = try Daemon.start(
            "[www]\nuser = www-data\ngroup = www-data\nlisten = \(listen)\npm = static\npm.max_children = 1\n"
                + Self.pages,
            Daemon.Options(global: "process_control_timeout = 20")
        )
        let blockers = try Self.block(daemon)
        let gone = try Self.ordered(daemon, "gone")
        try Self.waitUntilQueued(daemon, 1)
        let last = try Self.ordered(daemon, "last")
        try Self.waitUntilQueued(daemon, 2)
        gone.close()
        daemon.signal(SIGQUIT)
        try daemon.waitForLog(/Finishing/)
        try daemon.releaseHeld()
        for connection in blockers + [last] { #expect(try connection.finalResponse().status == 200) }
        #expect(Self.order(daemon) == ["last"])
        try daemon.process.wait()
    }

    /// A worker that is killed while others wait costs only its own request.
    @Test func killedWorkerWhileOthersWait() throws {
        let daemon = try Self.start(2)
        daemon.allowLog(/(exited|cut off) on signal 9/)
        let blockers = try Self.block(daemon, 2)
        let waiting = try (1...10).map { try Self.ordered(daemon, "w\($0)") }
        try Self.waitUntilQueued(daemon, 10)
        for worker in daemon.workers() { kill(worker.pid, SIGKILL) }
        for connection in waiting { #expect(try connection.finalResponse().status == 200) }
        for connection in blockers { connection.close() }
        try daemon.releaseHeld()
    }

    /// More than a connection's buffer, to a client that reads nothing at first.
    @Test func statusForSlowReader() throws {
        let daemon = try Self.start(1)
        let blockers = try Self.block(daemon)
        let waiting = try Self.ordered(daemon, "w")
        try Self.waitUntilQueued(daemon, 1)
        let reader = try daemon.connect()
        var request = daemon.makeRequest("/status", query: "full&html")
        request.keepsConnection = true
        for _ in 1...200 { try reader.send(request) }
        for _ in 1...200 { #expect(try reader.readResponse().status == 200) }
        try daemon.releaseHeld()
        for connection in blockers + [waiting] { #expect(try connection.finalResponse().isComplete) }
    }
}
