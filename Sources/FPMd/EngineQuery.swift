internal import CEpoll
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
        var ends: [CInt] = [-1, -1]
        guard cepoll_blocking_pipe(&ends) == 0 else { return nil }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer {
            close(null)
            close(ends[0])
        }
        let user = getuid() == 0 ? getpwnam(Self.questionUser) : nil
        let process = try? spawnProgram(
            program.path,
            program.arguments("--resolve", names: [question]),
            descriptors: [null, ends[1], null],
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
        guard bytes.first == UInt8(ascii: "="), bytes.last == UInt8(ascii: "\n") else { return nil }
        return ByteString(bytes[1..<(bytes.count - 1)])
    }

    /// Becomes the engine in one of its modes; returns only if that is not possible.
    func become(_ mode: String) -> CInt {
        var words: [UnsafeMutablePointer<CChar>?] = program.arguments(mode).map { strdup($0.description) }
        words.append(nil)
        execv(program.path, words)
        let message = "cannot run \(program.path): \(String(cString: strerror(errno)))\n"
        _ = write(STDERR_FILENO, message, message.utf8.count)
        return 70
    }
}
