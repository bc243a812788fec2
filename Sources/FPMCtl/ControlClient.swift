import ArgumentParser
import CEpoll
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
        case .connect(ECONNREFUSED):
            "nobody listens on \(path): the fpmd that made it has ended without removing it"
        case .connect(EACCES), .connect(EPERM):
            "no permission for \(path): run fpmctl as root or the master's user, or join control.group"
        case .connect(EAGAIN): "\(path) takes no more connections: the master hangs, or is very busy"
        case .connect(let code): "cannot connect to \(path): \(String(cString: strerror(code)))"
        case .silent(let seconds):
            "the master has not answered within \(format(seconds)) s on \(path): it hangs, or what was asked takes longer (--timeout)"
        case .closed:
            "the master closed the connection on \(path): it has ended, or does not speak this protocol"
        case .nonsense: "what answers on \(path) is not a master of this version"
        }
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

    /// Sends a request and waits for its answer.
    ///
    /// - Parameters:
    ///   - request: The request.
    ///   - patience: Seconds.
    /// - Returns: The answer.
    /// - Throws: ``ClientFailure``
    func ask(_ request: ControlRequest, patience: Double) throws -> ControlAnswer {
        let deadline = cepoll_monotonic_ns() + UInt64(patience * 1e9)
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
        while true {
            if let end = input.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(input[..<end])
                input.removeFirst(end + 1)
                guard let answer = ControlAnswer(decoding: line) else { throw ClientFailure.nonsense }
                return answer
            }
            try receive(until: deadline, patience)
        }
    }

    private func receive(until deadline: UInt64, _ patience: Double) throws {
        guard input.count < ControlProtocol.longestAnswer else { throw ClientFailure.nonsense }
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        let count = chunk.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        if count > 0 { return input += chunk[0..<count] }
        if count < 0 && errno == EAGAIN { return try wait(POLLIN, until: deadline, patience) }
        if count < 0 && errno == EINTR { return }
        throw ClientFailure.closed
    }

    private func wait(_ events: CInt, until deadline: UInt64, _ patience: Double) throws {
        let now = cepoll_monotonic_ns()
        guard now < deadline else { throw ClientFailure.silent(seconds: patience) }
        _ = cepoll_poll_one(descriptor, UInt32(events), CInt(clamping: (deadline - now) / 1_000_000 + 1))
    }
}
