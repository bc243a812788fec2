/// The answer to a scrape, in pieces: all pools, family by family.
///
/// A service may have thousands of pools; the page is made as it is sent, so that neither its size nor its making is
/// felt in the loop.
public struct MetricsExposition {
    /// The forms of the page.
    public enum Format: Sendable {
        /// OpenMetrics 1.0.
        case openMetrics
        /// Prometheus' text format 0.0.4.
        case text

        /// The media type to send.
        public var contentType: StaticString {
            switch self {
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            case .text: "text/plain; version=0.0.4; charset=utf-8"
            }
        }
    }

    /// A piece is finished when it has this size, or when so many pools have been looked at: not all have samples.
    private static let pieceSize = 32 << 10
    private static let pieceVisits = 1000

    private let service: ServiceFigures
    private let pools: [PoolFigures]
    private let format: Format
    private var families = MetricFamily.all[...]
    private var nextPool = 0
    /// Of the workers of that pool.
    private var nextWorker = 0
    private var isOver = false
    /// The first family has its two lines.
    private var hasHead = false
    /// Pools looked at for the present piece.
    private var visits = 0

    /// The page of these figures.
    public init(service: ServiceFigures, pools: [PoolFigures], format: Format) {
        self.service = service
        self.pools = pools
        self.format = format
    }

    /// The next piece, some tens of kilobytes, or empty; nil when there is no more.
    public mutating func next() -> [UInt8]? {
        if isOver { return nil }
        visits = 0
        var writer = SampleWriter()
        writer.page.reserveCapacity(Self.pieceSize + 8192)
        while !isFull(writer) {
            guard let family = families.first else {
                if format == .openMetrics { writer.page.append("# EOF\n") }
                isOver = true
                break
            }
            write(family, &writer)
        }
        return writer.page
    }

    private func isFull(_ writer: SampleWriter) -> Bool {
        writer.page.count >= Self.pieceSize || visits >= Self.pieceVisits
    }

    /// One family, or of a pool family as much as fits.
    private mutating func write(_ family: MetricFamily, _ writer: inout SampleWriter) {
        writer.name = family.name
        if !hasHead { family.appendHead(to: &writer.page, format) }
        hasHead = true
        switch family.samples {
        case .service(let samples):
            writer.labels = []
            samples(service, &writer)
        case .pool(let hasURI, let samples):
            while nextPool < pools.count {
                guard !isFull(writer) else { return }
                visits += 1
                writer.label(pools[nextPool], hasURI: hasURI)
                samples(pools[nextPool], &writer)
                nextPool += 1
            }
        case .worker(let samples):
            while nextPool < pools.count {
                guard !isFull(writer) else { return }
                visits += 1
                let workers = pools[nextPool].workers
                if !workers.isEmpty { writer.label(pools[nextPool], hasURI: true) }
                while nextWorker < workers.count {
                    guard !isFull(writer) else { return }
                    samples(nextWorker, workers[nextWorker], &writer)
                    nextWorker += 1
                }
                nextWorker = 0
                nextPool += 1
            }
        }
        nextPool = 0
        hasHead = false
        families = families.dropFirst()
    }
}

extension SampleWriter {
    /// Takes the labels of a pool.
    fileprivate mutating func label(_ pool: PoolFigures, hasURI: Bool) {
        labels = []
        labels.appendLabel("pool", pool.status.pool)
        guard hasURI else { return }
        labels.append(",")
        labels.appendLabel("scrape_uri", pool.scrapeURI)
    }
}
