import CEpoll
import Foundation
import Syscalls
import SystemPackage
import TestSupport
import Testing

/// A thread's signals, bit n-1 for signal n, from `/proc/PID/status`.
///
/// Without 32 and 33, which glibc keeps for itself.
struct SignalMasks: Equatable {
    var blocked: UInt64?
    var ignored: UInt64?
    var caught: UInt64?

    init(blocked: UInt64, ignored: UInt64, caught: UInt64) {
        (self.blocked, self.ignored, self.caught) = (blocked, ignored, caught)
    }

    init(_ status: String) {
        func mask(_ name: String) -> UInt64? {
            let line = status.split(separator: "\n").first { $0.hasPrefix(name) }
            return line.flatMap { UInt64($0.dropFirst(name.count), radix: 16) }.map { $0 & ~(3 << 31) }
        }
        blocked = mask("SigBlk:\t")
        ignored = mask("SigIgn:\t")
        caught = mask("SigCgt:\t")
    }
}

/// Starting, signalling and reaping children.
@Suite struct ProcessTests {
    /// In a process of its own: reaping takes whatever child has ended.
    @Test func endsAreDecoded() async {
        await #expect(processExitsWith: .success) {
            #expect(reapChild() == nil, "no child at all")
            let cases: [(String, ProcessExit.Reason)] = [
                ("exit 0", .code(0)), ("exit 3", .code(3)), ("exit 255", .code(255)),
                ("kill -TERM $$", .signal(.terminate, coreDumped: false)),
                ("kill -KILL $$", .signal(.kill, coreDumped: false)),
                ("ulimit -c 0; kill -SEGV $$", .signal(Signal(SIGSEGV), coreDumped: false)),
            ]
            for (script, reason) in cases {
                let child = try Spawned(["/bin/sh", "-c", script], descriptors: [0, 1, 2])
                try child.awaitEnd()
                #expect(isChild(ProcessID(child.pid)), "until it is reaped")
                #expect(
                    reapChild() == ProcessExit(process: ProcessID(child.pid), reason: reason),
                    "\(script)"
                )
                #expect(!isChild(ProcessID(child.pid)))
                #expect(reapChild() == nil)
            }
        }
    }

    /// Those after which the kernel would go on behind the instruction or the system call: who has answered for its death dies.
    @Test(arguments: [SIGTRAP, SIGSYS]) func whoHasAnsweredForItsDeathDies(_ number: Int32) throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/output"
        let process = try ChildProcess(
            [Helper.path, "die", "\(number)"],
            environment: [:],
            output: output,
            errors: directory.path + "/errors"
        )
        #expect(try process.wait() == .signal(number))
        #expect(readText(output).isEmpty)
    }

    @Test func runningChildIsNotReaped() async {
        await #expect(processExitsWith: .success) {
            let pipe = try makePipe()
            let child = try Spawned(["/bin/cat"], descriptors: [pipe.read.rawValue, 1, 2])
            let process = ProcessID(child.pid)
            #expect(reapChild() == nil)
            #expect(isChild(process))
            try sendSignal(.terminate, to: process)
            try child.awaitEnd()
            #expect(
                reapChild() == ProcessExit(process: process, reason: .signal(.terminate, coreDumped: false))
            )
            withExtendedLifetime(child) {}
            #expect(throws: Errno.noSuchProcess) { try sendSignal(.terminate, to: process) }
        }
    }

    @Test(.enabled(if: getuid() == 0, "needs root")) func gentleStart() async {
        await #expect(processExitsWith: .success) {
            func priority(_ process: pid_t) -> CInt {
                getpriority(CInt(PRIO_PROCESS.rawValue), id_t(process))
            }
            let own = priority(0)
            #expect(cepoll_may_raise_priority())
            #expect(priority(0) == own, "as it was")
            let pipe = try makePipe()
            let child = try Spawned(
                ["/bin/cat"],
                descriptors: [pipe.read.rawValue, 1, 2],
                niceness: 3
            )
            #expect(priority(child.pid) == own + 3)
            #expect(cepoll_share_priority(child.pid) == 0)
            #expect(priority(child.pid) == own)
            try sendSignal(.kill, to: ProcessID(child.pid))
            try child.awaitEnd()
            #expect(reapChild() != nil)
            withExtendedLifetime(child) {}
            // Who may not, finds out.
            #expect(setuid(65534) == 0)
            #expect(!cepoll_may_raise_priority())
        }
    }

    @Test func strangersAreNotChildren() {
        #expect(!isChild(ProcessID(1)))
        #expect(!isChild(.current))
        #expect(!isChild(.parent))
        // Numbers that mean groups to kill(2) and waitid(2).
        #expect(!isChild(ProcessID(0)))
        #expect(!isChild(ProcessID(-1)))
    }

    @Test func groupsAreNeverSignalled() async {
        await #expect(processExitsWith: .failure) {
            signal(SIGTERM, SIG_IGN)
            try sendSignal(.terminate, to: ProcessID(0))
            exit(0)
        }
        await #expect(processExitsWith: .failure) {
            signal(SIGTERM, SIG_IGN)
            try sendSignal(.terminate, to: ProcessID(-1))
            exit(0)
        }
    }

    @Test(arguments: [
        (SIGSEGV, "SIGSEGV"), (SIGABRT, "SIGABRT"), (0, "SIG 0"), (64, "SIG 64"), (99, "SIG 99"),
        (-1, "SIG -1"),
    ])
    func signalsHaveNames(number: CInt, name: String) {
        #expect(Signal(number).name == name)
    }

    @Test func namedSignals() {
        let signals: [Signal] = [.terminate, .interrupt, .quit, .kill, .hangup, .user1, .user2, .child]
        #expect(
            signals.map(\.name) == [
                "SIGTERM", "SIGINT", "SIGQUIT", "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD",
            ]
        )
    }

    @Test func processNumbers() {
        #expect(ProcessID.current.rawValue == getpid())
        #expect(ProcessID.parent.rawValue == getppid())
        #expect(ProcessID(4711).description == "4711")
    }

    // MARK: - cepoll_spawn

    @Test func descriptorsTakeTheirNumbers() throws {
        let first = try makePipe()
        let second = try makePipe()
        #expect(write(first.write.rawValue, "first\n", 6) == 6)
        #expect(write(second.write.rawValue, "second\n", 7) == 7)
        let text = try Spawned.output(
            of: "head -1 <&4; head -1 <&3; echo /proc/$$/fd/*",
            descriptors: [second.read.rawValue, first.read.rawValue, first.read.rawValue]
        )
        let lines = text.split(separator: "\n")
        #expect(lines.prefix(2) == ["first", "second"])
        let open = Set(
            try #require(lines.last).split(separator: " ").compactMap { $0.split(separator: "/").last }
                .compactMap { CInt($0) }
        )
        #expect(open.isSuperset(of: 0...5))
    }

    @Test func descriptorsOfTheCallerAreNotInherited() throws {
        let input = try makePipe()
        var pipe: (read: SharedDescriptor, write: SharedDescriptor)? = try makePipe()
        let readEnd = try #require(pipe?.read)
        let child = try Spawned(["/bin/cat"], descriptors: [input.read.rawValue, input.write.rawValue, 2])
        pipe = nil
        #expect(reachesEnd(readEnd), "the child has the writing end")
        try sendSignal(.kill, to: ProcessID(child.pid))
        try child.reap()
    }

    /// The sources are where the targets will be: nothing may be overwritten before it is copied.
    @Test func descriptorsMayChangePlaces() async {
        await #expect(processExitsWith: .success) {
            let left = try makePipe()
            let right = try makePipe()
            #expect(dup2(left.write.rawValue, 30) == 30)
            #expect(dup2(right.write.rawValue, 31) == 31)
            let child = try Spawned(
                ["/bin/sh", "-c", "echo one >/proc/self/fd/30; echo two >/proc/self/fd/31"],
                descriptors: [CInt](repeating: 0, count: 30) + [31, 30]
            )
            try child.reap()
            var buffer = [UInt8](repeating: 0, count: 4)
            #expect(read(left.read.rawValue, &buffer, 4) == 4)
            #expect(buffer == Array("two\n".utf8))
            #expect(read(right.read.rawValue, &buffer, 4) == 4)
            #expect(buffer == Array("one\n".utf8))
        }
    }

    @Test func signalsAreAsInANewProcess() async {
        await #expect(processExitsWith: .success) {
            cepoll_unblock_all_signals()
            cepoll_block_signals([SIGTERM, SIGUSR1], 2)
            signal(SIGPIPE, SIG_IGN)
            signal(SIGHUP, SIG_IGN)
            let pipe = try makePipe()
            let child = try Spawned(
                ["/bin/cat", "/proc/self/status"],
                descriptors: [0, pipe.write.rawValue, 2]
            )
            try child.reap()
            var buffer = [UInt8](repeating: 0, count: 8192)
            let count = read(pipe.read.rawValue, &buffer, 8192)
            let masks = SignalMasks(String(decoding: buffer[..<max(0, count)], as: UTF8.self))
            #expect(masks == SignalMasks(blocked: 0, ignored: 0, caught: 0), "\(masks)")
            // The caller's own are back.
            var mask = sigset_t()
            pthread_sigmask(SIG_BLOCK, nil, &mask)
            #expect(sigismember(&mask, SIGTERM) == 1)
            #expect(sigismember(&mask, SIGINT) == 0)
        }
    }

    /// Also below the numbers that descriptors pass through on their way.
    @Test(arguments: [20, 64, 200])
    func fileLimitIsTheChilds(limit: UInt64) throws {
        #expect(try Spawned.output(of: "ulimit -Sn", fileLimit: limit) == "\(limit)\n")
    }

    @Test(.needsRoot) func identityIsTakenWithoutGroups() throws {
        #expect(
            try Spawned.output(of: "id -u; id -g; id -G", uid: 65534, gid: 65533) == "65534\n65533\n65533\n"
        )
    }

    @Test func failuresAreTheCallers() throws {
        #expect(throws: Errno.noSuchFileOrDirectory) {
            _ = try Spawned(["/no/such/program"], descriptors: [0])
        }
        #expect(throws: Errno.permissionDenied) { _ = try Spawned(["/etc/passwd"], descriptors: [0]) }
        #expect(throws: Errno.badFileDescriptor) {
            _ = try Spawned(["/bin/true"], descriptors: [0, 1, 987_654])
        }
        #expect(throws: Errno.invalidArgument, "rather than leaving some out") {
            _ = try Spawned(["/bin/true"], descriptors: [CInt](repeating: 0, count: 33))
        }
    }

    // MARK: - In a program with one thread

    @Test func siblingBelongsToTheCallersParent() throws {
        let lines = try Helper.run(["sibling"])
        #expect(
            lines == [
                "the sibling's parent is the grandparent", "it has its own thread id",
                "the grandparent knows it",
                "raise() hit the sibling itself", "the caller went on", "nobody else was left",
            ]
        )
    }

    @Test func titleIsShownAndNothingIsLost() throws {
        #expect(
            try Helper.run(["title", "argument"]) == [
                "short title", "MARKER=kept", "argument=argument", "cut: true", "threads: 1",
            ]
        )
    }
}

/// Signals as events and flags.
@Suite struct SignalTests {
    @Test func signalfdReportsOneByOne() async {
        await #expect(processExitsWith: .success) {
            let signals: [CInt] = [SIGUSR1, SIGTERM]
            let descriptor = cepoll_signalfd(signals, 2)
            #expect(cepoll_signalfd_read(descriptor) == 0, "nothing is pending")
            raise(SIGUSR1)
            #expect(events(of: descriptor) == CEPOLL_IN)
            #expect(cepoll_signalfd_read(descriptor) == SIGUSR1)
            raise(SIGTERM)
            raise(SIGTERM)
            #expect(cepoll_signalfd_read(descriptor) == SIGTERM)
            #expect(cepoll_signalfd_read(descriptor) == 0, "pending signals do not count")
        }
    }

    @Test func quitBecomesAFlagAndAKick() async {
        await #expect(processExitsWith: .success) {
            cepoll_unblock_all_signals()
            let kick = cepoll_eventfd()
            cepoll_drain_on_quit(kick)
            #expect(!cepoll_drain_requested())
            #expect(events(of: kick) == 0)
            raise(SIGQUIT)
            #expect(cepoll_drain_requested())
            #expect(events(of: kick) == CEPOLL_IN)
        }
    }

    @Test func quitOfAForkKicksNobodyElse() throws {
        #expect(try Helper.run(["quit-of-fork"]) == ["the fork is told", "nobody else is"])
    }

    @Test func dispositionsGoBackToDefaults() async {
        await #expect(processExitsWith: .success) {
            cepoll_unblock_all_signals()
            let ignored: [CInt] = [SIGUSR1, SIGUSR2]
            cepoll_ignore_signals(ignored, 2)
            raise(SIGUSR1)
            cepoll_block_signals([SIGTERM], 1)
            cepoll_reset_signals()
            let masks = SignalMasks(readText("/proc/thread-self/status"))
            #expect(
                masks == SignalMasks(blocked: 0, ignored: 1 << UInt64(SIGPIPE - 1), caught: 0),
                "\(masks)"
            )
        }
        await #expect(processExitsWith: .signal(SIGUSR1)) {
            cepoll_ignore_signals([SIGUSR1], 1)
            cepoll_reset_signals()
            raise(SIGUSR1)
        }
    }

    @Test func eventfdAddNeverFails() async {
        await #expect(processExitsWith: .success) {
            let descriptor = cepoll_eventfd()
            var full = UInt64.max - 1
            #expect(write(descriptor, &full, 8) == 8)
            errno = ENOENT
            cepoll_eventfd_add(descriptor)
            #expect(errno == ENOENT, "a signal handler leaves errno alone")
            #expect(read(descriptor, &full, 8) == 8)
            #expect(full == UInt64.max - 1)
        }
    }
}
