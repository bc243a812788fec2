import Foundation
import TestSupport
import Testing

/// Too few processes, memory, rights, too full a disk, a clock that jumps: the service goes on with what there is,
/// and is whole again when the shortage is over.
@Suite(.daemons, .serialized, .needsRoot)
struct ShortageTests {
    /// Nobody else's processes count against this user's limit.
    private static let userID = 61_234

    private static func lonelyPool(_ lines: String) -> String {
        "[www]\nuser = \(userID)\ngroup = \(userID)\nlisten = {{SOCKET}}\nlisten.mode = 0666\n\(lines)\n"
    }

    // MARK: Processes

    @Test(.fpmdOnly("forks as root, whom no limit of processes concerns"))
    func fewerProcessesThanWorkers() throws {
        var options = Daemon.Options()
        options.wrapper = ["prlimit", "--nproc=4:100"]
        let daemon = try Daemon.start(Self.lonelyPool("pm = static\npm.max_children = 8"), options)
        daemon.allowLog(/fork\(\) failed/)
        // The zygote counts as well.
        try daemon.waitForWorkers(3)
        for _ in 1...20 { #expect(try daemon.get("/hello.php").isComplete) }
        let complaints = daemon.log.count(of: /fork\(\) failed/)
        try limit(try #require(daemon.zygotes().first).pid, "--nproc=100:")
        try daemon.waitForWorkers(8)
        #expect(complaints < 10, "\(complaints) lines about it")
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// Workers that cannot be had take the place of none that serve.
    @Test func reloadWithoutProcesses() throws {
        let daemon = try Daemon.start(Self.lonelyPool("pm = static\npm.max_children = 2"))
        daemon.allowLog(/fork\(\) failed|\[pool www\] cannot start|reload refused/)
        let workers = try daemon.waitForWorkers(2).map(\.pid)
        for (limit, isRefused) in [("--nproc=1:", true), ("--nproc=100:", false)] {
            let result = try run(["prlimit", "--pid", "\(daemon.master)", limit])
            try #require(result.status == .code(0), "\(result.errors)")
            daemon.signal(SIGUSR2)
            try daemon.waitForLog(isRefused ? /ERROR: reload refused/ : /ready to handle connections$/)
            #expect(try daemon.get("/hello.php").isComplete)
            if isRefused { #expect(try daemon.waitForWorkers(2).map(\.pid) == workers) }
        }
        try daemon.waitForWorkers(2)
    }

    @Test(.fpmdOnly("forks as root, whom no limit of processes concerns")) func startWithoutProcesses() throws
    {
        var options = Daemon.Options()
        options.wrapper = ["prlimit", "--nproc=1:1"]
        let daemon = try Daemon.startInVain(
            Self.lonelyPool("pm = static\npm.max_children = 2"),
            options,
            status: 70
        )
        let log = readText(daemon.log.path)
        #expect(log.contains("ERROR: [pool www] cannot start: none of its first workers can be forked"))
    }

    /// The container's limit: it counts processes of every user.
    @Test(
        .fpmdOnly("has no zygote"),
        .enabled(if: ProcessesGroup.parent != nil, "no writable cgroup with the pids controller")
    )
    func fewerProcessesThanTheControlGroupAllows() throws {
        func pool(_ name: String, _ lines: String) -> String {
            "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\n\(lines)\n"
        }
        let daemon = try Daemon.start(
            pool("narrow", "pm = static\npm.max_children = 6")
                + pool("other", "pm = static\npm.max_children = 1")
        )
        daemon.allowLog(/\[pool narrow\] (fork\(\) failed|child \d+.* (exited|cut off) on signal 9)/)
        daemon.allowLog(/\[pool narrow\] \d workers in a row died before their first request/)
        daemon.markDescriptors()
        try daemon.waitForWorkers(7)
        let group = try ProcessesGroup()
        defer { group.remove() }
        let zygote = try #require(
            ProcessSnapshot.descendants(of: daemon.master).first {
                $0.title.contains("zygote of pool narrow")
            }
        )
        try group.setMost("3")
        try group.add(zygote.pid)
        let narrow = daemon.workers().filter { $0.title.hasSuffix("pool narrow") }
        #expect(narrow.count == 6)
        for worker in narrow { kill(worker.pid, SIGKILL) }
        try daemon.waitForLog(
            /ERROR: \[pool narrow\] fork\(\) failed: Resource temporarily unavailable \(11\)(, \d+ times)?; raise LimitNPROC= or TasksMax=$/
        )
        // What could be forked serves; nobody else is concerned.
        func waitForNarrow(_ count: Int) throws {
            try wait(for: "\(count) workers") {
                daemon.workers().count { $0.title.hasSuffix("pool narrow") && !narrow.contains($0) } == count
            }
        }
        try waitForNarrow(2)
        let before = try #require(ProcessSnapshot(pid: daemon.master)?.processorTime)
        let begin = ContinuousClock.now
        while ContinuousClock.now - begin < .seconds(3) {
            for name in ["narrow", "other"] {
                #expect(
                    try daemon.begin("/slow.php", query: "seconds=0", from: name).finalResponse().isComplete
                )
            }
            poll(nil, 0, 20)
        }
        let used = try #require(ProcessSnapshot(pid: daemon.master)?.processorTime) - before
        #expect(used < .seconds(1), "the master was busy for \(used) of 3 s")
        let complaints = daemon.log.count(of: /fork\(\) failed/)
        #expect(complaints < 10, "\(complaints) lines about it")
        #expect(group.count <= 3)
        try group.setMost("max")
        try waitForNarrow(6)
        #expect(try daemon.begin("/hello.php", from: "narrow").finalResponse().isComplete)
        #expect(daemon.workers().count == 7)
    }

    // MARK: Memory

    /// The kernel has no memory for a fork, for some time.
    @Test(.fpmdOnly("has no zygote")) func noMemoryForAFork() throws {
        let daemon = try Daemon.startPool("pm = ondemand\npm.max_children = 4")
        daemon.allowLog(/fork\(\) failed/)
        try daemon.rewriteConfiguration(Daemon.poolSection("pm = static\npm.max_children = 1"))
        #expect(try daemon.get("/hello.php").isComplete)
        let zygote = try #require(daemon.zygotes().first)
        let worker = try #require(daemon.workers().first)
        let trace = try daemon.inject("clone,clone3,fork:error=ENOMEM:when=1..3", into: zygote)
        defer { trace.send(SIGTERM) }
        daemon.allowLog(/(exited|cut off) on signal 9/)
        kill(worker.pid, SIGKILL)
        let connections = try (1...3).map { _ in try daemon.begin("/hello.php") }
        try daemon.waitForLog(/ERROR: \[pool www\] fork\(\) failed: .*memory/)
        for connection in connections { #expect(try connection.finalResponse().text == "hello, world\n") }
    }

    /// A script gets no memory from the kernel: an error page, and none after that.
    @Test(.fpmdOnly("has no zygote")) func noMemoryForScripts() throws {
        let daemon = try Daemon.startPool(Self.shortLived)
        // PHP exits when it has no memory for its own message.
        daemon.allowLog(
            /exited with code 1|script '.*' \(request: "GET \/memory.php"\) exits|child \d+ is at/
        )
        let zygote = try settledZygote(daemon)
        try limit(zygote.pid, "--as=\(try addressSpace(zygote) + 40 << 20):")
        for _ in 1...5 {
            let response = try daemon.begin("/memory.php").finalResponse()
            #expect(response.status == 500)
            #expect(response.isComplete)
        }
        try limit(zygote.pid, "--as=unlimited:")
        try daemon.waitForWorkers(0)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
    }

    /// Not even a worker gets any: who has asked meanwhile is served when there is memory again.
    @Test(.fpmdOnly("has no zygote")) func noMemoryForWorkers() throws {
        let daemon = try Daemon.startPool(Self.shortLived)
        daemon.allowLog(/exited (on signal|with code)|workers in a row died before their first request/)
        let zygote = try settledZygote(daemon)
        try limit(zygote.pid, "--as=\(try addressSpace(zygote) + 64 << 10):")
        let connection = try daemon.begin("/hello.php")
        try daemon.waitForLog(/5 workers in a row died before their first request; next start in 200 ms/)
        try limit(zygote.pid, "--as=unlimited:")
        #expect(try connection.finalResponse().text == "hello, world\n")
    }

    private static let shortLived = "pm = ondemand\npm.max_children = 2\npm.process_idle_timeout = 1s"

    /// A zygote that has started PHP and has no worker.
    private func settledZygote(_ daemon: Daemon) throws -> ProcessSnapshot {
        #expect(try daemon.get("/hello.php").isComplete)
        try daemon.waitForWorkers(0)
        return try #require(daemon.zygotes().first)
    }

    private func addressSpace(_ process: ProcessSnapshot) throws -> Int {
        let kibibytes = process.statusField("VmSize")?.split(separator: " ").first.flatMap { Int($0) }
        return try #require(kibibytes) << 10
    }

    // MARK: Disk

    /// The log has reached the limit of a file's size.
    @Test(.fpmdOnly("ends with SIGXFSZ")) func fullLog() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1\ncatch_workers_output = yes")
        daemon.allowLog(/said into stderr|log line\(s\) lost/)
        #expect(try daemon.get("/log.php").isComplete)
        for limit in ["--fsize=1:", "--fsize=unlimited:"] {
            let result = try run(["prlimit", "--pid", "\(daemon.master)", limit])
            try #require(result.status == .code(0), "\(result.errors)")
            for _ in 1...5 { #expect(try daemon.get("/log.php").isComplete) }
        }
        daemon.signal(SIGUSR1)
        try daemon.waitForLog(/error log file re-opened/)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// The file system of error log, access log and slow log is full.
    @Test(.fpmdOnly("loses lines without a word")) func fullDisk() throws {
        let directory = try TestContext.required().makeDirectory("full")
        var options = Daemon.Options(global: "error_log = \(directory)/error.log\nlog_level = debug")
        options.mode = ["-F", "-R"]
        options.waitsUntilReady = false
        // In a mount namespace of its own, which ends with the daemon. Larger than all that may wait for room (a mebibyte
        // for each log), so that it is not full again at once.
        options.wrapper = [
            "unshare", "--mount", "sh", "-c",
            "mount -t tmpfs -o size=4m,mode=755 tmpfs \(directory) && exec \"$@\"", "sh",
        ]
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 2\ncatch_workers_output = yes\naccess.log = \(directory)/access.log",
            options
        )
        let inside = "/proc/\(daemon.master)/root\(directory)"
        let log = LogFile(path: inside + "/error.log")
        try log.waitAnywhere(for: /ready to handle connections/)
        #expect(try daemon.get("/log.php").isComplete)
        // Fills what is left.
        let filler = open(inside + "/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        #expect(filler >= 0)
        let block = [UInt8](repeating: 0x20, count: 4096)
        while write(filler, block, block.count) > 0 {}
        #expect(errno == ENOSPC)
        close(filler)
        let load = Load(
            daemon.makeRequest("/log.php"),
            to: try daemon.endpoint(),
            expecting: "logged",
            clients: 4
        )
        try load.waitForGood(500)
        #expect(try load.stop().failed == 0)
        daemon.signal(SIGUSR1)
        #expect(try daemon.get("/log.php").isComplete)
        #expect(unlink(inside + "/filler") == 0)
        let access = LogFile(path: inside + "/access.log")
        let count = access.lines.count
        for _ in 1...5 { #expect(try daemon.get("/hello.php").isComplete) }
        try wait(for: "lines of the access log") { access.lines.count >= count + 5 }
        daemon.signal(SIGUSR1)
        try log.waitAnywhere(for: /error log file re-opened/)
        // USR1 loses no count, and the count is not part of the line that was cut.
        func notices() -> [(line: String, before: Substring, count: Int)] {
            log.lines.compactMap { line in
                line.firstMatch(of: /^(.*)WARNING: (\d+) log line\(s\) lost/).map {
                    (line, $0.1, Int($0.2) ?? 0)
                }
            }
        }
        // How many of those of 500 requests the master has read by then, nobody knows; after USR1 there were a few.
        try wait(for: "the number of lost lines") { notices().map(\.count).reduce(0, +) >= 100 }
        for notice in notices() { #expect(notice.before.count { $0 == "[" } == 1, "\(notice.line)") }
    }

    // MARK: Clock

    /// Adds the number in a file to the wall clock of the processes it is loaded into.
    private static let clockLibrary = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <fcntl.h>
        #include <stdlib.h>
        #include <sys/mman.h>
        #include <sys/time.h>
        #include <time.h>
        static volatile long *offset;
        static int (*real)(clockid_t, struct timespec *);
        __attribute__((constructor)) static void begin(void) {
            real = dlsym(RTLD_NEXT, "clock_gettime");
            const char *path = getenv("TEST_CLOCK");
            int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
            void *page = file < 0 ? MAP_FAILED : mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
            offset = page == MAP_FAILED ? 0 : page;
        }
        int clock_gettime(clockid_t clock, struct timespec *time) {
            int result = real(clock, time);
            if (!result && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += *offset;
            return result;
        }
        int gettimeofday(struct timeval *restrict now, void *restrict zone) {
            struct timespec time;
            (void)zone;
            clock_gettime(CLOCK_REALTIME, &time);
            now->tv_sec = time.tv_sec;
            now->tv_usec = time.tv_nsec / 1000;
            return 0;
        }
        time_t time(time_t *result) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            if (result) *result = now.tv_sec;
            return now.tv_sec;
        }
        """

    @Test func clockJumps() throws {
        let directory = try TestContext.required().makeDirectory("clock")
        let clock = directory + "/offset"
        try Self.clockLibrary.write(toFile: directory + "/clock.c", atomically: false, encoding: .utf8)
        let library = directory + "/clock.so"
        let built = try run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, directory + "/clock.c"])
        #expect(built.status == .code(0), "\(built.errors)")
        try Data(count: 4096).write(to: URL(fileURLWithPath: clock))
        func jump(_ seconds: Int) throws {
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: clock))
            try file.write(contentsOf: withUnsafeBytes(of: seconds) { Data($0) })
            try file.close()
        }

        let daemon = try Daemon.startPool(
            """
            pm = dynamic
            pm.max_children = 4
            pm.start_servers = 1
            pm.min_spare_servers = 1
            pm.max_spare_servers = 2
            pm.status_path = /status
            request_terminate_timeout = 60s
            request_slowlog_timeout = 30s
            slowlog = {{DIR}}/slow.log
            access.log = {{DIR}}/access.log
            access.format = "%d %t"
            """,
            .init(environment: ["LD_PRELOAD": library, "TEST_CLOCK": clock])
        )
        let start = try #require(Int(try daemon.get("/clock.php").text))
        let held = try daemon.startHolding("1")
        for seconds in [86_400, -86_400, 400_000_000, -400_000_000, 0] {
            try jump(seconds)
            // The jump is seen at all.
            let now = try #require(Int(try daemon.get("/clock.php").text))
            #expect(abs(now - start - seconds) < 600)
            for _ in 1...5 { #expect(try daemon.get("/hello.php").isComplete) }
            let status = try daemon.get("/status", query: "json&full").json
            let processes = try #require(status["processes"] as? [[String: Any]])
            #expect(processes.count >= 2)
            for name in ["start since"] {
                #expect(status[name] as? Int ?? -1 >= 0, "\(name) after \(seconds)")
            }
            for process in processes {
                for name in ["start since", "request duration"] {
                    #expect(process[name] as? Int ?? -1 >= 0, "\(name) of \(process) after \(seconds)")
                }
            }
        }
        #expect(!held.isReadable(within: .milliseconds(50)))
        try daemon.releaseHeld()
        #expect(try held.finalResponse().text == "held 1")
        for line in LogFile(path: daemon.directory + "/access.log").lines {
            #expect(
                Double(line.split(separator: " ").first ?? "").map { $0 >= 0 && $0 < 60 } == true,
                "\(line)"
            )
        }
        #expect(
            !FileManager.default.fileExists(atPath: daemon.directory + "/slow.log")
                || readText(daemon.directory + "/slow.log").isEmpty
        )
    }

    // MARK: Rights

    /// Without CAP_KILL, which containers may lack, nobody can be signalled: who is to leave is asked to.
    @Test(.fpmdOnly("waits for ever"), arguments: [SIGTERM, SIGQUIT])
    func withoutTheRightToSignal(stop: CInt) throws {
        var options = Daemon.Options()
        options.wrapper = ["setpriv", "--bounding-set=-kill", "--inh-caps=-all"]
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2", options)
        daemon.allowLog(/failed to send/)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: Reloading in progress \.\.\.$/)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        try wait(for: "the former zygote and workers to leave") {
            daemon.workers().count == 2 && daemon.zygotes().count == 1
        }
        let said = daemon.log.lines.filter { $0.contains("failed to send") }
        #expect(said.count == 1)
        #expect(
            said.first?.contains(
                /ERROR: failed to send SIGTERM to child \d+: Operation not permitted \(1\); give the service CAP_KILL$/
            ) == true
        )
        #expect(try daemon.get("/hello.php").isComplete)
        try daemon.stop(stop)
    }
}
