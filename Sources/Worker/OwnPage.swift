internal import CEpoll
internal import CPHP
internal import CScoreboard
internal import Channel
internal import Configuration
internal import FastCGI
internal import Glibc
internal import Scoreboard
internal import StatusPage
internal import Syscalls

/// A page that the worker answers itself in place of a script: ping or status.
struct OwnPage {
    /// In the order in which php-fpm sends them.
    var headers: [StaticString]
    var body: [UInt8]

    /// Sent with every such page: it is never to be cached.
    static let expires: StaticString = "Expires: Thu, 01 Jan 1970 00:00:00 GMT"
    static let cacheControl: StaticString = "Cache-Control: no-cache, no-store, must-revalidate, max-age=0"

    /// Lends the page to C.
    func withCPage<Result>(_ body: (fpmd_page) -> Result) -> Result {
        self.body.withUnsafeBufferPointer { bytes in
            withUnsafePointer(to: CChar(0)) { empty in
                func header(_ index: Int) -> UnsafePointer<CChar>? {
                    index < headers.count ? Self.text(headers[index]) : nil
                }
                let base = bytes.baseAddress.map { UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self) }
                return body(
                    fpmd_page(
                        headers: (header(0), header(1), header(2), nil), status: 0,
                        body: base ?? empty, body_length: bytes.count))
            }
        }
    }

    /// Static strings are NUL-terminated and never move.
    private static func text(_ string: StaticString) -> UnsafePointer<CChar> {
        UnsafeRawPointer(string.utf8Start).assumingMemoryBound(to: CChar.self)
    }
}

extension RequestProcessor {
    /// The page for ping or status, if the request is for one of them.
    func ownPage(_ resolution: ScriptResolver.Resolution) -> OwnPage? {
        guard resolution.hasScriptParameter, let uri = resolution.requestURI else { return nil }
        let (isPing, isStatus) = table.withBytes(of: uri) { uri in
            (settings.pingPath.matches(uri), settings.statusPath.matches(uri))
        }
        if isPing {
            return OwnPage(
                headers: ["Content-Type: text/plain", OwnPage.expires, OwnPage.cacheControl],
                body: settings.plan.pingResponse.bytes)
        }
        guard isStatus else { return nil }
        // The request itself counts, and shows itself.
        publish(resolution)
        setStage(.executing)
        return statusPage()
    }

    private func statusPage() -> OwnPage {
        let isHead = table.value(of: "REQUEST_METHOD").map { table.bytes(of: $0) == Array("HEAD".utf8) }
        if isHead == true { return OwnPage(headers: [OwnPage.expires, OwnPage.cacheControl], body: []) }
        let query = table.value(of: "QUERY_STRING").map { table.withBytes(of: $0) { StatusQuery($0) } }
        let wanted = query ?? StatusQuery()
        let page = StatusPage(pool: poolStatus(), processes: wanted.isFull ? processStatuses() : [])
        let type: StaticString =
            switch wanted.format {
            case .text: "Content-Type: text/plain"
            case .html: "Content-Type: text/html"
            case .xml: "Content-Type: text/xml"
            case .json: "Content-Type: application/json"
            case .openMetrics: "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        return OwnPage(headers: [OwnPage.expires, OwnPage.cacheControl, type], body: page.render(wanted))
    }

    private func processStatuses() -> [ProcessStatus] {
        var all: [ProcessStatus] = []
        forEachWorker { slot, stage in
            let state: ProcessStatus.State =
                switch stage {
                case .free, .accepting: .idle
                case .reading: .readingHeaders
                case .info: .gettingRequestInformation
                case .executing: .running
                case .ending, .finished: .finishing
                }
            var one = ProcessStatus(
                pid: Int32(truncatingIfNeeded: slot.pointee.pid), state: state, start: startTime(slot.pointee.start_epoch))
            one.requests = UInt64(max(0, slot.pointee.requests))
            one.requestDuration = UInt64(duration(slot, stage))
            one.requestMethod = text(cscoreboard_method(slot))
            one.requestURI = text(cscoreboard_uri(slot))
            one.queryString = text(cscoreboard_query(slot))
            one.contentLength = UInt64(max(0, slot.pointee.content_length))
            one.user = text(cscoreboard_user(slot))
            one.script = text(cscoreboard_script(slot))
            one.lastRequestCPU = cpuPercent(slot, stage)
            one.lastRequestMemory = stage == .accepting ? UInt64(max(0, slot.pointee.memory_peak)) : 0
            all.append(one)
        }
        return all
    }

    private func startTime(_ seconds: Int64) -> StartTime {
        StartTime(
            epochSeconds: seconds, text: Array(formatLocalTime("%d/%b/%Y:%H:%M:%S %z", seconds).utf8),
            secondsSince: max(0, wallClockSeconds() - seconds))
    }

    private func text(_ pointer: UnsafePointer<CChar>) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: pointer, count: strlen(pointer)))
    }

    /// The figures of the pool's page.
    func poolStatus() -> PoolStatus {
        let pool = settings.scoreboard.pool
        let counts = settings.scoreboard.counts()
        let start = cscoreboard_load(&pool.pointee.start_epoch)
        var status = PoolStatus(
            pool: settings.plan.pool.bytes, processManager: settings.plan.processManager.bytes, start: startTime(start))
        status.acceptedConnections = UInt64(max(0, settings.scoreboard.acceptedRequests()))
        status.listenQueue = UInt64(max(0, cscoreboard_load(&pool.pointee.listen_queue)))
        status.maxListenQueue = UInt64(max(0, cscoreboard_load(&pool.pointee.max_listen_queue)))
        status.listenQueueLength = UInt64(max(0, cscoreboard_load(&pool.pointee.listen_queue_len)))
        status.idleProcesses = UInt64(counts.idle)
        status.activeProcesses = UInt64(counts.active)
        let most = Int(clamping: cscoreboard_load(&pool.pointee.max_active))
        status.maxActiveProcesses = UInt64(min(settings.plan.slotCount, max(most, counts.active)))
        status.maxChildrenReached = UInt64(max(0, cscoreboard_load(&pool.pointee.max_children_reached)))
        status.slowRequests = UInt64(max(0, cscoreboard_load(&pool.pointee.slow_requests)))
        return status
    }

    /// Calls `body` with a stable copy of each slot in use and its stage.
    func forEachWorker(_ body: (UnsafeMutablePointer<cscoreboard_slot>, Scoreboard.Stage) -> Void) {
        withUnsafeTemporaryAllocation(of: cscoreboard_slot.self, capacity: 1) { copy in
            guard let copy = copy.baseAddress else { return }
            for index in 0..<settings.scoreboard.slotCount {
                guard settings.scoreboard.stage(index) != .free else { continue }
                _ = cscoreboard_copy(settings.scoreboard.slot(index), copy)
                let stage = Scoreboard.Stage(rawValue: copy.pointee.stage) ?? .executing
                if stage != .free { body(copy, stage) }
            }
        }
    }

    /// Microseconds: since the request began, or what the last one took.
    func duration(_ slot: UnsafeMutablePointer<cscoreboard_slot>, _ stage: Scoreboard.Stage) -> Int64 {
        if stage == .accepting { return max(0, slot.pointee.duration_us) }
        let begin = MonotonicTime(nanoseconds: slot.pointee.accepted_ns)
        return Int64((MonotonicTime.now - begin).nanoseconds / 1000)
    }

    /// Percent of one processor during the last request; 0 while one is served.
    func cpuPercent(_ slot: UnsafeMutablePointer<cscoreboard_slot>, _ stage: Scoreboard.Stage) -> Double {
        guard stage == .accepting, slot.pointee.duration_us > 0 else { return 0 }
        let seconds = Double(slot.pointee.cpu_ticks) / Double(cepoll_ticks_per_second())
        return seconds * 100 / (Double(slot.pointee.duration_us) / 1_000_000)
    }
}
