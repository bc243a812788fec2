import CEpoll
import Foundation
import Syscalls
import SystemPackage
import TestSupport
import Testing

/// Both ends of a blocking pipe.
func makePipe() throws -> (read: SharedDescriptor, write: SharedDescriptor) {
    var ends: [CInt] = [-1, -1]
    try check(cepoll_blocking_pipe(&ends))
    return (SharedDescriptor(adopting: ends[0]), SharedDescriptor(adopting: ends[1]))
}

/// Both ends of a non-blocking SOCK_SEQPACKET channel.
func makeChannel(bufferBytes: CInt = 0) throws -> (SharedDescriptor, SharedDescriptor) {
    var ends: [CInt] = [-1, -1]
    try check(cepoll_seqpacket_pair(&ends, bufferBytes))
    return (SharedDescriptor(adopting: ends[0]), SharedDescriptor(adopting: ends[1]))
}

/// Both ends of a stream socket.
func makeStream() throws -> (SharedDescriptor, SharedDescriptor) {
    var ends: [CInt] = [-1, -1]
    try check(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends))
    return (SharedDescriptor(adopting: ends[0]), SharedDescriptor(adopting: ends[1]))
}

/// A result that is not -1, or its errno.
@discardableResult
func check<Value: FixedWidthInteger>(_ result: Value) throws -> Value {
    if result == -1 { throw currentErrno }
    return result
}

/// The errno of a call that must fail.
func failure(of call: () -> CInt) -> Errno? {
    call() == -1 ? currentErrno : nil
}

/// What `poll(2)` says of a descriptor at once.
func events(of descriptor: CInt) -> Int {
    Int(cepoll_poll_one(descriptor, UInt32(CEPOLL_IN), 0))
}

/// Whether no writing end of the pipe is open any more, anywhere.
func isAtEnd(_ readEnd: SharedDescriptor) -> Bool {
    events(of: readEnd.rawValue) & CEPOLL_HUP != 0
}

/// Waits until that is so: a child of another test has copies of all descriptors from its fork to its exec.
func reachesEnd(_ readEnd: SharedDescriptor) -> Bool {
    Int(cepoll_poll_one(readEnd.rawValue, 0, 20_000)) & CEPOLL_HUP != 0
}

/// All bytes up to the end of the stream.
func readAll(_ descriptor: SharedDescriptor) throws -> String {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case .bytes(let count) = try buffer.withUnsafeMutableBytes({
        try read(descriptor.rawValue, into: $0)
    }) {
        all += buffer[..<count]
    }
    return String(decoding: all, as: UTF8.self)
}

/// A directory of its own for each test, removed with this object; its path is short.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/fpmd-unit-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw currentErrno }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A program started with `cepoll_spawn`; killed and reaped with this object unless it has been reaped before.
final class Spawned {
    let pid: pid_t

    /// Starts a program whose descriptors become 0, 1, 2, … there.
    init(
        _ arguments: [String],
        environment: [String] = ["PATH=/usr/bin:/bin"],
        descriptors: [CInt],
        fileLimit: UInt64 = 0,
        niceness: CInt = 0,
        uid: uid_t = 0,
        gid: gid_t = 0
    ) throws {
        let vector = arguments.map { strdup($0) } + [nil]
        let variables = environment.map { strdup($0) } + [nil]
        defer { (vector + variables).forEach { free($0) } }
        pid = try check(
            cepoll_spawn(
                arguments[0],
                vector,
                variables,
                descriptors,
                descriptors.count,
                fileLimit,
                niceness,
                uid,
                gid
            )
        )
    }

    deinit {
        // Whoever has reaped it may have given its number away; a child of ours has it still.
        var info = siginfo_t()
        guard waitid(P_PID, id_t(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 else { return }
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }

    /// Waits for its end, leaving it to be reaped.
    func awaitEnd() throws {
        var info = siginfo_t()
        _ = try retryingOnInterrupt { waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) }
    }

    /// Reaps it and no other.
    func reap() throws {
        var status: CInt = 0
        _ = try retryingOnInterrupt { waitpid(pid, &status, 0) }
    }

    /// What `/bin/sh` prints to its standard output when it runs `script`.
    static func output(
        of script: String,
        descriptors: [CInt] = [],
        fileLimit: UInt64 = 0,
        uid: uid_t = 0,
        gid: gid_t = 0
    ) throws -> String {
        let null = SharedDescriptor(adopting: try check(cepoll_open_null()))
        var pipe: (read: SharedDescriptor, write: SharedDescriptor)? = try makePipe()
        let writeEnd = pipe?.write.rawValue ?? -1
        let shell = try Spawned(
            ["/bin/sh", "-c", script],
            descriptors: [null.rawValue, writeEnd, 2] + descriptors,
            fileLimit: fileLimit,
            uid: uid,
            gid: gid
        )
        let readEnd = try #require(pipe?.read)
        pipe = nil
        let text = try readAll(readEnd)
        try shell.reap()
        return text
    }
}

/// The program of Tests/SyscallsHelper: one thread, nothing of the test runner in it.
enum Helper {
    static let path: String = {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("SyscallsHelper")
            .path
    }()

    /// The lines that it prints.
    static func run(_ arguments: [String]) throws -> [String] {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/output"
        let process = try ChildProcess(
            [path] + arguments,
            environment: ["MARKER": "kept"],
            output: output,
            errors: directory.path + "/errors"
        )
        let status = try process.wait()
        #expect(status == .code(0), "\(readText(directory.path + "/errors"))")
        return readText(output).split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(
            String.init
        )
    }
}
