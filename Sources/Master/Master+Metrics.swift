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
    /// - Parameter withWorkers: Whether the workers are wanted too.
    func figures(of pool: Pool, withWorkers: Bool) -> PoolFigures {
        if pool.hasProcesses { pool.refreshQueueFigures() }
        var figures = pool.figures(withWorkers: withWorkers)
        for other in drainingPools.values where other.name == pool.name && other !== pool {
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
        var source = ListenerSource(existing: (metrics.map { [$0.listener] } ?? []) + inherited)
        let listener = try source.listener(for: settings, log: log, users: host)
        if let metrics, metrics.listener === listener { return metrics }
        return MetricsListener(listener: listener, reactor: reactor, log: log) { [weak self] request in
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
    private var shownPools: [Pool] { pools.isEmpty ? Array(drainingPools.values) : pools }

    private func answer(_ request: HTTPRequest) -> HTTPAnswer {
        switch String(decoding: request.path, as: UTF8.self) {
        case "/metrics": return metricsAnswer(request)
        case "/live": return .text("200 OK", "live")
        case "/ready", "/health":
            return isServing ? .text("200 OK", "ready") : .text("503 Service Unavailable", "not ready")
        default: return .text("404 Not Found", "there are /metrics, /live, /ready and /health")
        }
    }

    private func metricsAnswer(_ request: HTTPRequest) -> HTTPAnswer {
        let format = request.acceptsOpenMetrics ? MetricsExposition.Format.openMetrics : .text
        var exposition = MetricsExposition(
            service: serviceFigures(),
            pools: shownPools.map { figures(of: $0, withWorkers: true) },
            format: format
        )
        return HTTPAnswer("200 OK", format.contentType) { exposition.next() }
    }
}
