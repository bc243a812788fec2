internal import Configuration
internal import Glibc
internal import Logging
internal import Syscalls

/// What is needed to begin anew with the program's file, which may be another one by now: the listeners go on in
/// `FPM_SOCKETS`, everything else ends before.
struct Restart {
    /// Bytes of one variable: the kernel takes 128 KiB.
    private static let longestVariable = 100_000

    let listeners: [Listener]
    let isDaemon: Bool

    /// The values of `FPM_SOCKETS`, `FPM_SOCKETS_1` and so on.
    static func variables(_ entries: [ByteString]) -> [ByteString] {
        var values: [ByteString] = []
        for entry in entries {
            if let last = values.last, last.count + entry.count < longestVariable {
                values[values.count - 1] = "\(last),\(entry)"
            } else {
                values.append(entry)
            }
        }
        return values
    }

    /// Replaces this process's program; returns only if that is not possible.
    func becomeNextImage(log: Log) {
        for listener in listeners { _ = fcntl(listener.descriptor.rawValue, F_SETFD, 0) }
        let entries = listeners.map { "\($0.name)=\($0.descriptor.rawValue)" as ByteString }
        for (index, value) in Self.variables(entries).enumerated() {
            setenv(index == 0 ? "FPM_SOCKETS" : "FPM_SOCKETS_\(index)", value.description, 1)
        }
        // These sockets are among those above.
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] { unsetenv(name) }
        var words = CommandLine.arguments
        guard let program = words.first else { return }
        // It is in the background already.
        if isDaemon { words.append("-F") }
        var vector: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        vector.append(nil)
        log.withOriginalStandardError {
            if isDaemon {
                let null = open("/dev/null", O_WRONLY)
                if null >= 0 { dup2(null, STDERR_FILENO) }
            }
            execvp(program, vector)
            let error = describe(currentErrno)
            execv("/proc/self/exe", vector)
            log.error("restart: cannot run \(program): \(error); the service ends")
        }
    }
}

@available(*, unavailable)
extension Restart: Sendable {}
