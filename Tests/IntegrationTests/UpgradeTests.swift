import Foundation
import TestSupport
import Testing

/// A reload that finds another program in the place of the running one.
@Suite(.daemons, .fpmdOnly("executes itself in any case, and loses its workers' requests"))
struct UpgradeTests {
    private static let pool = "pm = static\npm.max_children = 2"

    /// Starts a copy of the programs, which a test can replace.
    private func startCopy(_ pools: String, global: String = "") throws -> (Daemon, String) {
        let directory = try TestContext.required().makeDirectory("bin")
        chmod(directory, 0o755)
        let source = URL(fileURLWithPath: Program.underTest.path).deletingLastPathComponent().path
        for name in ["fpmd", "fpmd-php"] {
            let installed = source + "/../libexec/fpmd/" + name
            let path =
                FileManager.default.fileExists(atPath: "\(source)/\(name)") ? "\(source)/\(name)" : installed
            try copy(path, to: "\(directory)/\(name)")
        }
        let options = Daemon.Options(program: Program(path: directory + "/fpmd"), global: global)
        return (try Daemon.start(pools, options), directory + "/fpmd")
    }

    /// In another process: what is open for writing here would be so in each process that another test starts just
    /// then, and could not be executed.
    private func copy(_ source: String, to target: String) throws {
        #expect(
            try ChildProcess(
                ["/bin/cp", source, target],
                environment: [:],
                output: "/dev/null",
                errors: "/dev/null"
            ).wait() == .code(0)
        )
    }

    /// Another file with the same content takes the program's place, as a package manager does it.
    private func replace(_ path: String, with content: String? = nil) throws {
        if let content {
            try content.write(toFile: path + ".new", atomically: false, encoding: .utf8)
            chmod(path + ".new", 0o755)
        } else {
            try copy(path, to: path + ".new")
        }
        #expect(rename(path + ".new", path) == 0)
    }

    private func waitForUpgrade(_ daemon: Daemon) throws {
        try daemon.waitForLog(/NOTICE: executing/)
        try daemon.waitForLog(/NOTICE: fpm is running, pid \d+: taken over with \d+ pool/)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
    }

    @Test func metricsGoOnOnTheSameSocket() throws {
        let (daemon, path) = try startCopy(Daemon.poolSection(Self.pool), global: MetricsTests.global)
        let metrics = Metrics(port: try daemon.port("metrics"))
        #expect(try metrics.get("/ready").status == 200)
        let socket = {
            ProcessSnapshot(pid: daemon.master)?.descriptors.filter { $0.hasPrefix("socket:") } ?? []
        }
        let before = Set(socket())
        try replace(path)
        daemon.signal(SIGUSR2)
        try waitForUpgrade(daemon)
        #expect(try metrics.page()["fpmd_reloads_total{result=\"done\"}"] == 1)
        #expect(!before.isDisjoint(with: socket()))
        // Another reload keeps it again.
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ready to handle connections/)
        #expect(try metrics.page()["fpmd_reloads_total{result=\"done\"}"] == 2)
    }

    /// The kernel finds a Unix socket by looking at all there are: thousands of pools would look for seconds.
    @Test func howLongQueuesMayBeIsHandedOver() throws {
        let (daemon, path) = try startCopy(
            Daemon.poolSection(Self.pool + "\nlisten.backlog = 7\npm.status_path = /status")
        )
        let limit = { try daemon.get("/status", query: "json").json["listen queue len"] as? Int }
        #expect(try limit() == 7)
        let calls = daemon.directory + "/calls"
        let trace = try daemon.record("network", of: #require(ProcessSnapshot(pid: daemon.master)), to: calls)
        defer { trace.send(SIGTERM) }
        try replace(path)
        daemon.signal(SIGUSR2)
        try waitForUpgrade(daemon)
        trace.send(SIGTERM)
        _ = try trace.wait(within: patience)
        let written = readText(calls)
        #expect(written.contains("accept") || written.contains("sendmsg"))
        #expect(!written.contains("SOCK_DIAG_BY_FAMILY"))
        #expect(try limit() == 7)
    }

    @Test func socketFileOfTheImageBeforeIsRemovedOnlyIfItIsStillThere() throws {
        let (daemon, program) = try startCopy(Daemon.poolSection(Self.pool))
        let path = try #require(daemon.socketPaths.first)
        try replace(program)
        daemon.signal(SIGUSR2)
        try waitForUpgrade(daemon)
        #expect(rename(path, path + ".moved") == 0)
        try "data".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(try daemon.stop() == .code(0))
        #expect(readText(path) == "data")
        unlink(path)
    }

    @Test func newProgramGoesOnUnderTheSameNumber() throws {
        let (daemon, path) = try startCopy(Daemon.poolSection(Self.pool))
        let before = try daemon.waitForWorkers(2)
        let master = try #require(ProcessSnapshot(pid: daemon.master))
        // A running request, an idle kept connection, a request half sent.
        let held = try daemon.startHolding("1")
        let kept = try daemon.connect()
        var request = daemon.makeRequest("/hello.php")
        request.keepsConnection = true
        try kept.send(request)
        #expect(try kept.readResponse().text == "hello, world\n")
        let slow = try daemon.connect()
        let bytes = daemon.makeRequest("/hello.php").bytes
        try slow.send(Array(bytes[..<20]))

        try replace(path)
        daemon.signal(SIGUSR2)
        try waitForUpgrade(daemon)
        #expect(ProcessSnapshot(pid: daemon.master)?.startTime == master.startTime, "the same process")
        let executable = try FileManager.default.destinationOfSymbolicLink(
            atPath: "/proc/\(daemon.master)/exe"
        )
        #expect(executable == path, "the new file is executed: \(executable)")

        try slow.send(Array(bytes[20...]))
        #expect(try slow.finalResponse().text == "hello, world\n")
        try kept.send(request)
        #expect(try kept.readResponse().text == "hello, world\n")
        #expect(try daemon.get("/hello.php").isComplete)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().text == "held 1")
        let after = try daemon.waitForWorkers(2)
        #expect(Set(after).isDisjoint(with: before))
        // Nothing is left of the image before: the next reload is an ordinary one.
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: reloading: new generation/)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        #expect(daemon.log.count(of: /executing/) == 1)
        #expect(readText(daemon.directory + "/fpm.pid") == "\(daemon.master)")
    }

    /// Those of which master and workers have one duplicate each.
    @Test func sharedConnectionsGoOn() throws {
        let (daemon, path) = try startCopy(Daemon.poolSection(Self.pool))
        let kept = try SharedConnectionTests.Kept(daemon)
        try replace(path)
        daemon.signal(SIGUSR2)
        try waitForUpgrade(daemon)
        for _ in 1...3 { for connection in kept.connections { try kept.ask(connection) } }
    }

    @Test func requestsThatWaitAreServed() throws {
        let (daemon, path) = try startCopy(Daemon.poolSection("pm = static\npm.max_children = 1"))
        daemon.allowLog(/WARNING: .*(saturated|busy|wait)/)
        let held = try daemon.startHolding("1")
        let waiting = try (1...20).map { _ in try daemon.begin("/hello.php") }
        try replace(path)
        daemon.signal(SIGUSR2)
        for connection in waiting { #expect(try connection.finalResponse().text == "hello, world\n") }
        try waitForUpgrade(daemon)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    @Test func nothingIsLostByManyUpgrades() throws {
        let (daemon, path) = try startCopy(
            Daemon.poolSection(Self.pool)
                + "[two]\nuser = www-data\nlisten = {{SOCKET:two}}\npm = ondemand\npm.max_children = 3\n"
        )
        for _ in 1...4 {
            try replace(path)
            daemon.signal(SIGUSR2)
            for _ in 1...40 {
                #expect(try daemon.get("/hello.php").text == "hello, world\n")
                #expect(try daemon.get("/hello.php", from: "two").text == "hello, world\n")
            }
            try waitForUpgrade(daemon)
        }
        try daemon.waitForWorkers(2, pool: "www")
    }

    @Test(arguments: [
        ("#!/bin/true\n", "ERROR: reload refused: "),
        ("#!/bin/false\n", "ERROR: the new program exited with code 1"),
        ("nothing that could be executed", "ERROR: reload refused: the new program cannot be started: "),
        ("#!/bin/sh\nkill -9 $$\n", "ERROR: the new program exited on signal 9 (SIGKILL)"),
    ])
    func programThatDoesNotTakeOverIsRefused(content: String, reason: String) throws {
        let (daemon, path) = try startCopy(Daemon.poolSection(Self.pool))
        daemon.allowLog(/ERROR: (reload refused|the new program)/)
        let before = try daemon.waitForWorkers(2)
        try replace(path, with: content)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ERROR: reload refused: .*; the old configuration goes on serving$/)
        #expect(readText(daemon.log.path).contains(reason))
        #expect(daemon.workers() == before)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func brokenConfigurationIsRefusedBefore() throws {
        let (daemon, path) = try startCopy(Daemon.poolSection(Self.pool))
        daemon.allowLog(/ERROR|WARNING|NOTICE: new program: ERROR/)
        let before = try daemon.waitForWorkers(2)
        try daemon.rewriteConfiguration(Daemon.poolSection("pm = static\npm.max_children = many"))
        try replace(path)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/new program: ERROR: .*unable to parse value for entry 'pm.max_children'/)
        try daemon.waitForLog(/ERROR: reload refused: the new program does not take over/)
        #expect(daemon.workers() == before)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// The new image cannot start a new generation: it goes on with the old one, which can still start workers.
    @Test func adoptedGenerationServesOn() throws {
        let (daemon, path) = try startCopy(Daemon.poolSection(Self.pool + "\nenv[GENERATION] = one"))
        daemon.allowLog(/ERROR|WARNING|ALERT/)
        let before = try daemon.waitForWorkers(2)
        // Only PHP finds out.
        try daemon.rewriteConfiguration(
            Daemon.poolSection(
                Self.pool + "\nprocess.priority = 1\nphp_admin_value[opcache.preload] = /nonexistent.php"
            )
        )
        try replace(path)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: fpm is running, pid \d+: taken over/)
        try daemon.waitForLog(/ERROR: reload refused/)
        #expect(daemon.workers().filter { before.contains($0) }.count == 2)
        for _ in 1...5 { #expect(try daemon.get("/server.php").json["GENERATION"] as? String == "one") }
        let victim = try #require(before.first)
        kill(victim.pid, SIGKILL)
        try wait(for: "a replacement") {
            let now = daemon.workers()
            return now.count == 2 && !now.contains(victim)
        }
        for _ in 1...5 { #expect(try daemon.get("/server.php").json["GENERATION"] as? String == "one") }
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.pool + "\nenv[GENERATION] = two"))
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        #expect(try daemon.get("/server.php").json["GENERATION"] as? String == "two")
    }

    /// What an operator has set holds until a reload takes effect.
    @Test func drainedAndScaledPoolsStayAsTheyAreWhenTheReloadIsRefused() throws {
        let pools =
            Daemon.poolSection(Self.pool) + "[two]\nuser = www-data\nlisten = {{SOCKET:two}}\n" + Self.pool
        let (daemon, path) = try startCopy(pools, global: Control.directive)
        daemon.allowLog(/ERROR|WARNING|ALERT/)
        #expect(try daemon.ctl("drain", "www", "--wait").status == .code(0))
        #expect(try daemon.ctl("scale", "two", "5").status == .code(0))
        try daemon.waitForWorkers(5, pool: "two")
        // Only PHP finds out.
        try daemon.rewriteConfiguration(pools + "\nphp_admin_value[opcache.preload] = /nonexistent.php\n")
        try replace(path)
        let waiting = try daemon.begin("/hello.php")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: fpm is running, pid \d+: taken over/)
        try daemon.waitForLog(/ERROR: reload refused/)
        #expect(try daemon.controlPool()["state"] as? String == "drained")
        #expect(daemon.workers(pool: "www").isEmpty)
        #expect(try daemon.ctl("undrain", "www").output == "pool www serves again\n")
        #expect(try waiting.finalResponse().text == "hello, world\n")
        try daemon.waitForWorkers(2, pool: "www")
        try daemon.waitForWorkers(5, pool: "two")
    }

    @Test func stopAfterAnUpgrade() throws {
        let (daemon, path) = try startCopy(
            Daemon.poolSection(Self.pool),
            global: "process_control_timeout = 10"
        )
        try replace(path)
        daemon.signal(SIGUSR2)
        try waitForUpgrade(daemon)
        let held = try daemon.startHolding("1")
        daemon.signal(SIGQUIT)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().text == "held 1")
        #expect(try daemon.process.wait() == .code(0))
    }

    /// What the new image was handed and a reload gives up is closed, as in one that was started.
    @Test func removedPoolGivesUpItsPort() throws {
        let others = Daemon.poolSection(Self.pool)
        let api = "\n[api]\nuser = www-data\nlisten = 127.0.0.1:{{PORT:api}}\n\(Self.pool)"
        let (daemon, path) = try startCopy(others + api)
        try daemon.rewriteConfiguration(others)
        try replace(path)
        daemon.signal(SIGUSR2)
        try waitForUpgrade(daemon)
        try wait(for: "the port to be closed") { (try? daemon.connect("api")) == nil }
        try daemon.rewriteConfiguration(others + api)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        #expect(try daemon.get("/hello.php", from: "api").isComplete)
    }

    /// Another deployment while the new image starts: it knows where its file was, and takes the next one.
    @Test func replacedOnceMoreWhileTheNewProgramStarts() throws {
        let (daemon, path) = try startCopy(Daemon.poolSection(Self.pool))
        for name in [".first", ".second"] { try copy(path, to: path + name) }
        let script = """
            #!/bin/bash
            if [ "$1" = --check-takeover ]; then exec "$0.first" "$@"; fi
            exec {program}< "$0.first"
            mv "$0.second" "$0.first"
            exec -a "$0" "/proc/self/fd/$program" "$@"
            """
        try replace(path, with: script)
        daemon.signal(SIGUSR2)
        for _ in 1...2 { try daemon.waitForLog(/NOTICE: fpm is running, pid \d+: taken over with \d+ pool/) }
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        #expect(try daemon.get("/hello.php").isComplete)
        let executable = try FileManager.default.destinationOfSymbolicLink(
            atPath: "/proc/\(daemon.master)/exe"
        )
        #expect(executable == path + ".first")
    }
}
