import Foundation
import TestSupport
import Testing

/// Starts that cannot succeed end, and say why; others that are odd succeed.
@Suite(.daemons, .fpmdOnly("its workers come from the master"))
struct StartTests {
    /// The engine's program is none: nothing has been started when the service stops.
    @Test func engineThatCannotBeExecuted() throws {
        let directory = try TestContext.required().makeDirectory("bin")
        chmod(directory, 0o755)
        #expect(
            try run(["/bin/cp", Program.underTest.path, directory + "/fpmd"]).status == .code(0)
        )
        try "no program".write(toFile: directory + "/fpmd-php", atomically: false, encoding: .utf8)
        chmod(directory + "/fpmd-php", 0o755)
        var options = Daemon.Options(program: Program(path: directory + "/fpmd"))
        options.environment["FPMD_PHP_HOST"] = ""
        let daemon = try Daemon.startInVain(
            Daemon.poolSection("pm = static\npm.max_children = 2"),
            options,
            status: 70
        )
        #expect(readText(daemon.log.path).contains("ERROR: [pool www] cannot start: cannot start "))
    }

    /// What is opened first must not be taken for them.
    @Test func closedStandardStreams() throws {
        var options = Daemon.Options()
        options.mode = ["-F", "-R"]
        options.wrapper = ["sh", "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"]
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1", options)
        try LogFile(path: daemon.directory + "/error.log").wait(for: /ready to handle connections/)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// Workers that end before they are ready, and a zygote that cannot be given what they need.
    @Test(arguments: [13, 9]) func workersWithoutDescriptors(limit: Int) throws {
        let daemon = try Daemon.startInVain(
            Daemon.poolSection("pm = static\npm.max_children = 2\nrlimit_files = \(limit)"),
            status: 70
        )
        let log = readText(daemon.log.path)
        #expect(log.contains("ERROR: [pool www] cannot start: "))
        #expect(!log.contains("has not forked a worker within"))
    }

    /// One ends before the numbers that a program's descriptors are moved to, one after the first of them.
    @Test(arguments: [30, 40]) func masterWithoutDescriptors(limit: Int) throws {
        let daemon = try Daemon.startInVain(
            Daemon.poolSection("pm = static\npm.max_children = 1"),
            .init(global: "rlimit_files = \(limit)"),
            status: 70
        )
        let log = LogFile(path: daemon.log.path)
        try log.wait(
            for:
                /ERROR: \[pool www\] cannot start: .*: Too many open files \(24\); raise LimitNOFILE=, and rlimit_files where it is set/
        )
    }

    /// More than the kernel allows anybody, as in php-fpm, whose numbers have 32 bits.
    @Test(arguments: ["-1", "999999999999"]) func impossibleFileLimit(limit: String) throws {
        let daemon = try Daemon.startInVain(
            Daemon.poolSection("pm = static\npm.max_children = 1"),
            .init(global: "rlimit_files = \(limit)"),
            status: 78
        )
        #expect(readText(daemon.log.path).contains("ERROR: failed to set rlimit_files for this pool. "))
    }

    /// Why PHP does not start is no notice for `log_level`.
    @Test(arguments: ["warning", "error"]) func phpThatDoesNotStartSaysWhy(level: String) throws {
        let daemon = try Daemon.startInVain(
            Daemon.poolSection(
                "pm = static\npm.max_children = 1\nphp_admin_value[opcache.preload] = {{WWW}}/fatal.php"
            ),
            .init(global: "log_level = \(level)"),
            status: 70
        )
        let log = readText(daemon.log.path)
        #expect(log.contains("[pool www] PHP message: PHP Fatal error:  Uncaught Error: Call to undefined"))
        #expect(log.contains("[pool www] #0 {main}"))
    }

    /// A zygote names a child twice: once it has spoken, and has been reaped, its number may be anybody's.
    @Test(.enabled(if: hasFFI, "PHP has no FFI")) func zygoteThatLies() throws {
        let daemon = try Daemon.startInVain(
            Daemon.poolSection(
                "pm = static\npm.max_children = 2\nphp_admin_value[opcache.preload] = {{WWW}}/hostile-zygote.php"
            ),
            status: 70
        )
        let log = readText(daemon.log.path)
        #expect(log.contains("as a worker, which is none of its own: killed"))
        #expect(log.contains("ERROR: [pool www] cannot start: its zygotes end before a worker is ready"))
        #expect(!log.contains("is not ready after"))
    }
}
