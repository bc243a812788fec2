import CEpoll
import CTestSupport
import Glibc
import Syscalls

/// Runs what the tests of Syscalls and CEpoll cannot run in the test program, which has threads: `fork`, `getopt`,
/// the process title. Prints what it sees, one line each.

func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = bytes.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
}

/// The thread's own number, from the kernel rather than from glibc.
func threadNumber() -> Int32? {
    var buffer = [UInt8](repeating: 0, count: 64)
    let count = buffer.withUnsafeMutableBytes { raw in
        raw.withMemoryRebound(to: CChar.self) {
            $0.baseAddress.map { readlink("/proc/thread-self", $0, 64) } ?? -1
        }
    }
    guard count > 0 else { return nil }
    return String(decoding: buffer[..<count], as: UTF8.self).split(separator: "/").last.flatMap { Int32($0) }
}

/// Starts this program again in another mode.
func startAgain(_ mode: String, output: CInt) -> pid_t {
    let vector: [UnsafeMutablePointer<CChar>?] =
        ["/proc/self/exe", mode].map { (word: String) in strdup(word) } + [nil]
    defer { vector.forEach { free($0) } }
    return cepoll_spawn("/proc/self/exe", vector, [nil], [0, output, 2], 3, 0, 0, 0, 0)
}

/// The grandparent: starts the caller of `cepoll_fork_sibling`, and reaps both.
func runGrandparent() {
    var ends: [CInt] = [-1, -1]
    guard cepoll_blocking_pipe(&ends) == 0 else { return say("no pipe") }
    let caller = startAgain("sibling-caller", output: ends[1])
    close(ends[1])
    var buffer = [UInt8](repeating: 0, count: 64)
    let count = buffer.withUnsafeMutableBytes { read(ends[0], $0.baseAddress, $0.count) }
    // parent, own number, number by glibc's getpid(), of the sibling
    let numbers = String(decoding: buffer[..<max(0, count)], as: UTF8.self).split(separator: " ").map {
        Int32($0)
    }
    guard numbers.count == 3, let sibling = numbers[1] else {
        return say("the sibling said nothing: \(errno)")
    }
    say(
        numbers[0] == getpid()
            ? "the sibling's parent is the grandparent" : "the parent is \(numbers[0] ?? 0)"
    )
    say(
        numbers[1] == numbers[2]
            ? "it has its own thread id" : "thread \(sibling), process \(numbers[2] ?? 0)"
    )
    say(isChild(ProcessID(sibling)) ? "the grandparent knows it" : "the sibling is not a child")
    var ends2: [ProcessExit] = []
    for process in [caller, sibling] {
        var info = siginfo_t()
        guard waitid(P_PID, id_t(process), &info, WEXITED | WNOWAIT) == 0 else { return say("cannot wait") }
    }
    while let end = reapChild() { ends2.append(end) }
    let raised = ProcessExit(process: ProcessID(sibling), reason: .signal(.terminate, coreDumped: false))
    say(ends2.contains(raised) ? "raise() hit the sibling itself" : "\(ends2)")
    say(
        ends2.contains(ProcessExit(process: ProcessID(caller), reason: .code(0)))
            ? "the caller went on" : "\(ends2)"
    )
    say(ends2.count == 2 ? "nobody else was left" : "\(ends2)")
}

/// The caller: its sibling tells who it is, then raises a signal that must end nobody else.
func runCaller() -> Int32 {
    let process = cepoll_fork_sibling()
    if process < 0 { return 3 }
    if process > 0 { return 0 }
    let line = Array("\(getppid()) \(threadNumber() ?? 0) \(getpid())".utf8)
    _ = line.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
    raise(SIGTERM)
    return 9
}

/// Prints what `cepoll_next_option` makes of the arguments after the first.
func runOptions() {
    let table: [(StaticString, Character, Bool)] = [
        ("php-ini", "c", true), ("no-php-ini", "n", false), ("define", "d", true), ("help", "h", false),
        ("usage", "?", false), ("version", "v", false), ("test", "t", false), ("nodaemonize", "F", false),
    ]
    let options = table.map { name, letter, hasArgument in
        cepoll_option(
            name: UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self),
            letter: CChar(letter.asciiValue ?? 0),
            has_argument: hasArgument
        )
    }
    // argv[1] takes the place of the program's name.
    let count = CommandLine.argc - 1
    let vector = CommandLine.unsafeArgv + 1
    var position: CInt = 1
    while true {
        var value: UnsafePointer<CChar>?
        let letter = cepoll_next_option(count, vector, options, options.count, &value, &position)
        if letter == CInt(CEPOLL_OPTIONS_END) { return say("end \(count - position)") }
        guard letter > 0, let scalar = Unicode.Scalar(UInt32(letter)) else { return say("bad") }
        say(value.map { "\(Character(scalar))=\(String(cString: $0))" } ?? String(Character(scalar)))
    }
}

/// Changes the title, and shows that arguments and environment are still there.
func runTitle() {
    func commandLine() -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let file = open("/proc/self/cmdline", O_RDONLY)
        let count = buffer.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
        close(file)
        return String(decoding: buffer[..<max(0, count)].prefix { $0 != 0 }, as: UTF8.self)
    }
    let argument = CommandLine.unsafeArgv[2].map { String(cString: $0) } ?? ""
    cepoll_prepare_title(CommandLine.argc, CommandLine.unsafeArgv)
    cepoll_set_title(String(repeating: "long ", count: 1000))
    let long = commandLine()
    cepoll_set_title("short title")
    say(commandLine())
    say("MARKER=" + (getenv("MARKER").map { String(cString: $0) } ?? "lost"))
    say(
        "argument="
            + (CommandLine.unsafeArgv[2].map { String(cString: $0) == argument ? argument : "changed" }
                ?? "lost")
    )
    say("cut: \(long.hasPrefix("long long") && long.utf8.count < 5000)")
    say("threads: \(cepoll_thread_count())")
}

/// Dies of the signal that the first argument names, as a worker in a request.
func die() {
    guard let number = CommandLine.arguments.dropFirst(2).first.flatMap({ CInt($0) }),
        cepoll_set_core_limit(0) == 0, cepoll_answer_on_death() == 0
    else { return say("cannot begin: \(errno)") }
    say(ctest_raise_as_kernel(number) == 0 ? "it goes on" : "cannot raise: \(errno)")
}

/// A fork of the script is told to leave, by SIGQUIT.
func quitInFork() {
    let kick = cepoll_eventfd()
    cepoll_drain_on_quit(kick)
    cepoll_unblock_all_signals()
    let process = cepoll_fork()
    if process == 0 {
        raise(SIGQUIT)
        _exit(cepoll_drain_requested() ? 0 : 1)
    }
    var status: CInt = -1
    guard waitpid(process, &status, 0) == process else { return say("cannot wait: \(errno)") }
    say(status == 0 ? "the fork is told" : "the fork has ended with \(status)")
    let isKicked = cepoll_poll_one(kick, UInt32(CEPOLL_IN), 0) != 0
    say(isKicked || cepoll_drain_requested() ? "its parent is told" : "nobody else is")
}

switch CommandLine.arguments.dropFirst().first {
case "sibling": runGrandparent()
case "sibling-caller": exit(runCaller())
case "options": runOptions()
case "title": runTitle()
case "die": die()
case "quit-of-fork": quitInFork()
default:
    say("what?")
    exit(64)
}
