internal import AccessLog
internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Configuration
internal import FastCGI
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls

/// The access log's lines about requests that the master answers in place of a pool's workers.
///
/// The file is the one that workers write to. A reader that does not take lines costs lines, never the master's time:
/// they wait up to a bound, then they are lost and counted.
final class PoolAccessLog {
    private let lines: AccessLogLines
    private let log: Log
    private let pool: ByteString
    private var outlet: LogOutlet
    private lazy var pump = LogPump(
        reactor: reactor,
        waiting: { [weak self] in (self?.outlet).map { $0.isWaiting ? [$0.descriptor] : [] } ?? [] },
        flush: { [weak self] in self?.outlet.flush() ?? true }
    )
    private let reactor: Reactor
    /// Refusing must stay cheaper than serving: in a flood of requests some are only counted.
    private var refusals = Allowance(most: 1000, period: .milliseconds(1))
    private var unwritten = RepeatedEvent(saidEvery: .seconds(60))

    /// Nil for a pool whose lines have no format.
    init?(settings: PoolSettings, file: SharedDescriptor, reactor: Reactor, log: Log) {
        guard let format = settings.accessLogFormat else { return nil }
        lines = AccessLogLines(
            format: format,
            pool: settings.name,
            suppressed: settings.suppressedPaths,
            isJournal: settings.logsAccessToJournal
        )
        pool = settings.name
        self.reactor = reactor
        self.log = log
        outlet = Self.outlet(file, pool, log)
    }

    /// Writes to another file from now on.
    func use(_ file: SharedDescriptor) {
        outlet.flush()
        let successor = Self.outlet(file, pool, log)
        successor.succeed(outlet)
        outlet = successor
        if !outlet.flush() { pump.start() }
    }

    private static func outlet(_ file: SharedDescriptor, _ pool: ByteString, _ log: Log) -> LogOutlet {
        LogOutlet(file) { [weak log] count in
            log?.warning(
                "[pool \(pool)] \(count) line(s) of the access log lost: what reads or stores it did not take them",
                .pool(pool)
            )
        }
    }

    /// Writes the line about a request that is refused, unless there have been too many.
    func writeRefusal(
        _ answer: OwnAnswer,
        to target: RequestTarget,
        _ waiting: WaitingRequest,
        _ table: borrowing ParameterTable
    ) {
        let now = MonotonicTime.now
        if refusals.take(at: now) { return write(answer, to: target, waiting, table) }
        guard let count = unwritten.happened(at: now) else { return }
        log.notice(
            "[pool \(pool)] more than 1000 requests are refused each second: \(count) without a line in the access log",
            .pool(pool)
        )
    }

    /// Writes the line about `answer`, unless the request's path is one not to be logged.
    func write(
        _ answer: OwnAnswer,
        to target: RequestTarget,
        _ waiting: WaitingRequest,
        _ table: borrowing ParameterTable
    ) {
        write(Self.request(answer, target, waiting, table), table) { answer.header($0) }
    }

    /// Writes the line about a request whose worker has died in it.
    ///
    /// - Parameters:
    ///   - status: What the client was told, unless the answer had begun.
    ///   - slot: The dead worker's.
    ///   - process: Its number.
    ///   - client: The connection, if the master has it.
    func writeLost(
        status: Int,
        _ slot: UnsafeMutablePointer<cscoreboard_slot>,
        _ process: ProcessID,
        client: Connection?
    ) {
        var copy = cscoreboard_slot()
        _ = cscoreboard_copy(slot, &copy)
        var request = LoggedRequest(of: &copy)
        request.status = status
        request.process = process
        Self.setTimes(of: &request, since: cscoreboard_load_time(&slot.pointee.accepted_ns))
        request.peer = client.flatMap { Self.address(of: $0) }
        write(request, ParameterTable()) { _ in nil }
    }

    private func write(
        _ request: LoggedRequest,
        _ table: borrowing ParameterTable,
        header: (ByteString) -> [UInt8]?
    ) {
        guard let line = lines.line(for: request, table, header: header) else { return }
        if line.isTruncated {
            log.notice(
                "[pool \(pool)] the log buffer is full (\(AccessLogLines.longest)). The access log request has been truncated.",
                .pool(pool)
            )
        }
        outlet.write(line.bytes)
        if outlet.isWaiting { pump.start() }
    }

    /// What the line is about: no script, no memory of PHP, and no processor time that could be told from other work.
    private static func request(
        _ answer: OwnAnswer,
        _ target: RequestTarget,
        _ waiting: WaitingRequest,
        _ table: borrowing ParameterTable
    ) -> LoggedRequest {
        func text(_ name: StaticString, _ limit: Int) -> [UInt8] {
            LoggedRequest.text(table.value(of: name).map { table.bytes(of: $0) } ?? [], limit)
        }
        var request = LoggedRequest()
        request.status = answer.status
        if target.namesScript {
            request.method = text("REQUEST_METHOD", LoggedRequest.Limit.method)
            request.uri = LoggedRequest.text(target.uri?.bytes ?? [], LoggedRequest.Limit.uri)
            request.query = text("QUERY_STRING", LoggedRequest.Limit.query)
            let authorization = table.value(of: "HTTP_AUTHORIZATION").map { table.bytes(of: $0) } ?? []
            request.user = LoggedRequest.text(
                BasicAuthentication.user(of: authorization),
                LoggedRequest.Limit.user
            )
            request.contentLength = Int64(max(0, table.contentLength))
        }
        setTimes(of: &request, since: waiting.arrival)
        request.peer = address(of: waiting.connection)
        return request
    }

    /// From `begin`, which may be a worker's word, until now.
    private static func setTimes(of request: inout LoggedRequest, since begin: UInt64) {
        let now = MonotonicTime.now
        request.duration = now - MonotonicTime(nanoseconds: min(begin, now.nanoseconds))
        let wallClock = cepoll_realtime_us()
        request.nowEpoch = wallClock / 1_000_000
        request.beginEpoch =
            (wallClock - Int64(clamping: request.duration.nanoseconds / 1000)) / 1_000_000
    }

    private static func address(of client: Connection) -> ByteString? {
        var peer = cepoll_address()
        return cepoll_peer(client.rawValue, &peer) == 0 ? addressText(peer) : nil
    }
}

@available(*, unavailable)
extension PoolAccessLog: Sendable {}
