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

    /// Workers that end before they are ready.
    @Test func workersWithoutDescriptors() throws {
        let daemon = try Daemon.startInVain(
            Daemon.poolSection("pm = static\npm.max_children = 2\nrlimit_files = 13"),
            status: 70
        )
        #expect(readText(daemon.log.path).contains("ERROR: [pool www] cannot start: "))
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
