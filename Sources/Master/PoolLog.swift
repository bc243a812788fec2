internal import Configuration
internal import Logging
internal import Syscalls

/// The log for lines about one pool: they have its field, and the worker's where they are about one.
///
/// `scripts/gates/pool-lines` sees to it that no such line goes another way without them.
struct PoolLog {
    let log: Log
    let pool: ByteString

    /// Writes a line as it is; php-fpm's begin with `[pool NAME]` or not.
    func write(_ level: LogLevel, _ message: @autoclosure () -> ByteString, worker: ProcessID? = nil) {
        guard level > .debug || log.level <= .debug else { return }
        log.write(level, message(), .pool(pool, worker: worker.map { ByteString($0.description) }))
    }
}

extension Pool {
    /// Lines about this pool.
    var log: PoolLog { PoolLog(log: owner.log, pool: name) }
}
