/// One family of metrics: its name, what it means, and how its samples are made.
struct MetricFamily {
    enum Kind {
        case gauge
        /// Samples end in `_total`.
        case counter
        /// A counter under the name that php-fpm_exporter gave it, without `_total`: OpenMetrics knows no such counter,
        /// so it is of unknown type there, and keeps its name.
        case namedCounter
        case histogram
        /// One sample with value 1 and `_info` at its end.
        case info
    }

    /// What its samples are made from.
    enum Samples {
        /// Once.
        case service((ServiceFigures, inout SampleWriter) -> Void)
        /// For each pool, with the labels `pool` and, for php-fpm_exporter's families, `scrape_uri`.
        case pool(hasURI: Bool, (PoolFigures, inout SampleWriter) -> Void)
        /// For each worker of each pool, which is known by its place, with both labels.
        case worker((Int, WorkerFigures, inout SampleWriter) -> Void)
    }

    var name: StaticString
    var kind: Kind
    var help: StaticString
    var samples: Samples

    /// The two comment lines.
    func appendHead(to page: inout [UInt8], _ format: MetricsExposition.Format) {
        for (comment, text) in [("# HELP ", help), ("# TYPE ", type(format))]
            as [(StaticString, StaticString)]
        {
            page.append(comment)
            page.append(name)
            // Prometheus' own format names the samples, OpenMetrics the family.
            if format == .text { page.append(suffix) }
            page.append(" ")
            page.append(text)
            page.append("\n")
        }
    }

    private var suffix: StaticString {
        switch kind {
        case .counter: "_total"
        case .info: "_info"
        case .gauge, .namedCounter, .histogram: ""
        }
    }

    private func type(_ format: MetricsExposition.Format) -> StaticString {
        switch (kind, format) {
        case (.gauge, _), (.info, .text): "gauge"
        case (.counter, _), (.namedCounter, .text): "counter"
        case (.namedCounter, .openMetrics): "unknown"
        case (.histogram, _): "histogram"
        case (.info, .openMetrics): "info"
        }
    }
}
