import Foundation
import TestSupport
import Testing

/// `fpmctl health`: what a probe sees of a master that serves, is busy, starts, stops, hangs or is dead.
@Suite(.daemons, .fpmdOnly("php-fpm has no fpmctl"))
struct ControlHealthTests {
    private static let one = "pm = static\npm.max_children = 1\n"

    /// The exit statuses of the three questions that probes ask.
    private func expectHealth(
        _ daemon: Daemon,
        live: Int32,
        ready: Int32,
        notBusy: Int32,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        // Long enough for a busy machine, short enough for the one that never answers.
        let patience = live == 75 ? ["--timeout", "0.3"] : []
        for (words, status) in [(["live"], live), (["ready"], ready), (["--fail-when-busy"], notBusy)] {
            for json in [[], ["--json"]] {
                let command = [Control.program, "health"] + words + json + patience
                let result = try run(command + ["--socket", daemon.controlSocket])
                #expect(
                    result.status == .code(status),
                    "\(words): \(result.output)\(result.errors)",
                    sourceLocation: location
                )
            }
        }
    }

    @Test func busyIsNotDead() throws {
        let daemon = try Control.start(Self.one)
        #expect(try daemon.ctl("health", "live").output == "live, ready\n")
        try expectHealth(daemon, live: 0, ready: 0, notBusy: 0)
        // Who works is not busy yet: nobody waits.
        let held = try daemon.startHolding("one")
        try expectHealth(daemon, live: 0, ready: 0, notBusy: 0)
        let waiting = try daemon.begin("/hello.php")
        daemon.allowLog(/.*/)
        try wait(for: "the pool to be busy") {
            try daemon.ctl("health").output.hasPrefix("live, ready, busy\n")
        }
        try expectHealth(daemon, live: 0, ready: 0, notBusy: 75)
        #expect(try daemon.ctlJSON("health")["busy"] as? Bool == true)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete && waiting.finalResponse().isComplete)
        try wait(for: "the pool to be free") {
            try daemon.ctl("health", "--fail-when-busy").status == .code(0)
        }
    }

    /// A master that hangs is neither well nor gone.
    @Test func hanging() throws {
        let daemon = try Control.start(Self.one)
        daemon.signal(SIGSTOP)
        defer { daemon.signal(SIGCONT) }
        try expectHealth(daemon, live: 75, ready: 75, notBusy: 75)
        let stopped = try daemon.ctl("health", "live", "--timeout", "0.3")
        #expect(stopped.errors.contains("has not answered within 0.3 s"))
        daemon.signal(SIGCONT)
        try expectHealth(daemon, live: 0, ready: 0, notBusy: 0)
    }

    /// It lives until its last request is served, but takes no more of them.
    @Test func stopping() throws {
        let daemon = try Control.start(Self.one, global: "process_control_timeout = 60s\n")
        let held = try daemon.startHolding("one")
        daemon.signal(SIGQUIT)
        try daemon.waitForLog(/Finishing/)
        try expectHealth(daemon, live: 0, ready: 75, notBusy: 75)
        let said = try daemon.ctl("health")
        #expect(said.output == "live, not ready\n  the service is stopping\n")
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
        _ = try daemon.stop(SIGQUIT)
        try expectHealth(daemon, live: 69, ready: 69, notBusy: 69)
    }

    /// What a killed master leaves is a socket's file that nobody listens on.
    @Test func killed() throws {
        let daemon = try Control.start(Self.one)
        daemon.expectEnd(.signal(SIGKILL))
        let family = ProcessSnapshot.descendants(of: daemon.master)
        try daemon.stop(SIGKILL)
        for process in family { kill(process.pid, SIGKILL) }
        #expect(FileManager.default.fileExists(atPath: daemon.controlSocket))
        try expectHealth(daemon, live: 69, ready: 69, notBusy: 69)
        #expect(try daemon.ctl("health").errors.contains("nobody listens on \(daemon.controlSocket)"))
    }
}
