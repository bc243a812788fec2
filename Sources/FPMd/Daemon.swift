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

    /// How long the parent waits until the service runs, and then until it is ready, in seconds: a PHP that does not start
    /// is given up after as long.
    private static let patience: (running: CInt, ready: CInt) = (10, 60)

    /// Forks.
    ///
    /// The child says 2 when it runs (the configuration is read, the addresses are bound), 1 when it is ready, and 0 when it
    /// will not be, after its own words; if it ends without either, the parent says so.
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
        switch next(from: reading, within: patience.running) {
        case .silence:
            log.error("the master process didn't send back its status (via the pipe to the calling process)")
            return .parent(70)
        case .end:
            log.error("no data have been read from pipe")
            return .parent(70)
        case .word(.failed): return .parent(70)
        case .word(.ready): return .parent(0)
        case .word(.running): break
        }
        switch next(from: reading, within: patience.ready) {
        // It goes on: whether PHP starts in the end is in the log.
        case .silence, .word(.ready), .word(.running): return .parent(0)
        case .end, .word(.failed):
            Program.complain("ERROR: the service has not become ready; its error_log says why")
            return .parent(70)
        }
    }

    private enum Answer {
        case word(StartReport.Word)
        /// The other side has ended, or said what it does not say.
        case end
        /// Nothing in that time.
        case silence
    }

    private static func next(from pipe: CInt, within seconds: CInt) -> Answer {
        var poller = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
        guard poll(&poller, 1, seconds * 1000) > 0 else { return .silence }
        var word: CInt = 0
        guard read(pipe, &word, MemoryLayout<CInt>.size) == MemoryLayout<CInt>.size else { return .end }
        return StartReport.Word(rawValue: word).map { .word($0) } ?? .end
    }
}

/// What became of the start, told to the process that was started, if that is another one.
final class StartReport {
    /// What is said; the last word is `ready` or `failed`.
    enum Word: CInt { case failed = 0, ready, running }

    /// Where the other process waits; nil once it knows, and where there is none.
    private var pipe: CInt?

    /// A report to whoever reads the other end of `pipe`, which this owns; nil: to nobody.
    init(to pipe: CInt?) { self.pipe = pipe }

    /// The service runs: the invoker's terminal or pipe is released.
    func runs() {
        guard pipe != nil else { return }
        let null = open("/dev/null", O_RDWR)
        if null >= 0 {
            dup2(null, STDOUT_FILENO)
            if null > STDERR_FILENO { close(null) }
        }
        tell(.running)
    }

    /// Connections are served.
    func succeeded() { tell(.ready) }

    /// The service does not start, and has said why; nothing if it has started.
    func failed() { tell(.failed) }

    private func tell(_ word: Word) {
        guard let pipe else { return }
        var number = word.rawValue
        // Whoever waited may have gone, which raises no signal: it is ignored.
        _ = write(pipe, &number, MemoryLayout<CInt>.size)
        if word == .running { return }
        self.pipe = nil
        close(pipe)
    }
}
