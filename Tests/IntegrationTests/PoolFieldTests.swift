import Foundation
import TestSupport
import Testing

/// Lines about a pool and its workers have their fields, whatever they are about.
@Suite(.daemons) struct PoolFieldTests {
    private static func pool(_ name: String, _ lines: String) -> String {
        "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\n\(lines)\n"
    }

    @Test(.fpmdOnly("writes no JSON")) func linesAboutPools() throws {
        var options = Daemon.Options(global: "log_format = json\nlog_level = debug")
        options.waitsUntilReady = false
        let daemon = try Daemon.start(
            Self.pool(
                "slow",
                """
                pm = static
                pm.max_children = 1
                request_slowlog_timeout = 1s
                request_terminate_timeout = 2s
                slowlog = {{DIR}}/slow.log
                """
            )
                + Self.pool(
                    "died",
                    "pm = dynamic\npm.max_children = 2\npm.start_servers = 1\npm.min_spare_servers = 1\npm.max_spare_servers = 1\ncatch_workers_output = yes"
                )
                + Self.pool("lazy", "pm = ondemand\npm.max_children = 1\npm.process_idle_timeout = 1s"),
            options
        )
        daemon.allowLog(/.*/)
        for name in ["slow", "died", "lazy"] {
            try wait(for: "an answer of \(name)") {
                (try? daemon.begin("/hello.php", from: name).finalResponse())?.text == "hello, world\n"
            }
        }
        let slow = try daemon.startHolding("1", from: "slow")
        for signal in [9, 11] {
            _ = try daemon.begin("/die.php", query: "signal=\(signal)", from: "died").finalResponse()
        }
        _ = try daemon.begin("/log.php", from: "died").finalResponse()
        let held = try daemon.startHolding("2", from: "lazy")
        let waiting = try daemon.begin("/hello.php", from: "lazy")
        try daemon.waitForLog(/server reached max_children/)
        for word in [
            "exited on signal 11", "exited on signal 9", "executing too slow", "execution timed out",
        ] {
            try wait(for: word) { daemon.log.count(of: try Regex(word)) > 0 }
        }
        _ = try slow.finalResponse()
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
        #expect(try waiting.finalResponse().isComplete)
        daemon.signal(SIGUSR2)
        try wait(for: "the reload") { daemon.log.count(of: /ready to handle connections/) == 2 }
        try daemon.stop(SIGQUIT)

        var about: [String: Int] = [:]
        for line in daemon.log.lines {
            let object = try #require(
                try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
                "\(line)"
            )
            let message = try #require(object["message"] as? String)
            let pool = object["pool"] as? String
            if let named = message.firstMatch(of: /^\[pool (\w+)\]/) {
                #expect(pool == String(named.1), "\(line)")
                about[String(named.1), default: 0] += 1
            }
            if let child = message.firstMatch(
                of: /\[pool \w+\] child (\d+)|about to trace (\d+)|finished trace of (\d+)/
            ) {
                let number = child.1 ?? child.2 ?? child.3
                #expect(object["worker"] as? Int == number.flatMap { Int($0) }, "\(line)")
                #expect(pool != nil, "\(line)")
            }
        }
        #expect(about.count == 3 && about.values.allSatisfy { $0 > 3 }, "\(about)")
    }

    /// A reload that changes the form of the log does so for what workers write, too: those that have started before
    /// it was over, and the old ones.
    @Test(.fpmdOnly("writes no JSON")) func reloadChangesTheFormOfWorkersOutput() throws {
        let pool = "[www]\nuser = www-data\nlisten = {{SOCKET}}\npm = static\npm.max_children = 1\n"
        let caught = pool + "catch_workers_output = yes\n"
        let daemon = try Daemon.start(caught)
        daemon.allowLog(/.*/)
        let text =
            #/^\[.*\] WARNING: \[pool www\] child \d+ said into stderr: "NOTICE: PHP message: PHP Fatal error: .*/#
        let json = #/^\{.*"level":"error","message":"NOTICE: PHP message: PHP Fatal error: .*"pool":"www",.*/#
        func fail() throws { _ = try daemon.get("/fatal.php") }
        try fail()
        try daemon.waitForLog(text)
        for (form, global) in [(json, "log_format = json\n"), (text, "")] {
            try daemon.rewriteConfiguration(caught, global: global)
            let count = daemon.log.count(of: /ready to handle connections/)
            daemon.signal(SIGUSR2)
            try wait(for: "the reload") { daemon.log.count(of: /ready to handle connections/) > count }
            try daemon.waitForWorkers(1)
            try fail()
            try daemon.waitForLog(form)
        }
    }
}
