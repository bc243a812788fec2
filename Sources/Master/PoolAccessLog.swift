internal import AccessLog
internal import CEpoll
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
        outlet = Self.outlet(file, pool, log)
    }

    private static func outlet(_ file: SharedDescriptor, _ pool: ByteString, _ log: Log) -> LogOutlet {
        LogOutlet(file) { [weak log] count in
            log?.warning(
                "[pool \(pool)] \(count) line(s) of the access log lost: what reads or stores it did not take them",
                .pool(pool)
            )
        }
    }

    /// Writes the line about `answer`, unless the request's path is one not to be logged.
    func write(
        _ answer: StatusAnswer.OwnAnswer,
        _ waiting: WaitingRequest,
        _ table: borrowing ParameterTable
    ) {
        let request = Self.request(answer, waiting, table)
        guard let line = lines.line(for: request, table, header: { answer.header($0) }) else { return }
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
        _ answer: StatusAnswer.OwnAnswer,
        _ waiting: WaitingRequest,
        _ table: borrowing ParameterTable
    ) -> LoggedRequest {
        func text(_ name: StaticString, _ limit: Int) -> [UInt8] {
            LoggedRequest.text(table.value(of: name).map { table.bytes(of: $0) } ?? [], limit)
        }
        var request = LoggedRequest()
        request.method = text("REQUEST_METHOD", LoggedRequest.Limit.method)
        request.uri = LoggedRequest.text(answer.uri, LoggedRequest.Limit.uri)
        request.query = text("QUERY_STRING", LoggedRequest.Limit.query)
        let authorization = table.value(of: "HTTP_AUTHORIZATION").map { table.bytes(of: $0) } ?? []
        request.user = LoggedRequest.text(
            BasicAuthentication.user(of: authorization),
            LoggedRequest.Limit.user
        )
        request.contentLength = Int64(max(0, table.number(of: "CONTENT_LENGTH")))
        request.duration = MonotonicTime.now - MonotonicTime(nanoseconds: waiting.arrival)
        let now = cepoll_realtime_us()
        request.nowEpoch = now / 1_000_000
        request.beginEpoch = (now - Int64(clamping: request.duration.nanoseconds / 1000)) / 1_000_000
        var peer = cepoll_address()
        if cepoll_peer(waiting.connection.rawValue, &peer) == 0 { request.peer = addressText(peer) }
        return request
    }
}

extension StatusAnswer.OwnAnswer {
    /// Value of the first header of that name, in the letter case in which it is sent.
    func header(_ name: ByteString) -> [UInt8]? {
        let start = name.bytes + Array(": ".utf8)
        return headers.first { $0.bytes.starts(with: start) }.map { Array($0.bytes.dropFirst(start.count)) }
    }
}

@available(*, unavailable)
extension PoolAccessLog: Sendable {}
