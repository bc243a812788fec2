internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging

/// Going to the background: one fork, and a pipe through which the child says how its start went.
enum Daemon {
    enum Role {
        /// The process that was started: it exits with this status.
        case parent(CInt)
        /// The service; the parent waits for its report.
        case child(StartReport)
    }

    /// How long the parent waits for the service.
    private static let patienceSeconds: CInt = 10

    /// Forks.
    ///
    /// The child says 1 when it runs, and 0 when it will not, after its own words; if it ends without either, the parent
    /// says so.
    static func detach(log: Log) -> Role {
        var ends: [CInt] = [-1, -1]
        guard cepoll_blocking_pipe(&ends) == 0 else {
            log.error("pipe() failed: \(String(cString: strerror(errno)))")
            return .parent(78)
        }
        let (reading, writing) = (ends[0], ends[1])
        let pid = cepoll_fork()
        if pid < 0 {
            log.error("fork() failed: \(String(cString: strerror(errno)))")
            return .parent(78)
        }
        if pid == 0 {
            close(reading)
            return .child(StartReport(to: writing))
        }
        close(writing)
        defer { close(reading) }
        var poller = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
        let ready = poll(&poller, 1, patienceSeconds * 1000)
        guard ready > 0 else {
            log.error("the master process didn't send back its status (via the pipe to the calling process)")
            return .parent(70)
        }
        var word: CInt = 0
        guard read(reading, &word, MemoryLayout<CInt>.size) == MemoryLayout<CInt>.size else {
            log.error("no data have been read from pipe")
            return .parent(70)
        }
        return .parent(word == 1 ? 0 : 70)
    }
}

/// What became of the start, told once to the process that was started, if that is another one.
final class StartReport {
    /// Where the other process waits; nil once it knows, and where there is none.
    private var pipe: CInt?

    /// A report to whoever reads the other end of `pipe`, which this owns; nil: to nobody.
    init(to pipe: CInt?) { self.pipe = pipe }

    /// The service runs: the invoker's terminal or pipe is released.
    func succeeded() {
        guard tell(1) else { return }
        let null = open("/dev/null", O_RDWR)
        guard null >= 0 else { return }
        dup2(null, STDOUT_FILENO)
        if null > STDERR_FILENO { close(null) }
    }

    /// The service does not start, and has said why; nothing if it has started.
    func failed() { _ = tell(0) }

    private func tell(_ word: CInt) -> Bool {
        guard let pipe else { return false }
        self.pipe = nil
        var word = word
        _ = write(pipe, &word, MemoryLayout<CInt>.size)
        close(pipe)
        return true
    }
}
