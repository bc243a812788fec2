internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging
internal import Syscalls

/// Writes the trace of a slow request to the pool's `slowlog`, in php-fpm's format with one line more: the request.
///
/// Runs in a helper process: a worker can arrange for reads of its memory to take forever, and the master does not wait
/// for anybody.
struct SlowLog {
    let path: ByteString
    let pool: ByteString
    let log: PoolLog

    /// Traces one worker; `script` and `request` (method and URI) are fit to print.
    func record(_ trace: WorkerTrace, script: ByteString, request: ByteString) {
        let descriptor = cepoll_open_append(path.cString)
        guard descriptor >= 0 else {
            return log.write(
                .error,
                "unable to open slowlog (\(path)): \(describe(currentErrno))",
                worker: trace.process
            )
        }
        defer { close(descriptor) }
        let frames = trace.frames()
        var record = ByteString(
            "\n[\(log.log.timestamp())]  [pool \(pool)] pid \(trace.process)\nscript_filename = \(script)\nrequest = \(request)\n"
        ).bytes
        for line in frames.lines { record += line + [UInt8(ascii: "\n")] }
        if let code = frames.failure {
            record += Array("+++ dump failed\n".utf8)
            // Root's right to look at other users' processes, which container engines take away.
            let remedy: ByteString = code == EPERM ? "; give the service CAP_SYS_PTRACE" : ""
            log.write(
                .error,
                "failed to read the memory of child \(trace.process): \(String(cString: strerror(code))) (\(code))\(remedy)",
                worker: trace.process
            )
        }
        record.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            while write(descriptor, base, bytes.count) < 0 && errno == EINTR {}
        }
        log.write(.notice, "finished trace of \(trace.process)", worker: trace.process)
    }
}
