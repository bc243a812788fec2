internal import CEpoll
internal import CScoreboard
internal import Configuration
internal import HTTP
internal import Logging
internal import Reactor
internal import Scoreboard
internal import StatusPage
internal import Syscalls

/// The figures of the service and its pools, and what the metrics listener answers.
extension Master {
    // MARK: - Figures

    /// All that is known of a pool in figures, former generations included where figures add up.
    ///
    /// Status pages, metrics and control answers agree because all of them come from here or from what this uses.
    ///
    /// - Parameters:
    ///   - pool: One that serves, or the last that drains.
    ///   - withWorkers: Whether the workers are wanted too.
    /// - Returns: What its pages say now, and the totals.
    func figures(of pool: Pool, withWorkers: Bool) -> PoolFigures {
        figures(
            of: pool,
            withWorkers: withWorkers,
            leaving: drainingPools.values.filter { $0.name == pool.name }
        )
    }

    /// The same; `leaving` are the pools of that name that drain.
    func figures(of pool: Pool, withWorkers: Bool, leaving: [Pool]) -> PoolFigures {
        if pool.hasProcesses { pool.refreshQueueFigures() }
        var figures = pool.figures(withWorkers: withWorkers)
        for other in leaving where other !== pool {
            figures.totals.add(other.scoreboard.totals())
            figures.hasServed = true
        }
        if let former = formerTotals[pool.name] {
            figures.totals.add(former)
            figures.hasServed = true
        }
        return figures
    }

    /// The service's own figures.
    func serviceFigures() -> ServiceFigures {
        var figures = ServiceFigures(version: Version.text.bytes)
        figures.isReady = isServing
        figures.reloadsDone = UInt64(reloadsDone)
        figures.reloadsRefused = UInt64(reloadsRefused)
        figures.lastReloadWorked = lastReloadWorked
        figures.process = .current(fileLimit: fileLimit)
        return figures
    }

    /// Connections are served, by the generation in force at least.
    var isServing: Bool {
        switch state {
        case .serving, .reloading: true
        case .starting, .stopping: false
        }
    }

    /// Keeps what adds up of a pool whose last process has ended; it is not asked again.
    func keepTotals(of pool: Pool) {
        guard pool.scoreboard.memory != nil, poolIndices[pool.name] != nil else { return }
        formerTotals[pool.name, default: PoolTotals()].add(pool.scoreboard.totals())
    }

    /// Forgets pools that the configuration does not have any more.
    func forgetFormerTotals() {
        formerTotals = formerTotals.filter { poolIndices[$0.key] != nil }
    }

    // MARK: - The listener

    /// The listener that `configuration` asks for: the present one if it has the address, else a new one; nil for none.
    ///
    /// - Throws: ``Listener/Unavailable`` after logging why it cannot be bound.
    func makeMetricsListener(
        _ global: GlobalSettings,
        inherited: [Listener] = []
    ) throws(Listener.Unavailable) -> MetricsListener? {
        guard let settings = global.metricsListenerSettings else { return nil }
        var source = ListenerSource(existing: (metrics.map { [$0.listener] } ?? []) + inherited, host: host)
        let listener: Listener
        do throws(Listener.Unavailable) {
            listener = try source.listener(for: settings, of: "metrics.listen", log: log, users: host)
        } catch { throw Listener.Unavailable(what: "metrics.listen = \(settings.listenText ?? "")") }
        if let metrics, metrics.listener === listener { return metrics }
        return metricsListener(on: listener)
    }

    /// One that answers on a socket that is there.
    func metricsListener(on listener: Listener) -> MetricsListener {
        MetricsListener(listener: listener, reactor: reactor, log: log) { [weak self] request in
            self?.answer(request) ?? .text("503 Service Unavailable", "stopping")
        }
    }

    /// This one answers from now on, and the former no more.
    func useMetrics(_ listener: MetricsListener?) {
        if let former = metrics, former !== listener {
            former.stop()
            if former.listener.path != listener?.listener.path { former.listener.unlinkPath() }
        }
        metrics = listener
        listener?.allow(configuration.global.metricsListenerSettings?.allowedClients)
        listener?.start()
    }

    /// Takes back a listener that is not to be used after all.
    func discardMetrics(_ listener: MetricsListener?) {
        guard let listener, listener !== metrics else { return }
        listener.listener.unlinkPath()
    }

    // MARK: - Answers

    /// The pools that serve; those that finish, while the service stops.
    private var shownPools: [Pool] { pools.isEmpty ? Array(lastPools.values) : pools }

    /// Those that finish, one of each name: two generations may do so at a time.
    private var lastPools: [ByteString: Pool] {
        Dictionary(drainingPools.values.map { ($0.name, $0) }) { first, _ in first }
    }

    private func answer(_ request: HTTPRequest) -> HTTPAnswer {
        switch String(decoding: request.path, as: UTF8.self) {
        case "/metrics": return metricsAnswer(request)
        case "/": return dashboardAnswer(request)
        case "/live": return .text("200 OK", "live")
        case "/ready", "/health":
            return isServing ? .text("200 OK", "ready") : .text("503 Service Unavailable", "not ready")
        default: return .text("404 Not Found", "there are /, /metrics, /live, /ready and /health")
        }
    }

    /// The live page of all pools, or the figures that it asks for.
    private func dashboardAnswer(_ request: HTTPRequest) -> HTTPAnswer {
        let query = StatusQuery(request.query.span)
        var shown = shownPools
        if shown.count > Dashboard.poolLimit {
            // Of those that have something to do; of the rest the first ones.
            let busiest = activePools.values.filter { pool(named: $0.name) === $0 }
                .map { pool in (pool, pool.scoreboard.counts()) }
                .sorted { ($0.1.active, $0.1.total) > ($1.1.active, $1.1.total) }
                .prefix(Dashboard.poolLimit).map(\.0)
            let idle = shown.lazy.filter { self.activePools[ObjectIdentifier($0)] == nil }
            shown = busiest + idle.prefix(Dashboard.poolLimit - busiest.count)
        }
        let dashboard = Dashboard(
            poolCount: shownPools.count,
            onlyPool: shown.count == 1 ? shown[0].name.bytes : [],
            version: Version.text.bytes
        )
        let isData = query.format == .json
        let tail = isData ? dashboard.dataTail : dashboard.tail
        // The last one comes first.
        var parts = (shown.isEmpty ? [tail] : []) + [isData ? dashboard.dataHead : dashboard.head]
        var rest = shown[...]
        var isFirst = true
        let pieces = { [weak self] () -> HTTPAnswer.Piece in
            if let part = parts.popLast() { return .bytes(part) }
            guard let self, let pool = rest.popFirst() else { return .over }
            // Each when its turn comes: many workers of many pools are not described at once.
            let page = statusPage(of: pool)
            let separator = isFirst || !isData ? [] : [UInt8(ascii: ",")]
            isFirst = false
            if rest.isEmpty { parts = [tail] }
            return .bytes(separator + (isData ? dashboard.figures(page) : dashboard.section(page)))
        }
        if isData { return HTTPAnswer("200 OK", "application/json", pieces: pieces) }
        var answer = HTTPAnswer("200 OK", "text/html; charset=utf-8", pieces: pieces)
        answer.fields = [
            "Content-Security-Policy: frame-ancestors 'none'", "X-Frame-Options: DENY",
            "Referrer-Policy: no-referrer",
        ]
        return answer
    }

    /// A pool's page with all that is known.
    private func statusPage(of pool: Pool) -> StatusPage {
        let figures = figures(of: pool, withWorkers: false)
        return StatusPage(
            pool: figures.status,
            processes: pool.scoreboard.processStatuses(),
            figures: figures
        )
    }

    private func metricsAnswer(_ request: HTTPRequest) -> HTTPAnswer {
        let format = request.acceptsOpenMetrics ? MetricsExposition.Format.openMetrics : .text
        let scrape = Scrape(pools.isEmpty ? Array(lastPools.keys) : poolNames)
        scrapes.begin(scrape)
        return HTTPAnswer("200 OK", format.contentType) { [weak self] in
            if scrape.isWritten { return scrape.giveBack() ? .over : .later }
            guard let self, !scrape.isDropped else { return .broken }
            guard scrape.exposition != nil || ask(for: scrape) else { return .later }
            if scrape.exposition == nil { scrape.write(serviceFigures(), format) }
            if let piece = scrape.exposition?.next() { return .bytes(piece) }
            return scrape.giveBack() ? .over : .later
        }
    }

    /// Asks more pools for their figures, as many as a step is for; true when there are no more.
    private func ask(for scrape: Scrape) -> Bool {
        let start = MonotonicTime.now
        let leaving = Dictionary(grouping: drainingPools.values, by: \.name)
        let last = pools.isEmpty ? lastPools : [:]
        while let name = scrape.nextName() {
            guard let pool = pool(named: name) ?? last[name] else { continue }
            scrape.add(figures(of: pool, withWorkers: true, leaving: leaving[name] ?? []))
            if MonotonicTime.now - start > Self.step { return scrape.hasAsked }
        }
        return true
    }

    /// How long an answer that is made in steps may take the loop at a time.
    private static var step: Duration { .microseconds(250) }
}
