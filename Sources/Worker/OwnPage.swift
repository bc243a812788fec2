internal import CEpoll
internal import CPHP
internal import CScoreboard
internal import FastCGI
internal import Scoreboard
internal import StatusPage
internal import Syscalls

/// A page that the worker answers itself in place of a script: ping or status.
struct OwnPage {
    var contentType: StaticString
    var body: [UInt8]

    /// Sent with every such page: it is never to be cached.
    private static let expires: StaticString = "Expires: Thu, 01 Jan 1970 00:00:00 GMT"
    private static let cacheControl: StaticString = "Cache-Control: no-cache, no-store, must-revalidate, max-age=0"

    /// Lends the page to C.
    func withCPage<Result>(_ body: (fpmd_page) -> Result) -> Result {
        self.body.withUnsafeBufferPointer { bytes in
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1) { empty in
                empty.initialize(repeating: 0)
                var page = fpmd_page()
                page.headers.0 = Self.text(contentType)
                page.headers.1 = Self.text(Self.expires)
                page.headers.2 = Self.text(Self.cacheControl)
                page.headers.3 = nil
                page.status = 0
                let base = bytes.baseAddress.map { UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self) }
                page.body = base ?? UnsafePointer(empty.baseAddress!)
                page.body_length = bytes.count
                return body(page)
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
        let (isPing, isStatus) = reader.table.withBytes(of: uri) { uri in
            (settings.pingPath.matches(uri), settings.statusPath.matches(uri))
        }
        if isPing { return OwnPage(contentType: "Content-Type: text/plain", body: settings.plan.pingResponse.bytes) }
        guard isStatus else { return nil }
        // The request itself counts, and shows itself.
        publish(resolution)
        setStage(.executing)
        return statusPage()
    }

    /// The figures of the pool's page.
    func poolStatus() -> PoolStatus {
        let pool = settings.scoreboard.pool
        let counts = settings.scoreboard.counts()
        let start = cscoreboard_load(&pool.pointee.start_epoch)
        var status = PoolStatus(
            pool: Array(settings.plan.pool.bytes), processManager: settings.plan.processManager.bytes, startTime: start,
            startTimeText: Array(formatLocalTime("%d/%b/%Y:%H:%M:%S %z", start).utf8),
            startSince: max(0, wallClockSeconds() - start))
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
