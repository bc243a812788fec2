extension StatusPage {
    /// Metrics without labels, three lines each.
    func renderOpenMetrics(_ page: inout [UInt8]) {
        page.append("# HELP phpfpm_up Could pool ")
        page.append(pool.pool, .help)
        page.append(" using a ")
        page.append(pool.processManager, .help)
        page.append(" PM on PHP-FPM be reached?\n# TYPE phpfpm_up gauge\nphpfpm_up 1\n")
        for metric in metrics {
            // php-fpm writes the two comments of this one the other way round.
            if metric.isTypeFirst {
                page.appendType(metric)
                page.appendHelp(metric)
            } else {
                page.appendHelp(metric)
                page.appendType(metric)
            }
            page.append("phpfpm_")
            page.append(metric.name)
            page.append(" ")
            page.append(metric.value, .none)
            page.append("\n")
        }
        page.append("# EOF\n")
    }

    private var metrics: [Metric] {
        var metrics = [
            Metric(
                "start_since",
                "counter",
                "The number of seconds since FPM has started.",
                .signed(pool.start.secondsSince)
            ),
            Metric(
                "accepted_connections",
                "counter",
                "The number of requests accepted by the pool.",
                .number(pool.acceptedConnections)
            ),
            Metric(
                "listen_queue",
                "gauge",
                "The number of requests in the queue of pending connections.",
                .number(pool.listenQueue)
            ),
            Metric(
                "max_listen_queue",
                "counter",
                "The maximum number of requests in the queue of pending connections since FPM has started.",
                .number(pool.maxListenQueue)
            ),
            Metric(
                "listen_queue_length",
                "gauge",
                "The size of the socket queue of pending connections.",
                .number(pool.listenQueueLength),
                isTypeFirst: true
            ),
            Metric("idle_processes", "gauge", "The number of idle processes.", .number(pool.idleProcesses)),
            Metric(
                "active_processes",
                "gauge",
                "The number of active processes.",
                .number(pool.activeProcesses)
            ),
            Metric(
                "total_processes",
                "gauge",
                "The number of idle + active processes.",
                .number(pool.totalProcesses)
            ),
            Metric(
                "max_active_processes",
                "counter",
                "The maximum number of active processes since FPM has started.",
                .number(pool.maxActiveProcesses)
            ),
            Metric(
                "max_children_reached",
                "counter",
                """
                The number of times, the process limit has been reached, when pm tries to start more \
                children (works only for pm 'dynamic' and 'ondemand').
                """,
                .number(pool.maxChildrenReached)
            ),
            Metric(
                "slow_requests",
                "counter",
                "The number of requests that exceeded your 'request_slowlog_timeout' value.",
                .number(pool.slowRequests)
            ),
        ]
        if let peak = pool.memoryPeak {
            metrics.append(
                Metric("memory_peak", "gauge", "The memory usage peak since FPM has started.", .number(peak))
            )
        }
        return metrics
    }
}

private struct Metric {
    var name: StaticString
    var type: StaticString
    var help: StaticString
    var value: Field.Value
    var isTypeFirst: Bool

    init(
        _ name: StaticString,
        _ type: StaticString,
        _ help: StaticString,
        _ value: Field.Value,
        isTypeFirst: Bool = false
    ) {
        self.name = name
        self.type = type
        self.help = help
        self.value = value
        self.isTypeFirst = isTypeFirst
    }
}

extension [UInt8] {
    fileprivate mutating func appendHelp(_ metric: Metric) {
        appendComment("# HELP phpfpm_", metric, metric.help)
    }

    fileprivate mutating func appendType(_ metric: Metric) {
        appendComment("# TYPE phpfpm_", metric, metric.type)
    }

    private mutating func appendComment(_ start: StaticString, _ metric: Metric, _ text: StaticString) {
        append(start)
        append(metric.name)
        append(" ")
        append(text)
        append("\n")
    }
}
