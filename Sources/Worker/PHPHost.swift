public import CPHP
internal import CScoreboard
internal import Configuration
internal import Scoreboard
internal import StatusPage
internal import Syscalls

/// The callbacks that PHP is given.
///
/// Each is a leaf: it moves bytes between PHP and the request, and returns.
enum PHPHost {
    private static func processor(_ context: UnsafeMutableRawPointer?) -> RequestProcessor {
        guard let context else { preconditionFailure("our bug: a callback without context") }
        return Unmanaged<RequestProcessor>.fromOpaque(context).takeUnretainedValue()
    }

    /// The table for ``fpmd_php_start``; `processor` must outlive PHP.
    static func table(for processor: RequestProcessor) -> fpmd_host {
        fpmd_host(
            context: Unmanaged.passUnretained(processor).toOpaque(),
            output: processor.stream.output,
            drain: { context, flush in PHPHost.processor(context).stream.drain(flush: flush) },
            send_whole: { context, bytes, length in
                PHPHost.processor(context).stream.sendWhole(
                    UnsafeRawBufferPointer(start: bytes, count: length)
                ) ?? -1
            },
            write_error: { context, bytes, length in
                PHPHost.processor(context).stream.writeError(
                    UnsafeRawBufferPointer(start: bytes, count: length)
                )
            },
            log: { context, level, bytes, length in
                let text = ByteString(UnsafeRawBufferPointer(start: bytes, count: length))
                let log = PHPHost.processor(context).log
                guard let severity = LogLevel(rawValue: Int(level.rawValue)) else {
                    return log.writeUnlabelled(text)
                }
                log.write(severity, text, function: "php_log_message")
            },
            read_body: { context, target, length in
                PHPHost.processor(context).readBody(
                    UnsafeMutableRawBufferPointer(start: target, count: length)
                )
            },
            finish: { context in PHPHost.processor(context).finishEarly() },
            executing: { context in PHPHost.processor(context).executing() },
            executed: { context, status, memoryPeak in
                PHPHost.processor(context).executed(status: Int(status), memoryPeak: memoryPeak)
            },
            ended: { context in PHPHost.processor(context).ended() },
            complete: { context in PHPHost.processor(context).complete() },
            status: { context, pool, processes, capacity in
                PHPHost.processor(context).fillStatus(pool, processes, capacity)
            }
        )
    }
}

extension RequestProcessor {
    /// Calls `start` with the callbacks for PHP; the processor must outlive it.
    public func startPHP(_ start: (UnsafePointer<fpmd_host>) -> Int32) -> Int32 {
        withUnsafePointer(to: PHPHost.table(for: self)) { start($0) }
    }

    /// fpm_get_status().
    func fillStatus(
        _ pool: UnsafeMutablePointer<fpmd_pool_status>,
        _ processes: UnsafeMutablePointer<fpmd_process_status>?,
        _ capacity: Int
    ) -> Int {
        let status = poolStatus()
        status.pool.withUnsafeBytes { name in
            status.processManager.withUnsafeBytes { manager in
                fpmd_name_pool(
                    pool,
                    name.baseAddress?.assumingMemoryBound(to: CChar.self),
                    name.count,
                    manager.baseAddress?.assumingMemoryBound(to: CChar.self),
                    manager.count
                )
            }
        }
        pool.pointee.start_time = status.start.epochSeconds
        pool.pointee.start_since = status.start.secondsSince
        pool.pointee.accepted_conn = Int64(clamping: status.acceptedConnections)
        pool.pointee.listen_queue = Int64(clamping: status.listenQueue)
        pool.pointee.max_listen_queue = Int64(clamping: status.maxListenQueue)
        pool.pointee.listen_queue_len = Int64(clamping: status.listenQueueLength)
        pool.pointee.idle_processes = Int64(clamping: status.idleProcesses)
        pool.pointee.active_processes = Int64(clamping: status.activeProcesses)
        pool.pointee.total_processes = Int64(clamping: status.totalProcesses)
        pool.pointee.max_active_processes = Int64(clamping: status.maxActiveProcesses)
        pool.pointee.max_children_reached = Int64(clamping: status.maxChildrenReached)
        pool.pointee.slow_requests = Int64(clamping: status.slowRequests)
        var count = 0
        let now = wallClockSeconds()
        settings.scoreboard.forEachWorker { slot, stage in
            defer { count += 1 }
            guard let processes, count < capacity else { return }
            let one = processes + count
            one.pointee.pid = slot.pointee.pid
            one.pointee.state = UnsafeRawPointer(stage.name.utf8Start).assumingMemoryBound(to: CChar.self)
            one.pointee.start_time = slot.pointee.start_epoch
            one.pointee.start_since = max(0, now - slot.pointee.start_epoch)
            one.pointee.requests = slot.pointee.requests
            one.pointee.request_duration_us = settings.scoreboard.duration(slot, stage)
            one.pointee.content_length = slot.pointee.content_length
            one.pointee.last_request_cpu = settings.scoreboard.cpuPercent(slot, stage)
            one.pointee.last_request_memory = stage == .accepting ? slot.pointee.memory_peak : 0
            fpmd_describe_process(
                one,
                cscoreboard_method(slot),
                cscoreboard_uri(slot),
                cscoreboard_query(slot),
                cscoreboard_user(slot),
                cscoreboard_script(slot)
            )
        }
        return count
    }
}
