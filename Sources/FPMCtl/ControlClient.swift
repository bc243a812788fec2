import ArgumentParser
import CEpoll
import Configuration
import Control
import Glibc

/// Why there is no answer.
enum ClientFailure: Error {
    /// connect(2) failed.
    case connect(CInt)
    /// The master did not answer in time.
    case silent(seconds: Double)
    /// It closed the connection.
    case closed
    /// What came is no answer.
    case nonsense

    var exitCode: ExitCode {
        switch self {
        case .connect(EACCES), .connect(EPERM): Status64.permission
        case .connect(ENAMETOOLONG): Status64.usage
        case .connect: Status64.unavailable
        case .silent: Status64.temporary
        case .closed: Status64.io
        case .nonsense: Status64.software
        }
    }

    /// The failure in a word, for JSON.
    var word: String {
        switch self {
        case .connect(EACCES), .connect(EPERM): "permission"
        case .connect: "notRunning"
        case .silent: "silent"
        case .closed: "closed"
        case .nonsense: "nonsense"
        }
    }

    /// One line for people: what, where, and what to do.
    func message(_ path: String) -> String {
        switch self {
        case .connect(ENOENT):
            "there is no control socket \(path): fpmd is not running, or has another control.socket (use --socket or FPMD_CONTROL)"
        case .connect(ENAMETOOLONG):
            "a socket's path has 1 to 107 bytes, this one has \(path.utf8.count)\(path.isEmpty ? "" : ": \(plain(path))")"
        case .connect(ECONNREFUSED) where fileKind(ByteString(path)) != S_IFSOCK:
            "\(plain(path)) is no socket: what is wanted is the master's control.socket"
        case .connect(EPROTOTYPE): "\(plain(path)) is another kind of socket, not the master's control.socket"
        case .connect(ECONNREFUSED):
            "nobody listens on \(path): the fpmd that made it has ended without removing it"
        case .connect(EACCES), .connect(EPERM):
            "no permission for \(path): run fpmctl as root or the master's user; \(permitted(path))"
        case .connect(EAGAIN): "\(path) takes no more connections: the master hangs, or is very busy"
        case .connect(let code): "cannot connect to \(path): \(String(cString: strerror(code)))"
        case .silent(let seconds):
            "the master has not answered within \(format(seconds)) s on \(path): it hangs, or what was asked takes longer (--timeout)"
        case .closed:
            "the connection on \(path) was closed without an answer: the master has ended, or this is not its control.socket (but a pool's listen?)"
        case .nonsense: "what answers on \(path) is not a master of this version"
        }
    }

    /// The same in a few words, for a line of the screen.
    var brief: String {
        switch self {
        case .connect(ENOENT): "there is no control socket: fpmd is not running"
        case .connect(ECONNREFUSED): "nobody listens on the control socket: fpmd has ended"
        case .connect(EACCES), .connect(EPERM): "no permission for the control socket"
        case .connect(EAGAIN): "the control socket takes no more connections: the master hangs"
        case .connect(let code): "cannot connect: \(String(cString: strerror(code)))"
        case .silent(let seconds): "the master has not answered for \(format(seconds)) s"
        case .closed: "the master has closed the connection"
        case .nonsense: "what answers is not a master of this version"
        }
    }

    /// Who else may look: the group that has the socket's file.
    private func permitted(_ path: String) -> String {
        var info = stat()
        guard lstat(path, &info) == 0, info.st_mode & S_IWGRP != 0 else {
            return "who else may look is for control.group to say"
        }
        let name = getgrgid(info.st_gid).map { String(cString: $0.pointee.gr_name) } ?? "\(info.st_gid)"
        return "members of the group \(plain(name)) may look (who joins it logs in anew)"
    }

    private func format(_ seconds: Double) -> String {
        seconds == seconds.rounded() ? String(Int(seconds)) : String(seconds)
    }
}

/// A connection to the master.
final class ControlClient {
    private let descriptor: CInt
    private var input: [UInt8] = []

    /// Connects.
    ///
    /// - Throws: ``ClientFailure``
    init(path: String) throws {
        descriptor = cepoll_connect_unix(path, path.utf8.count)
        guard descriptor >= 0 else { throw ClientFailure.connect(errno) }
    }

    deinit { close(descriptor) }

    /// The connection, to be polled; borrow it.
    var rawDescriptor: CInt { descriptor }

    /// Sends a request and waits for its answer.
    ///
    /// - Parameters:
    ///   - request: The request.
    ///   - patience: Seconds.
    /// - Returns: The answer.
    /// - Throws: ``ClientFailure``
    func ask(_ request: ControlRequest, patience: Double) throws -> ControlAnswer {
        let deadline = cepoll_monotonic_ns() + UInt64(patience * 1e9)
        try transmit(request, until: deadline, patience)
        while true {
            if let answer = try nextAnswer() { return answer }
            if try !receive() { try wait(POLLIN, until: deadline, patience) }
        }
    }

    /// Sends a request whose answer is taken with ``answer()``.
    ///
    /// - Throws: ``ClientFailure``; waits for a moment at most.
    func begin(_ request: ControlRequest) throws {
        try transmit(request, until: cepoll_monotonic_ns() + 100_000_000, 0.1)
    }

    /// What has come so far; nil if that is no whole answer.
    ///
    /// Never waits.
    ///
    /// - Throws: ``ClientFailure``
    func answer() throws -> ControlAnswer? {
        while true {
            if let answer = try nextAnswer() { return answer }
            if try !receive() { return nil }
        }
    }

    private func transmit(_ request: ControlRequest, until deadline: UInt64, _ patience: Double) throws {
        let bytes = request.encoded
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress.map { $0 + sent }, bytes.count - sent, CInt(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                try wait(POLLOUT, until: deadline, patience)
            } else if errno != EINTR {
                // It may have said why before it closed.
                break
            }
        }
    }

    private func nextAnswer() throws -> ControlAnswer? {
        guard let end = input.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let line = Array(input[..<end])
        input.removeFirst(end + 1)
        guard let answer = ControlAnswer(decoding: line) else { throw ClientFailure.nonsense }
        return answer
    }

    /// Takes what has come; false if there is nothing.
    private func receive() throws -> Bool {
        guard input.count < ControlProtocol.longestAnswer else { throw ClientFailure.nonsense }
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        let count = chunk.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        if count > 0 {
            input += chunk[0..<count]
            return true
        }
        if count < 0 && errno == EAGAIN { return false }
        if count < 0 && errno == EINTR { return true }
        throw ClientFailure.closed
    }

    private func wait(_ events: CInt, until deadline: UInt64, _ patience: Double) throws {
        let now = cepoll_monotonic_ns()
        guard now < deadline else { throw ClientFailure.silent(seconds: patience) }
        _ = cepoll_poll_one(descriptor, UInt32(events), CInt(clamping: (deadline - now) / 1_000_000 + 1))
    }
}
