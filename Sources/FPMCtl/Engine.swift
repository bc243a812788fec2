import CEpoll
import Glibc

/// The PHP engine program `fpmd-php`, asked about itself.
struct Engine {
    let path: String

    /// The engine of this installation: beside this program, or in libexec.
    static func locate() -> Engine? {
        guard let real = realpath("/proc/self/exe", nil) else { return nil }
        defer { free(real) }
        let directory = String(cString: real).split(separator: "/").dropLast().joined(separator: "/")
        let candidates = [
            "/\(directory)/fpmd-php", "/\(directory)/../libexec/fpmd/fpmd-php", "/usr/libexec/fpmd/fpmd-php",
            "/usr/local/libexec/fpmd/fpmd-php",
        ]
        return candidates.first { access($0, X_OK) == 0 }.map { Engine(path: $0) }
    }

    /// Whether and what it says of PHP; the text of its errors else.
    struct Output {
        var status: CInt
        var output: String
        var errors: String
    }

    /// The value of a php.ini setting (`i:NAME`) or constant (`c:NAME`); nil when there is none.
    func resolve(_ question: String) -> String? {
        let text = run(["--resolve", "--", question]).output
        return text.hasPrefix("=") && text.hasSuffix("\n") ? String(text.dropFirst().dropLast()) : nil
    }

    /// Runs it as nobody when this process is root: an extension's code never runs as root.
    func run(_ arguments: [String]) -> Output {
        var out: [CInt] = [-1, -1]
        var errors: [CInt] = [-1, -1]
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard null >= 0, cepoll_blocking_pipe(&out) == 0, cepoll_blocking_pipe(&errors) == 0 else {
            return Output(status: -1, output: "", errors: "no pipe")
        }
        let nobody = getuid() == 0 ? getpwnam("nobody") : nil
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        let descriptors = [null, out[1], errors[1]]
        let pid = words.withUnsafeBufferPointer { words -> pid_t in
            guard let base = words.baseAddress else { return -1 }
            let (uid, gid) = (nobody?.pointee.pw_uid ?? 0, nobody?.pointee.pw_gid ?? 0)
            return cepoll_spawn(path, base, environ, descriptors, descriptors.count, 0, 0, uid, gid)
        }
        let failure = errno
        for descriptor in descriptors { close(descriptor) }
        guard pid > 0 else {
            close(out[0])
            close(errors[0])
            return Output(status: -1, output: "", errors: String(cString: strerror(failure)))
        }
        var texts: [[UInt8]] = [[], []]
        var items = [
            pollfd(fd: out[0], events: Int16(POLLIN), revents: 0),
            pollfd(fd: errors[0], events: Int16(POLLIN), revents: 0),
        ]
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        let deadline = cepoll_monotonic_ns() + 20_000_000_000
        while items.contains(where: { $0.fd >= 0 }) {
            guard cepoll_monotonic_ns() < deadline, poll(&items, 2, 1000) >= 0 || errno == EINTR else {
                kill(pid, SIGKILL)
                break
            }
            for index in items.indices where items[index].fd >= 0 && items[index].revents != 0 {
                let count = chunk.withUnsafeMutableBytes { read(items[index].fd, $0.baseAddress, $0.count) }
                if count > 0, texts[index].count < 1 << 20 {
                    texts[index] += chunk[0..<count]
                } else if count <= 0 {
                    items[index].fd = -1
                }
            }
        }
        close(out[0])
        close(errors[0])
        var status: CInt = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        let code = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        return Output(
            status: code,
            output: String(decoding: texts[0], as: UTF8.self),
            errors: String(decoding: texts[1], as: UTF8.self)
        )
    }
}
