internal import CEpoll
internal import CPHP
internal import CScoreboard
internal import Channel
internal import Configuration
internal import FastCGI
internal import Glibc
internal import PoolPolicy
internal import Scoreboard
internal import StatusPage
internal import Syscalls

/// Runs requests: from the parameters of one to the end of its response, through PHP.
///
/// Built by the zygote before PHP starts, because PHP is given its callbacks then; a worker inherits it.
public final class RequestProcessor {
    /// How long a body that nobody reads may pause before an answer that has begun ends without it.
    private static let restMilliseconds: CInt = 20

    let settings: WorkerSettings
    let log: WorkerLog
    let stream: ResponseStream
    @exclusivity(unchecked) var reader: RequestReader
    /// The current request's parameters.
    ///
    /// Apart from the reader: PHP looks at them while it has the body read.
    @exclusivity(unchecked) var table = ParameterTable()
    private let accessLog: AccessLogWriter?
    private let pool: UnsafeMutablePointer<cscoreboard_pool>
    private let ticksPerSecond = Double(cepoll_ticks_per_second())

    // The worker's, set after the fork.
    private(set) var slot: UnsafeMutablePointer<cscoreboard_slot>
    private(set) var slotIndex = 0

    // The current request's.
    private var client: Client?
    private var keepsConnection = false
    /// CONTENT_LENGTH; negative: the body ends where its stream does.
    private var contentLength = 0
    private var bodyLeft = 0
    /// The script and all modules have ended: what is left of the body nobody reads.
    private var hasEnded = false
    private(set) var begin = MonotonicTime(nanoseconds: 0)
    private var beginEpoch: Int64 = 0
    @exclusivity(unchecked) private var meter = RequestMeter()
    private var wasLogged = false
    /// Tells the master, which sleeps, that a request has begun.
    var wakeKeeper: () -> Void = {}
    /// Takes a connection that is about to be closed out of the worker's epoll set.
    var unwatch: (Client) -> Void = { _ in }
    /// Where a request's connection is left; nil before the fork.
    var deposit: Deposit?
    /// The next one's is left there.
    var leavesDeposit = false
    /// Gives a connection to the master together with what its client has not taken of the response: the message and
    /// the file to send; false if that is not possible.
    var deliverElsewhere: (Client, Message, CInt) -> Bool = { _, _, _ in false }
    /// The last request changed this process for good: take no further one.
    private(set) var mustRetire = false

    /// Prepares everything that does not depend on the worker.
    public init(settings: WorkerSettings, log: WorkerLog) {
        self.settings = settings
        self.log = log
        reader = RequestReader(limit: settings.plan.requestBuffer)
        let page = settings.scoreboard.pool
        let quota = Int64(settings.plan.responseQuota) - Int64(settings.plan.responseBuffer)
        stream = ResponseStream(spillLimit: settings.plan.responseBuffer) {
            cscoreboard_load(&page.pointee.drain_bytes) <= quota
        }
        pool = page
        slot = settings.scoreboard.slot(0)
        accessLog = settings.accessFormat.flatMap { format in
            settings.accessLog.map { AccessLogWriter(format: format, file: $0, plan: settings.plan) }
        }
        reader.awaitBody = { [unowned self] in awaitBody(of: $0, milliseconds: $1) }
    }

    /// In the new worker: from now on this is its slot.
    func adopt(slot index: Int) {
        slotIndex = index
        slot = settings.scoreboard.slot(index)
        stream.share(slot)
        meter.start()
    }

    // MARK: - Stages

    func setStage(_ stage: Scoreboard.Stage) { cscoreboard_store_word(&slot.pointee.stage, stage.rawValue) }

    /// A request begins to arrive: the worker is no longer idle.
    func requestBegins() {
        begin = MonotonicTime.now
        beginEpoch = wallClockSeconds()
        cscoreboard_request_begins(pool)
        cscoreboard_store(&slot.pointee.requests, slot.pointee.requests + 1)
        cscoreboard_store_time(&slot.pointee.accepted_ns, begin.nanoseconds)
        cscoreboard_store(&slot.pointee.accepted_epoch, beginEpoch)
        setStage(.reading)
    }

    /// No request after all (a silent connection, a broken one).
    func requestVanished() {
        cscoreboard_store(&slot.pointee.requests, max(0, slot.pointee.requests - 1))
        cscoreboard_request_ends(pool)
        setStage(.accepting)
    }

    /// Says why the worker leaves by itself.
    func leaves(_ reason: cscoreboard_leaving) {
        cscoreboard_store_word(&slot.pointee.leaving, reason.rawValue)
    }

    // MARK: - One request

    /// What is left after a request.
    enum Outcome {
        /// The connection can take the next request.
        case kept
        /// The response is complete and so is the request: close.
        case close
        /// The response is complete, but the client is still sending.
        case linger
        /// PHP cannot go on in this process.
        case workerLost
    }

    /// Runs the request whose parameters are in `table`.
    ///
    /// - Parameters:
    ///   - head: Its id, role and whether the client wants to keep the connection.
    ///   - client: The connection it came on.
    ///   - mayKeep: Whether the worker would serve another request on this connection.
    /// - Returns: What is left to do with the connection.
    func process(_ head: RequestHead, of client: Client, mayKeep: Bool) -> Outcome {
        self.client = client
        keepsConnection = head.keepsConnection && mayKeep
        contentLength = table.contentLength
        bodyLeft = ParameterTable.bodyLimit(contentLength)
        hasEnded = false
        wasLogged = false
        stream.begin(requestID: head.requestID, client: client, keepsConnection: keepsConnection)
        tellQueueTime(client)

        fpmd_php_set_token(cepoll_script_token(begin.nanoseconds))
        let settingsNow = ScriptResolver.Settings(
            fixPathinfo: fpmd_php_fix_pathinfo(),
            discardPath: fpmd_php_discard_path(),
            documentRoot: fpmd_php_doc_root().map {
                Array(UnsafeRawBufferPointer(start: $0, count: strlen($0)))
            } ?? []
        )
        let resolution = ScriptResolver(settingsNow).resolve(
            &table,
            exists: { path in withPath(path) { fpmd_php_path_exists($0) } },
            isRegularFile: { path in withPath(path) { fpmd_php_is_regular_file($0) } }
        )
        let page = ownPage(resolution)
        publish(resolution)
        leaveDeposit(of: client)
        let outcome = run(resolution, page: page)
        if fpmd_php_is_fork() { _exit(fpmd_php_exit_status()) }
        fpmd_php_set_token(0)
        // Complete already, if PHP came to `complete()`.
        _ = stream.finish()
        deliverUnsent()
        stream.end()
        takeBackDeposit()
        if !wasLogged { finished(status: 0, memoryPeak: 0) }
        cscoreboard_request_ends(pool)
        log.requestEnded()
        self.client = nil
        if outcome == FPMD_WORKER_LOST { return .workerLost }
        mustRetire = outcome == FPMD_RETIRE
        if stream.isAborted || client.isClosed { return .close }
        let bodyIsOver = reader.skipBody(of: client)
        if reader.bodyIsBroken { return .close }
        if bodyIsOver { return keepsConnection ? .kept : hasMore(client) ? .linger : .close }
        // All that was announced has been read, and the end of the stream is to come: it is skipped before the next
        // request. Anything more breaks the protocol there.
        if keepsConnection, bodyLeft == 0, client.decoder.endRequest() { return .kept }
        return .linger
    }

    /// Should this worker be killed, the master has the connection, or will look for it in a moment.
    private func leaveDeposit(of client: Client) {
        // Of a shared one the master has a duplicate.
        if leavesDeposit, client.place == nil, let deposit,
            cscoreboard_load(&pool.pointee.active) <= deposit.most, deposit.leave(client.descriptor)
        {
            cscoreboard_store_word(&slot.pointee.deposited, 1)
        } else if cscoreboard_wakes_keeper(pool) {
            wakeKeeper()
        }
    }

    private func takeBackDeposit() {
        guard let deposit, deposit.isFull else { return }
        deposit.takeBack()
        cscoreboard_store_word(&slot.pointee.deposited, 0)
    }

    /// `FPM_QUEUE_TIME`: seconds since the request came, if it has waited in the queue, or the pool limits that.
    private func tellQueueTime(_ client: Client) {
        guard client.wasQueued || settings.plan.limitsQueue else { return }
        let arrival = client.wasQueued ? MonotonicTime(nanoseconds: client.acceptedTime) : begin
        // The connection's next request has not waited.
        client.wasQueued = false
        let text = QueueTime.text(MonotonicTime.now - arrival)
        table.set("FPM_QUEUE_TIME", to: text.span)
    }

    private func withPath(_ path: Span<UInt8>, _ probe: (UnsafePointer<CChar>) -> Bool) -> Bool {
        path.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return false }
            return probe(base.assumingMemoryBound(to: CChar.self))
        }
    }

    private func run(_ resolution: ScriptResolver.Resolution, page: OwnPage?) -> fpmd_outcome {
        table.withEntries { entries, arena in
            withUnsafeTemporaryAllocation(of: fpmd_parameter.self, capacity: entries.count) { parameters in
                for (index, entry) in entries.enumerated() {
                    parameters.initializeElement(
                        at: index,
                        to: fpmd_parameter(
                            name: arena + Int(entry.nameOffset),
                            value: arena + Int(entry.valueOffset),
                            name_length: entry.nameLength,
                            value_length: entry.valueLength
                        )
                    )
                }
                func value(_ name: StaticString) -> UnsafePointer<CChar>? {
                    table.value(of: name).map { arena + Int($0.offset) }
                }
                var request = fpmd_request()
                request.parameters = UnsafePointer(parameters.baseAddress)
                request.parameter_count = entries.count
                request.method = value("REQUEST_METHOD")
                request.query_string = value("QUERY_STRING")
                request.content_type = value("CONTENT_TYPE")
                request.cookies = value("HTTP_COOKIE")
                request.authorization = value("HTTP_AUTHORIZATION")
                request.request_uri = resolution.requestURI.map { arena + Int($0.offset) }
                request.script = resolution.scriptPath.map { arena + Int($0.offset) }
                request.content_length = Int64(contentLength)
                request.has_script_parameter = resolution.hasScriptParameter
                guard let page else { return fpmd_php_handle(&request) }
                return page.withCPage { cPage in
                    withUnsafePointer(to: cPage) { pointer in
                        request.page = pointer
                        return fpmd_php_handle(&request)
                    }
                }
            }
        }
    }

    // MARK: - Scoreboard and access log

    /// Shows the request in the scoreboard.
    func publish(_ resolution: ScriptResolver.Resolution) {
        table.withEntries { _, arena in
            func text(_ slice: Slice?) -> cscoreboard_bytes {
                guard let slice else { return cscoreboard_bytes(text: nil, length: 0) }
                return cscoreboard_bytes(text: arena + Int(slice.offset), length: Int(slice.length))
            }
            cscoreboard_publish(
                slot,
                text(table.value(of: "REQUEST_METHOD")),
                text(resolution.requestURI),
                text(resolution.hasScriptParameter ? table.value(of: "QUERY_STRING") : nil),
                text(nil),
                text(resolution.scriptPath)
            )
        }
        cscoreboard_store(&slot.pointee.content_length, Int64(max(0, contentLength)))
        setStage(.info)
    }

    /// Whether a request of the pool that has ended in the `period` before this one was long.
    func hasLongNeighbour(within period: Duration) -> Bool {
        begin - MonotonicTime(nanoseconds: cscoreboard_load_time(&pool.pointee.last_long_ns)) < period
    }

    /// The script ran: figures for the scoreboard, then the access log's line.
    private func finished(status: Int, memoryPeak: Int) {
        wasLogged = true
        let now = MonotonicTime.now
        let elapsed = now.nanoseconds(since: begin)
        meter.readCPU(now)
        let micros = Int64(elapsed / 1000)
        cscoreboard_store(&slot.pointee.duration_us, micros)
        cscoreboard_record(&slot.pointee.service, micros)
        if micros >= Brevity.long { cscoreboard_store_time(&pool.pointee.last_long_ns, now.nanoseconds) }
        let work = Int64(clamping: meter.workOfRequest(elapsed) / 1000)
        cscoreboard_store(&slot.pointee.work_squares, slot.pointee.work_squares &+ work &* work)
        cscoreboard_store(&slot.pointee.cpu_ticks, meter.cpuUsed.user + meter.cpuUsed.system)
        cscoreboard_store(&slot.pointee.memory_peak, Int64(memoryPeak))
        setStage(.finished)
    }

    // MARK: - What PHP asks (leaves: they never call PHP)

    func readBody(_ target: UnsafeMutableRawBufferPointer) -> Int {
        guard let client, bodyLeft > 0 else { return 0 }
        let window = UnsafeMutableRawBufferPointer(rebasing: target[0..<min(target.count, bodyLeft)])
        guard let count = reader.readBody(of: client, into: window) else { return -1 }
        bodyLeft = count == 0 ? 0 : bodyLeft - count
        return count
    }

    /// fastcgi_finish_request.
    func finishEarly() -> Bool {
        if stream.isFinished { return keepsConnection }
        _ = stream.finish()
        // What a script has forked leaves the rest to the worker: slot, epoll set, deposit and channel are not its own.
        if fpmd_php_is_fork() { return true }
        deliverUnsent()
        if client?.isClosed == true {
            // When the master closes it, its client is to see that, however long the script goes on.
            takeBackDeposit()
            setStage(.finished)
        } else if !keepsConnection {
            setStage(.finished)
            // What the client still sends is read later only if there is a connection left to read from.
            if let client, reader.skipBody(of: client), !hasMore(client) {
                stream.end()
                takeBackDeposit()
                unwatch(client)
                if client.place != nil || cscoreboard_is_kept_now(slot) || fpmd_php_has_forked() {
                    client.shutDown()
                }
                client.close()
            }
        }
        return true
    }

    /// Whether a client that is to be closed has sent more than its request: a TCP connection that is closed with that unread
    /// is reset, and what the client has not received of its answer is lost.
    private func hasMore(_ client: Client) -> Bool {
        guard settings.plan.isTCP else { return false }
        return !reader.buffer.isEmpty || hasUnread(client.descriptor)
    }

    /// The response is complete, and its client has not taken all of it: the master sends the rest, and goes on with the
    /// connection.
    private func deliverUnsent() {
        guard let client, !client.isClosed, stream.hasUnsent else { return }
        guard let unsent = stream.unsent else { return stream.sendUnsent() }
        var message = Message(.deliver, flags: .peerChecked, value: UInt64(unsent.offset))
        let bodyIsOver = reader.skipBody(of: client)
        if !reader.bodyIsBroken {
            if bodyIsOver || (bodyLeft == 0 && client.decoder.endRequest()) {
                if keepsConnection { message.flags.insert(.keptAlive) }
            } else {
                message.flags.insert(.lingers)
            }
        }
        if deliverElsewhere(client, message, unsent.file) {
            stream.forgetUnsent()
        } else {
            stream.sendUnsent()
        }
    }

    func executing() {
        publishUser()
        setStage(.executing)
    }

    private func publishUser() {
        guard let user = fpmd_php_auth_user() else { return }
        cscoreboard_publish_user(slot, cscoreboard_bytes(text: user, length: strlen(user)))
    }

    func executed(status: Int, memoryPeak: Int) {
        if fpmd_php_is_fork() { return }
        publishUser()
        finished(status: status, memoryPeak: memoryPeak)
        accessLog?.write(
            AccessLogWriter.Facts(
                status: status,
                memoryPeak: memoryPeak,
                begin: begin,
                beginEpoch: beginEpoch,
                cpuUser: Double(meter.cpuUsed.user) / ticksPerSecond,
                cpuSystem: Double(meter.cpuUsed.system) / ticksPerSecond,
                slot: slot,
                peer: client.flatMap { peer(of: $0) }
            ),
            table,
            log: log
        )
    }

    /// Nothing more is written, and what the script has left of the body is read.
    func ended() { hasEnded = true }

    /// That has been read.
    func complete() { _ = stream.finish() }

    /// Waits for more of the body; false when none comes.
    ///
    /// Web servers send no more of a body when the answer has ended: Apache sends its next request in place of that, and
    /// nginx resets an HTTP/2 stream. So the answer ends with the body. But nginx sends no more when the answer has
    /// begun, either, and waits for its end: then it ends where the body stops, and the connection with it.
    private func awaitBody(of client: Client, milliseconds: CInt) -> Bool {
        guard hasEnded, stream.hasBegun else {
            return stream.awaitInput(of: client, milliseconds: milliseconds)
        }
        if keepsConnection || !stream.isFinished {
            if stream.awaitInput(of: client, milliseconds: Self.restMilliseconds) { return true }
            _ = stream.finish()
        }
        guard keepsConnection else { return stream.awaitInput(of: client, milliseconds: milliseconds) }
        keepsConnection = false
        // At once: the client looks for it before it sends another request.
        if !stream.hasUnsent { _ = shutdown(client.descriptor, CInt(SHUT_WR)) }
        return false
    }

    private func peer(of client: Client) -> cepoll_address? {
        if client.peer == nil, settings.plan.isTCP {
            var address = cepoll_address()
            if cepoll_peer(client.descriptor, &address) == 0 { client.peer = address }
        }
        return client.peer
    }
}

@available(*, unavailable)
extension RequestProcessor: Sendable {}
