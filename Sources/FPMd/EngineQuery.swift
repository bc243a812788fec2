internal import CEpoll
internal import Channel
internal import Configuration
internal import Glibc
internal import Master
internal import Syscalls

/// Runs the engine program for a question, or in place of this program for `-v`, `-m` and `-i`.
struct EngineQuery {
    let program: EngineProgram
    /// The unprivileged user that answers questions when this process is root.
    private static let questionUser = "nobody"

    /// The engine's answer to one `c:NAME` or `i:NAME`; nil when there is none.
    ///
    /// As nobody when this process is root, because an extension's code never runs as root.
    func resolve(_ question: ByteString) -> ByteString? {
        guard let bytes = output(program.arguments("--resolve", names: [question])) else { return nil }
        guard bytes.first == UInt8(ascii: "="), bytes.last == UInt8(ascii: "\n") else { return nil }
        return ByteString(bytes[1..<(bytes.count - 1)])
    }

    /// What PHP prints while it starts if it cannot read php.ini to its end.
    func iniError() -> ByteString? {
        let question: ByteString = "i:memory_limit"
        let bytes = output(program.arguments("--resolve", names: [question]), of: STDERR_FILENO) ?? []
        let line = bytes.split(separator: UInt8(ascii: "\n")).first(where: INIErrorLine.matches)
        return line.map { ByteString(Array($0)) }
    }

    /// What the engine program prints for these arguments, on stdout or stderr; nil when it cannot be started.
    private func output(_ words: [ByteString], of stream: CInt = STDOUT_FILENO) -> [UInt8]? {
        var ends: [CInt] = [-1, -1]
        guard cepoll_blocking_pipe(&ends) == 0 else { return nil }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer {
            close(null)
            close(ends[0])
        }
        let user = getuid() == 0 ? getpwnam(Self.questionUser) : nil
        let process = try? spawnProgram(
            program.executed,
            words,
            host: program.host,
            descriptors: [
                null, stream == STDOUT_FILENO ? ends[1] : null, stream == STDERR_FILENO ? ends[1] : null,
            ],
            userID: user?.pointee.pw_uid ?? 0,
            groupID: user?.pointee.pw_gid ?? 0
        )
        close(ends[1])
        guard let process else { return nil }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 64 << 10 {
            let count = chunk.withUnsafeMutableBytes { read(ends[0], $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += chunk[0..<count]
        }
        var status: CInt = 0
        while waitpid(process.rawValue, &status, 0) < 0 && errno == EINTR {}
        return bytes
    }

    /// Becomes the engine in one of its modes; returns only if that is not possible.
    func become(_ mode: String) -> CInt {
        let error = program.become(mode)
        let message = "cannot run \(program.executed): \(describe(error))\n"
        _ = write(STDERR_FILENO, message, message.utf8.count)
        return 70
    }

    /// Whether the engine answers from `host`: it is there, allowed to be loaded, and nothing is missing.
    func isHosted(by host: EngineHost) -> Bool {
        var hosted = program
        hosted.host = host
        return EngineQuery(program: hosted).output([
            ByteString(program.path), ByteString(EngineMode.probe.rawValue),
        ]) == Array(EngineMode.hostedAnswer.utf8)
    }
}
