import Foundation
import TestSupport
import Testing

extension Daemon {
    /// Whether a reload has begun that has not ended.
    fileprivate var isReloading: Bool {
        let last = log.lines.last {
            $0.contains(/a reload follows|reloading: new generation|ready to handle connections/)
        }
        return last?.contains("ready to handle connections") != true
    }
}

/// Processes that are killed or stopped at random while requests go on: only what ran in them is lost.
///
/// A few seconds each; with `FPMD_SOAK=MINUTES` in the environment so many minutes.
@Suite(.daemons, .serialized)
struct FaultTests {
    /// How long each storm lasts.
    static let span: Duration = {
        guard let text = ProcessInfo.processInfo.environment["FPMD_SOAK"] else { return .seconds(1) }
        return .seconds(60 * max(1, Int(text) ?? 1))
    }()

    enum Victim: String, CaseIterable, Sendable { case workers, zygotes, mixture }

    private static let styles = [
        "pm = static\npm.max_children = 4",
        "pm = dynamic\npm.max_children = 6\npm.start_servers = 2\npm.min_spare_servers = 1\npm.max_spare_servers = 3",
        "pm = ondemand\npm.max_children = 4",
    ]

    /// The pool is as it was: all workers, answers, no descriptor more.
    private func expectRecovery(_ daemon: Daemon, workers: Int?) throws {
        try wait(for: "an answer after the storm") {
            (try? daemon.get("/hello.php", within: .seconds(5)))?.isComplete == true
        }
        if let workers { try daemon.waitForWorkers(workers) }
        for _ in 1...20 { #expect(try daemon.get("/hello.php").text == "hello, world\n") }
    }

    @Test(.fpmdOnly("loses the connections of a dying worker"), arguments: Victim.allCases, styles)
    func killedAtRandom(victim: Victim, style: String) throws {
        let daemon = try Daemon.startPool(style)
        daemon.allowLog(/(exited|cut off) on signal 9|zygote \d+ on signal 9|seems busy|server reached/)
        daemon.allowLog(/its zygote on signal 9 \(SIGKILL\) while starting; next attempt in/)
        // Each of them killed before the load came to it.
        daemon.allowLog(/\d+ workers in a row died before their first request/)
        // The zygote has gone, and the master has not reaped it yet.
        daemon.allowLog(/cannot start a worker: Broken pipe/)
        #expect(try daemon.get("/hello.php").isComplete)
        daemon.markDescriptors()
        var kept = daemon.makeRequest("/hello.php")
        kept.keepsConnection = true
        let loads = [
            Load(
                daemon.makeRequest("/hello.php"),
                to: try daemon.endpoint(),
                expecting: "hello, world",
                clients: 3
            ),
            Load(kept, to: try daemon.endpoint(), expecting: "hello, world", clients: 2),
        ]
        var generator = SystemRandomNumberGenerator()
        var victims: Set<ProcessSnapshot> = []
        let deadline = Deadline(in: Self.span)
        while !deadline.hasPassed {
            let workers = victim == .zygotes ? [] : daemon.workers()
            let zygotes = victim == .workers ? [] : daemon.zygotes()
            if let process = (workers + zygotes).randomElement(using: &generator) {
                victims.insert(process)
                kill(process.pid, SIGKILL)
            }
            poll(nil, 0, Int32.random(in: 5...60, using: &generator))
        }
        for load in loads { try load.waitForGood(20) }
        // A worker that has just been forked still has its zygote's title: who was a zygote is in the log.
        let killed = victims.count - daemon.log.count(of: /zygote (\d+ )?exited on signal 9/)
        for load in loads {
            let totals = try load.stop()
            #expect(totals.good > 20)
            #expect(totals.unconnected == 0, "\(totals)")
            #expect(totals.failed <= killed, "\(killed) killed: \(totals)")
            if Self.span > .seconds(1) { print("\(victim): \(killed) workers killed, \(totals)") }
        }
        try expectRecovery(daemon, workers: style.contains("static") ? 4 : nil)
    }

    /// A worker whose zygote dies before it has said that it forked it is the pool's all the same.
    @Test(.fpmdOnly("has no zygote"), .needsRoot) func zygoteThatDiesBeforeItNamesItsWorker() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        daemon.allowLog(/(exited|cut off) on signal 9|zygote \d+ on signal 9/)
        let zygote = try #require(daemon.zygotes().first)
        let victim = try #require(try daemon.waitForWorkers(2).first)
        let trace = try daemon.inject("sendmsg:signal=SIGKILL:when=1", into: zygote)
        defer { trace.send(SIGTERM) }
        kill(victim.pid, SIGKILL)
        try daemon.waitForLog(/zygote \d+ exited on signal 9/)
        let unnamed = try wait(for: "the worker that it has forked") {
            let others = daemon.workers().filter { $0 != victim }
            return others.count == 2 ? others : nil
        }
        // Both serve, and nobody else was needed.
        let held = try ["1", "2"].map { try daemon.startHolding($0) }
        try daemon.releaseHeld()
        for connection in held { #expect(try connection.finalResponse().isComplete) }
        #expect(daemon.zygotes().isEmpty)
        #expect(daemon.workers() == unnamed)
        // It is known: it leaves when it is told to, and is replaced when it dies.
        for worker in unnamed { kill(worker.pid, SIGKILL) }
        try wait(for: "two other workers") {
            let now = daemon.workers()
            return now.count == 2 && Set(now).isDisjoint(with: unnamed)
        }
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// A worker that dies together with its zygote before either has said anything is called the pool's.
    @Test(.fpmdOnly("has no zygote"), .needsRoot) func workerThatDiesWithItsZygoteBeforeItIsNamed() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        daemon.allowLog(/(exited|cut off) on signal 9|zygote \d+ on signal 9/)
        let zygote = try #require(daemon.zygotes().first)
        let victim = try #require(try daemon.waitForWorkers(2).first)
        let trace = try daemon.inject("sendmsg:signal=SIGKILL:when=1", into: zygote, followsForks: true)
        defer { trace.send(SIGTERM) }
        kill(victim.pid, SIGKILL)
        try daemon.waitForLog(
            /WARNING: \[pool www\] child \d+ exited on signal 9 \(SIGKILL\) before it or its zygote, which has ended too, had named it$/
        )
        try daemon.waitForWorkers(2)
        try expectRecovery(daemon, workers: 2)
    }

    /// A seccomp filter that does not know a system call answers EPERM in older container engines.
    @Test(.fpmdOnly("php-fpm does not call it"), arguments: ["EPERM", "ENOSYS"])
    func waitsWithoutTheNewestWait(error: String) throws {
        let daemon = try Daemon.startPool(
            "pm = ondemand\npm.max_children = 2\npm.process_idle_timeout = 1s"
        )
        let master = try #require(ProcessSnapshot(pid: daemon.master))
        let trace = try daemon.inject("epoll_pwait2:error=\(error)", into: master)
        defer { trace.send(SIGTERM) }
        #expect(try daemon.get("/hello.php").isComplete)
        // The timer that ends it needs a wait with a limit.
        try daemon.waitForWorkers(0)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// A reload that comes between a worker's fork and its first word: it leaves, and nobody is to be alarmed.
    @Test(.fpmdOnly("has no zygote"), .needsRoot) func unnamedWorkerOfADrainingPool() throws {
        for attempt in 1...3 {
            let daemon = try Daemon.startPool(
                "pm = static\npm.max_children = 2",
                .init(global: "process_control_timeout = 1\nlog_level = debug")
            )
            daemon.allowLog(/(exited|cut off) on signal 9/)
            let zygote = try #require(daemon.zygotes().first)
            let victim = try #require(try daemon.waitForWorkers(2).first)
            // Longer than the zygote is given to end.
            let trace = try daemon.inject(
                "sendmsg:delay_enter=6000000:when=1",
                into: zygote,
                followsForks: true
            )
            defer { trace.send(SIGTERM) }
            kill(victim.pid, SIGKILL)
            try wait(for: "another worker that says nothing") {
                let others = ProcessSnapshot.descendants(of: daemon.master).filter { $0.pid != victim.pid }
                return others.count { $0.state != "Z" } == 3
            }
            daemon.signal(SIGUSR2)
            try daemon.waitForLog(/NOTICE: ready to handle connections$/)
            let said = try daemon.waitForLog(
                /DEBUG: \[pool www\] child \d+ exited with code \d+ (before it|after 0\.00)/
            )
            // The tracer sometimes loses the end of the zygote, which then is not reaped before the worker speaks.
            if attempt < 3, said.contains("after 0.00"),
                readText(daemon.directory + "/strace").contains("delayed wait data")
            {
                continue
            }
            #expect(
                said.contains(
                    /child \d+ exited with code \d+ before it or its zygote, which has ended too, had named it$/
                )
            )
            return try expectRecovery(daemon, workers: 2)
        }
    }

    /// Workers are wanted while zygotes die at their start: once they live, the pool is whole.
    @Test(.fpmdOnly("has no zygote")) func zygotesThatDieWhileStarting() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        daemon.allowLog(
            /(exited|cut off) on signal 9|zygote (\d+ )?on signal 9|died before their first request/
        )
        daemon.allowLog(/cannot start a worker: Broken pipe/)
        for worker in try daemon.waitForWorkers(2) { kill(worker.pid, SIGKILL) }
        // Longer than the master's tick, which asks for workers as well.
        let deadline = Deadline(in: .milliseconds(1500))
        while !deadline.hasPassed {
            for process in daemon.zygotes() + daemon.workers() { kill(process.pid, SIGKILL) }
            poll(nil, 0, 5)
        }
        try daemon.waitForWorkers(2)
        try expectRecovery(daemon, workers: 2)
    }

    // MARK: A pool that is broken beside one that is not

    /// As many zygotes as start at a time wait for something for ever: the next one starts all the same.
    @Test(.fpmdOnly("has no zygote")) func zygotesThatHangHoldUpNoOtherPool() throws {
        let directory = try TestContext.required().makeDirectory("preload")
        chmod(directory, 0o755)
        let hang = directory + "/hang"
        let script = directory + "/preload.php"
        // The FIFO is there later, and opened when somebody writes.
        try "<?php @fopen('\(hang)', 'r');\n"
            .write(toFile: script, atomically: false, encoding: .utf8)
        chmod(script, 0o644)
        func pool(_ name: String, _ more: String = "") -> String {
            "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\npm = ondemand\npm.max_children = 1\n\(more)\n"
        }
        let names = (0..<max(4, 2 * sysconf(CInt(_SC_NPROCESSORS_ONLN)))).map { "hanging\($0)" }
        let daemon = try Daemon.start(
            pool("good") + names.map { pool($0, "php_admin_value[opcache.preload] = \(script)") }.joined(),
            .init(global: "process.idle_zygotes = 0")
        )
        daemon.allowLog(/server reached max_children setting \(1\)/)
        try wait(for: "the zygotes that have shown that PHP starts to end") { daemon.zygotes().isEmpty }
        try #require(mkfifo(hang, 0o644) == 0)
        let waiting = try names.map { try daemon.begin("/hello.php", from: $0) }
        try wait(for: "their zygotes") { daemon.zygotes().count == names.count }
        try daemon.waitForLog(/\[pool hanging0\] saturated: 0 workers are busy, 1 request waits/)
        #expect(try daemon.begin("/hello.php", from: "good").finalResponse(within: .seconds(20)).isComplete)
        let writer = open(hang, O_RDWR | O_CLOEXEC)
        defer { close(writer) }
        unlink(hang)
        for client in waiting { #expect(try client.finalResponse().isComplete) }
    }

    /// A worker writes garbage to its stderr as fast as the master takes it; everybody else is answered meanwhile.
    @Test(.fpmdOnly("writes what it catches line by line, waiting for its log"))
    func floodOfOutputSlowsNobody() throws {
        func pool(_ name: String) -> String {
            "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\npm = static\npm.max_children = 1\ncatch_workers_output = yes\n"
        }
        let daemon = try Daemon.start(pool("quiet") + pool("loud"))
        daemon.allowLog(/\[pool loud\]|said into|log line\(s\) lost/)
        daemon.allowLog(/(exited|cut off) on signal/)
        let loud = try daemon.begin("/flood.php", query: "dir=\(daemon.scratch)", from: "loud")
        _ = try daemon.waitForScratch("flooding")
        for _ in 1...50 {
            #expect(try daemon.begin("/hello.php", from: "quiet").finalResponse().text == "hello, world\n")
        }
        #expect(!loud.isReadable(within: .zero), "it has flooded all the time")
        try daemon.releaseHeld()
        #expect(try loud.finalResponse().isComplete)
    }

    /// Requests that kill their workers, as fast as they can; the other pool's clients see nothing of it.
    @Test(.fpmdOnly("forks as often as workers die")) func crashingPoolBesideAHealthyOne() throws {
        func pool(_ name: String) -> String {
            "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\npm = static\npm.max_children = 2\n"
        }
        let daemon = try Daemon.start(pool("healthy") + pool("broken"))
        daemon.allowLog(/\[pool broken\] child \d+,? (.* crashed|exited) on signal 11/)
        let healthy = Load(
            daemon.makeRequest("/hello.php"),
            to: try daemon.endpoint("healthy"),
            expecting: "hello, world",
            clients: 1
        )
        try healthy.waitForGood(100)
        func deaths() -> Int { daemon.log.count(of: /exited on signal 11/) }
        // What else the machine does may come between the two measurements of a round, but not in each of them.
        var rounds: [String] = []
        var isCalm = false
        while !isCalm, rounds.count < 3 {
            healthy.reset()
            try healthy.waitForGood(1000)
            let before = healthy.totals
            let known = deaths()
            let broken = Load(
                daemon.makeRequest("/die.php", query: "signal=11"),
                to: try daemon.endpoint("broken"),
                expecting: "nobody says this",
                clients: 2
            )
            try wait(for: "workers to die") { deaths() > known + 16 }
            #expect(healthy.totals.failed == 0, "\(healthy.totals)")
            healthy.reset()
            let start = ContinuousClock.now
            let first = deaths()
            try healthy.waitForGood(1000)
            // In a tenth of that a few deaths more or less are a rate of their own.
            try wait(for: "two seconds") { ContinuousClock.now - start > .seconds(2) }
            let during = healthy.totals
            let rate = Double(deaths() - first) / ((ContinuousClock.now - start) / .seconds(1))
            _ = try broken.stop()
            #expect(before.failed == 0 && during.failed == 0, "\(before) \(during)")
            #expect(rate < 40, "workers are replaced at 20 a second")
            // A worker's start takes a processor for some milliseconds: the middle of the pack is what must not move.
            isCalm =
                during.quantile(0.5) < max(before.quantile(0.5) * 4, .milliseconds(5))
                && during.quantile(0.99) < max(before.quantile(0.99) * 10, .milliseconds(100))
            rounds.append(
                [0.5, 0.99].map { "\(before.quantile($0)) before, \(during.quantile($0)) beside" }
                    .joined(separator: "; ")
            )
            try daemon.waitForWorkers(2, pool: "broken")
        }
        #expect(isCalm, "\(rounds)")
        #expect(try healthy.stop().failed == 0)
    }

    // MARK: Reloads

    @Test(.fpmdOnly("loses requests while it reloads")) func hundredReloadsInASecond() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        daemon.markDescriptors()
        let load = Load(
            daemon.makeRequest("/hello.php"),
            to: try daemon.endpoint(),
            expecting: "hello, world",
            clients: 2
        )
        for _ in 1...100 {
            daemon.signal(SIGUSR2)
            poll(nil, 0, 10)
        }
        try load.waitForGood(50)
        let totals = try load.stop()
        #expect(totals.failed == 0, "\(totals)")
        // Those that came together are one, and the last of them is not lost.
        try wait(for: "the reloads to end") { !daemon.isReloading }
        try daemon.waitForWorkers(2)
        try expectRecovery(daemon, workers: 2)
    }

    // MARK: Stopped processes

    /// SIGSTOP, and SIGCONT when `body` is over.
    private func stopping(_ process: Int32, _ body: () throws -> Void) throws {
        kill(process, SIGSTOP)
        defer { kill(process, SIGCONT) }
        try wait(for: "process \(process) to stop") { ProcessSnapshot(pid: process)?.state == "T" }
        try body()
    }

    @Test(.fpmdOnly("has no zygote")) func stoppedZygoteIsReplaced() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        daemon.allowLog(/(exited|cut off) on signal 9|zygote \d+ on signal 9/)
        daemon.allowLog(/zygote \d+ has not forked a worker within 5 s: killed/)
        let zygote = try #require(daemon.zygotes().first)
        let workers = try daemon.waitForWorkers(2)
        daemon.markDescriptors()
        try stopping(zygote.pid) {
            kill(try #require(workers.first).pid, SIGKILL)
            for _ in 1...10 { #expect(try daemon.get("/hello.php").isComplete) }
            try daemon.waitForLog(/has not forked a worker within 5 s: killed/)
            try wait(for: "a new worker of a new zygote") { daemon.workers().count == 2 }
        }
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(!daemon.zygotes().contains(zygote))
    }

    /// It is told to end, and does not hear it.
    @Test(.fpmdOnly("has no zygote")) func stoppedZygoteThatIsNotNeededHoldsUpNoRequest() throws {
        let daemon = try Daemon.startPool(
            "pm = ondemand\npm.max_children = 2\npm.process_idle_timeout = 1",
            .init(global: "process.idle_zygotes = 0")
        )
        daemon.allowLog(/zygote \d+ has not ended within 5 s: killed/)
        #expect(try daemon.get("/hello.php").isComplete)
        let zygote = try #require(daemon.zygotes().first)
        try stopping(zygote.pid) {
            try daemon.waitForWorkers(0)
            #expect(try daemon.get("/hello.php", within: .seconds(20)).isComplete)
        }
        #expect(!daemon.zygotes().contains(zygote))
    }

    @Test(.fpmdOnly("has no zygote")) func stoppedZygoteDoesNotHoldUpTheEnd() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        let zygote = try #require(daemon.zygotes().first)
        try stopping(zygote.pid) {
            let status = try daemon.stop(SIGQUIT, within: .seconds(10))
            #expect(status == .code(0))
        }
    }

    @Test func stoppedWorkersDoNotHoldUpTheEnd() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        for worker in try daemon.waitForWorkers(2) { kill(worker.pid, SIGSTOP) }
        #expect(try daemon.stop(SIGTERM, within: .seconds(10)) == .code(0))
    }

    @Test(.fpmdOnly("a stopped worker is waited for")) func stoppedWorkersDoNotHoldUpAReload() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 2",
            .init(global: "process_control_timeout = 1")
        )
        let before = try daemon.waitForWorkers(2)
        for worker in before { kill(worker.pid, SIGSTOP) }
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        for _ in 1...10 { #expect(try daemon.get("/hello.php", within: .seconds(5)).isComplete) }
        try wait(for: "the stopped workers to be killed") { Set(daemon.workers()).isDisjoint(with: before) }
    }

    /// Workers take connections themselves: who waits for the master is served later, nobody is lost.
    @Test func stoppedMasterLosesNothing() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2")
        let workers = try daemon.waitForWorkers(2)
        var silent: [FastCGIConnection] = []
        try stopping(daemon.master) {
            for _ in 1...20 { #expect(try daemon.get("/hello.php").isComplete) }
            kill(try #require(workers.first).pid, SIGKILL)
            silent = try (1...8).map { _ in try daemon.connect() }
            daemon.signal(SIGUSR2)
        }
        daemon.allowLog(/(exited|cut off) on signal 9/)
        for connection in silent {
            try connection.send(daemon.makeRequest("/hello.php"))
            #expect(try connection.finalResponse().isComplete)
        }
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        try daemon.waitForWorkers(2)
    }
}
