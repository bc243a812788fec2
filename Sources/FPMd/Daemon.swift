internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging

/// Going to the background: one fork, and a pipe through which the child says how its start went.
enum Daemon {
    enum Role {
        /// The process that was started: it exits with this status.
        case parent(CInt)
        /// The service; the closure tells the parent that it runs.
        case child(() -> Void)
    }

    /// How long the parent waits for the service.
    private static let patienceSeconds: CInt = 10

    /// Forks.
    ///
    /// The child says 1 when it runs; if it ends without a word, the parent says so.
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
            return .child {
                var one: CInt = 1
                _ = write(writing, &one, MemoryLayout<CInt>.size)
                close(writing)
                // The invoker's terminal or pipe is released.
                let null = open("/dev/null", O_RDWR)
                guard null >= 0 else { return }
                dup2(null, STDOUT_FILENO)
                if null > STDERR_FILENO { close(null) }
            }
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
