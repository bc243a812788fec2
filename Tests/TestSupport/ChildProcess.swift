import CTestSupport
import Foundation

/// How a process ended.
package enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
    case code(Int32)
    case signal(Int32)

    /// Decodes the status word of `waitpid(2)`.
    init(waitStatus: Int32) {
        let signal = waitStatus & 0x7f
        self = signal == 0 ? .code((waitStatus >> 8) & 0xff) : .signal(signal)
    }

    package var description: String {
        switch self {
        case .code(let code): "exit status \(code)"
        case .signal(let signal): "signal \(signal)"
        }
    }
}

/// A program started by a test, with files as its standard output and error.
package final class ChildProcess {
    /// The process, also after its end: reaped only by ``wait(within:)``.
    package let pid: Int32
    /// How it ended, once ``wait(within:)`` has seen that.
    package private(set) var status: ExitStatus?

    /// Starts a program: default signal dispositions, empty mask, and the files named as its only descriptors.
    ///
    /// - Parameters:
    ///   - arguments: The whole vector; its first element is looked up in this process's `PATH`.
    ///   - environment: The whole environment of the program; it gets it sorted by name.
    ///   - output: File that standard output is appended to; created if missing.
    ///   - errors: The same for standard error; may be the same file.
    ///   - input: File that standard input comes from.
    ///   - directory: Its working directory; this process's if nil.
    /// - Throws: ``TestFailure`` when the program cannot be executed.
    package init(
        _ arguments: [String],
        environment: [String: String],
        output: String,
        errors: String,
        input: String = "/dev/null",
        directory: String? = nil
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let append = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, append, 0o644)
        posix_spawn_file_actions_addopen(&actions, 2, errors, append, 0o644)
        if let directory { ctest_spawn_chdir(&actions, directory) }
        // Whatever other tests have open at this moment is not the program's.
        ctest_spawn_close_from(&actions, 3)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let vector = arguments.map { strdup($0) } + [nil]
        let variables = environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (vector + variables).forEach { free($0) } }
        guard let program = arguments.first else { throw TestFailure("no program named") }
        var started: pid_t = 0
        let error = posix_spawnp(&started, program, &actions, &attributes, vector, variables)
        guard error == 0 else {
            throw TestFailure("cannot start \(program): \(String(cString: strerror(error)))")
        }
        pid = started
    }

    /// Takes charge of a process that has become a child of this one: the daemon that a program left.
    package init(adopting pid: Int32) {
        self.pid = pid
    }

    deinit {
        guard status == nil else { return }
        kill(pid, SIGKILL)
        var ignored: Int32 = 0
        waitpid(pid, &ignored, 0)
    }

    /// Sends a signal, unless the process has been reaped.
    package func send(_ signal: Int32) {
        if status == nil { kill(pid, signal) }
    }

    /// Tells whether the process has not ended yet; does not reap it.
    package var isRunning: Bool {
        guard status == nil, let process = ProcessSnapshot(pid: pid) else { return false }
        return process.state != "Z"
    }

    /// Waits for the end of the process and reaps it.
    ///
    /// - Throws: ``TestFailure`` when it still runs after `limit`.
    @discardableResult
    package func wait(within limit: Duration = patience) throws -> ExitStatus {
        if let status { return status }
        let descriptor = ctest_pidfd_open(pid)
        guard descriptor >= 0 else { throw TestFailure.systemCall("pidfd_open") }
        defer { close(descriptor) }
        let deadline = Deadline(in: limit)
        var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&item, 1, deadline.millisecondsLeft) < 1 {
            if deadline.hasPassed { throw TestFailure("process \(pid) still runs after \(limit)") }
        }
        var word: Int32 = 0
        guard waitpid(pid, &word, 0) == pid else { throw TestFailure.systemCall("waitpid") }
        let result = ExitStatus(waitStatus: word)
        status = result
        return result
    }
}

/// What a program that ran to its end printed.
package struct CommandResult: Sendable {
    package let status: ExitStatus
    package let output: String
    package let errors: String
}

/// Runs a program to its end.
///
/// - Parameters:
///   - arguments: The whole vector, program first.
///   - environment: The whole environment; ``baseEnvironment`` if nil.
///   - limit: How long it may take.
/// - Returns: Its exit status and output.
/// - Throws: ``TestFailure`` when it cannot start or still runs after `limit` (it is killed then).
package func run(
    _ arguments: [String],
    environment: [String: String]? = nil,
    within limit: Duration = patience
) throws -> CommandResult {
    let directory = try TestContext.required().makeDirectory("command")
    let output = directory + "/stdout"
    let errors = directory + "/stderr"
    let process = try ChildProcess(
        arguments,
        environment: environment ?? baseEnvironment,
        output: output,
        errors: errors
    )
    let status = try process.wait(within: limit)
    return CommandResult(status: status, output: readText(output), errors: readText(errors))
}

/// What every program started by a test finds in its environment.
///
/// With `FPMD_PHP_HOST=` the tests run PHP in fpmd-php rather than in the distribution's program.
package let baseEnvironment = [
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent",
    "LANG": "C",
].merging(ProcessInfo.processInfo.environment.filter { $0.key == "FPMD_PHP_HOST" }) { $1 }

/// The text of a file, bytes that are not UTF-8 replaced; empty when it cannot be read.
package func readText(_ path: String) -> String {
    guard let data = FileManager.default.contents(atPath: path) else { return "" }
    return String(decoding: data, as: UTF8.self)
}
