internal import CEpoll
internal import CScoreboard
internal import Configuration
internal import Logging
internal import Reactor
internal import Scoreboard
internal import Syscalls

/// Ends requests that take longer than `request_terminate_timeout`: SIGTERM first, SIGKILL for a worker that stays.
///
/// Looks at the pool's scoreboard at intervals of a third of the timeout, as php-fpm does, while there are workers. A
/// connection that is kept alive and waits is no request here, and is left alone. What a worker writes about itself
/// can only lead to its own end.
final class RequestTimeouts {
    /// php-fpm's shortest heartbeat.
    private static let shortestPeriod = Duration.milliseconds(130)
    /// A worker that has not ended this long after SIGTERM is killed.
    private static let patience = Duration.seconds(1)

    /// The request for which a worker was told to end.
    private struct Told {
        let acceptedTime: UInt64
        let at: MonotonicTime
    }

    private unowned let pool: Pool
    private let reactor: Reactor
    private let log: Log
    private let timeout: Duration
    private let tracksFinished: Bool
    private var heartbeat: Reactor.Deadline?
    private var told: [Int64: Told] = [:]

    /// Nil when the pool has no timeout.
    init?(pool: Pool, reactor: Reactor, log: Log) {
        guard pool.settings.requestTerminateTimeout > .zero else { return nil }
        self.pool = pool
        self.reactor = reactor
        self.log = log
        timeout = pool.settings.requestTerminateTimeout
        tracksFinished = pool.settings.requestTerminateTimeoutTracksFinished
    }

    /// There is a worker to look after.
    func workerStarted() {
        guard heartbeat == nil else { return }
        let period = max(Self.shortestPeriod, timeout / 3)
        heartbeat = reactor.after(told.isEmpty ? period : min(period, Self.patience)) { [weak self] in
            guard let self else { return }
            heartbeat = nil
            check()
            if !pool.workers.isEmpty { workerStarted() }
        }
    }

    private func check() {
        let now = MonotonicTime.now
        let present = Set(pool.workers.values.map(\.serial))
        told = told.filter { present.contains($0.key) }
        withUnsafeTemporaryAllocation(of: cscoreboard_slot.self, capacity: 1) { copy in
            guard let copy = copy.baseAddress else { return }
            for worker in pool.workers.values {
                guard let process = worker.process else { continue }
                _ = cscoreboard_copy(pool.scoreboard.slot(worker.slot), copy)
                check(worker, process, copy, now)
            }
        }
    }

    private func check(
        _ worker: WorkerRecord, _ process: ProcessID, _ slot: UnsafeMutablePointer<cscoreboard_slot>, _ now: MonotonicTime
    ) {
        let begin = MonotonicTime(nanoseconds: slot.pointee.accepted_ns)
        let elapsed = now - begin
        guard isRunning(slot), elapsed.components.seconds >= timeout.components.seconds else {
            told[worker.serial] = nil
            return
        }
        if let before = told[worker.serial], before.acceptedTime == begin.nanoseconds {
            guard now - before.at >= Self.patience else { return }
            report(process, slot, elapsed, "killing")
            try? sendSignal(.kill, to: process)
        } else {
            told[worker.serial] = Told(acceptedTime: begin.nanoseconds, at: now)
            report(process, slot, elapsed, "terminating")
            _ = cepoll_terminate_late(process.rawValue)
        }
    }

    private func isRunning(_ slot: UnsafeMutablePointer<cscoreboard_slot>) -> Bool {
        switch Scoreboard.Stage(rawValue: slot.pointee.stage) {
        case .free, .accepting: false
        case .reading, .info, .executing, nil: true
        case .ending, .finished: tracksFinished
        }
    }

    private func report(
        _ process: ProcessID, _ slot: UnsafeMutablePointer<cscoreboard_slot>, _ elapsed: Duration, _ action: ByteString
    ) {
        log.warning(
            "[pool \(pool.name)] child \(process), \(requestText(slot)) execution timed out (\(secondsText(elapsed)) sec), \(action)"
        )
    }
}

/// `script 'PATH' (request: "METHOD URI?QUERY")`, with anything that is not printable ASCII as a dot: the texts are the
/// client's and the worker's.
func requestText(_ slot: UnsafeMutablePointer<cscoreboard_slot>) -> ByteString {
    let query = printable(cscoreboard_query(slot))
    let request: ByteString =
        "\(printable(cscoreboard_method(slot))) \(printable(cscoreboard_uri(slot)))\(query.isEmpty ? "" : "?")\(query)"
    return "script '\(printable(cscoreboard_script(slot)))' (request: \"\(request)\")"
}

private func printable(_ text: UnsafePointer<CChar>) -> ByteString {
    var bytes: [UInt8] = []
    var position = 0
    while text[position] != 0 {
        let byte = UInt8(bitPattern: text[position])
        bytes.append((0x20...0x7e).contains(byte) ? byte : UInt8(ascii: "."))
        position += 1
    }
    return ByteString(bytes)
}

/// `12.345678`.
func secondsText(_ duration: Duration) -> ByteString {
    let micros = duration.nanoseconds / 1000
    let fraction = String(micros % 1_000_000)
    return ByteString("\(micros / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction)
}

@available(*, unavailable)
extension RequestTimeouts: Sendable {}
