import Foundation
import TestSupport
import Testing

/// Ping and status pages as monitoring uses them; their exact text is compared in ParityTests.
@Suite(.daemons)
struct StatusTests {
    private static let pool =
        "pm = static\npm.max_children = 2\npm.status_path = /status\nping.path = /ping\n"

    @Test func ping() throws {
        let daemon = try Daemon.startPool(Self.pool + "ping.response = alive")
        let response = try daemon.get("/ping")
        #expect(response.text == "alive")
        #expect(
            response.headerLines == [
                "Content-type: text/plain;charset=UTF-8", "Expires: Thu, 01 Jan 1970 00:00:00 GMT",
                "Cache-Control: no-cache, no-store, must-revalidate, max-age=0",
            ]
        )
    }

    @Test func counters() throws {
        let daemon = try Daemon.startPool(Self.pool)
        // Workers count from the moment they wait for connections.
        let before = try wait(for: "both workers to be counted") {
            let status = try daemon.get("/status", query: "json").json
            return status["total processes"] as? Int == 2 ? status["accepted conn"] as? Int : nil
        }
        for _ in 1...4 { #expect(try daemon.get("/hello.php").isComplete) }
        let held = try daemon.startHolding("1")
        let status = try daemon.get("/status", query: "json").json
        #expect(status["pool"] as? String == "www")
        #expect(status["process manager"] as? String == "static")
        #expect(status["accepted conn"] as? Int == before + 6)
        #expect(status["active processes"] as? Int == 2)
        #expect(status["idle processes"] as? Int == 0)
        #expect(status["total processes"] as? Int == 2)
        #expect(status["max active processes"] as? Int == 2)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    /// Requests in which PHP cannot even start end once, though their worker ends with them.
    @Test func mostActiveAfterRequestsThatCouldNotStart() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 4\npm.status_path = /status\nphp_admin_value[memory_limit] = 2M"
        )
        daemon.allowLog(/WARNING: .*exited with code 70/)
        for _ in 1...3 {
            let answer = try daemon.send(FailureTests.tooLarge(daemon))
            #expect(answer.status == 500 && answer.isComplete)
        }
        try wait(for: "three ends in the log") { daemon.log.count(of: /exited with code 70/) == 3 }
        let held = try (1...3).map { try daemon.startHolding("\($0)") }
        #expect(try daemon.get("/hello.php").isComplete)
        try daemon.releaseHeld()
        for connection in held { #expect(try connection.finalResponse().isComplete) }
        let most = try wait(for: "the workers to have finished") {
            let status = try daemon.get("/status", query: "json").json
            return status["active processes"] as? Int == 1 ? status["max active processes"] as? Int : nil
        }
        #expect(most == 4)
    }

    @Test func fullStatusNamesTheUserWhoAsks() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1\npm.status_path = /status")
        let credentials = Data("jane:secret".utf8).base64EncodedString()
        for (header, user) in [("Basic \(credentials)", "jane"), ("Bearer x", "-")] {
            let headers = ["HTTP_AUTHORIZATION": header]
            let status = try daemon.get("/status", query: "json&full", headers: headers).json
            let processes = try #require(status["processes"] as? [[String: Any]])
            #expect(processes.first?["user"] as? String == user)
        }
    }

    @Test func fullStatusShowsARunningRequest() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let held = try daemon.startHolding("1")
        let status = try daemon.get("/status", query: "json&full").json
        let processes = try #require(status["processes"] as? [[String: Any]])
        #expect(processes.count == 2)
        let running = try #require(
            processes.first { ($0["request uri"] as? String)?.hasPrefix("/hold.php") == true }
        )
        #expect(running["state"] as? String == "Running")
        #expect(running["script"] as? String == daemon.documentRoot + "/hold.php")
        #expect(running["request method"] as? String == "GET")
        #expect(running["requests"] as? Int == 1)
        #expect(Set(processes.compactMap { $0["pid"] as? Int }) == Set(daemon.workers().map { Int($0.pid) }))
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    @Test func scriptTextIsEscaped() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let held = try daemon.begin("/hold.php", query: "dir=\(daemon.scratch)&name=x&evil=<b>&lt;")
        try daemon.waitUntilStarted(["x"])
        for format in ["html", "xml"] {
            #expect(try daemon.get("/status", query: "\(format)&full").text.contains("<b>") == false)
        }
        #expect(try daemon.get("/status", query: "json&full").json["processes"] != nil)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    @Test func statusListener() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\npm.status_path = /status\npm.status_listen = {{SOCKET:status}}\nping.path = /ping"
        )
        let held = try daemon.startHolding("1")
        let status = try daemon.get("/status", query: "json", from: "status").json
        #expect(status["pool"] as? String == "www")
        #expect(status["active processes"] as? Int == 1)
        #expect(status["total processes"] as? Int == 1)
        #expect(try daemon.get("/ping", from: "status").text == "pong")
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    @Test(.fpmdOnly("runs scripts there outside the pool's confinement")) func statusListenerRunsNoScript()
        throws
    {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\npm.status_path = /status\npm.status_listen = {{SOCKET:status}}"
        )
        let response = try daemon.get("/hello.php", from: "status")
        #expect(response.isComplete)
        #expect(!response.text.contains("hello"))
        #expect(response.status == 404 || response.status == 403)
    }

    @Test func countersStartAnewOnReload() throws {
        let daemon = try Daemon.startPool(Self.pool)
        for _ in 1...4 { #expect(try daemon.get("/hello.php").isComplete) }
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/Reloading in progress/)
        try daemon.waitForLog(/ready to handle connections/)
        let status = try daemon.get("/status", query: "json").json
        #expect(status["accepted conn"] as? Int == 1)
    }
}
