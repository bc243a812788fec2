internal import Configuration
internal import StatusPage

/// One answer to a scrape: first the figures of all pools are taken, then they are written, both in steps.
///
/// It knows pools by their names: one that goes meanwhile is not in the answer, one that is replaced is there with
/// all that its generations have counted.
final class Scrape {
    /// Those that are asked: the master's own list, as to copy thousands of names would take milliseconds.
    private var names: [ByteString]
    /// Of those, the first that has not been asked.
    private var next = 0
    /// What is known of those before.
    var figures: [PoolFigures] = []
    /// Writes them; once all have been asked.
    var exposition: MetricsExposition?
    /// All has been written.
    private(set) var isWritten = false
    /// It has been given up, for others.
    fileprivate(set) var isDropped = false

    /// Of so many pools the figures are freed in a quarter of a millisecond.
    static let mostGivenBack = 1000

    fileprivate var weight: Int { names.count - next + figures.count + workers + 1 }
    fileprivate var workers = 0

    /// A scrape of the pools of these names, each of which stands there once.
    init(_ names: [ByteString]) {
        self.names = names
        figures.reserveCapacity(names.count)
    }

    /// The name of the next pool to be asked; nil if all have been.
    func nextName() -> ByteString? {
        guard next < names.count else { return nil }
        next += 1
        return names[next - 1]
    }

    /// Whether all have been asked.
    var hasAsked: Bool { next >= names.count }

    /// Takes the figures of one pool.
    func add(_ pool: PoolFigures) {
        var pool = pool
        // Not in metrics: thousands of such texts would take as long to be given back as to be made.
        pool.status.processManager = []
        pool.status.start.text = []
        workers += pool.workers.count
        figures.append(pool)
    }

    /// Begins to write.
    func write(_ service: ServiceFigures, _ format: MetricsExposition.Format) {
        exposition = MetricsExposition(service: service, pools: figures, format: format)
    }

    /// Gives back the figures of some pools, as all has been written: to free thousands at once would take milliseconds.
    ///
    /// - Returns: Whether none are left.
    func giveBack() -> Bool {
        isWritten = true
        // It shares them.
        exposition = nil
        figures.removeLast(min(figures.count, Self.mostGivenBack))
        return figures.isEmpty
    }

    fileprivate func drop() {
        isDropped = true
        names = []
        next = 0
        figures = []
        exposition = nil
    }
}

/// The scrapes that are being answered.
///
/// Each holds the figures of all pools until its client has read the last line. Together they hold a bounded number
/// of them: when a new scrape comes and there are too many, the oldest ones are given up. So one is always possible,
/// and clients that do not read keep nobody out.
final class Scrapes {
    /// Pools and workers in all scrapes; each takes some hundred bytes.
    static let limit = 50_000

    private struct Entry { weak var scrape: Scrape? }
    /// The oldest first.
    private var entries: [Entry] = []

    /// Makes room for another one and keeps it in mind.
    func begin(_ scrape: Scrape) {
        entries.removeAll { $0.scrape?.isDropped ?? true }
        var held = entries.reduce(scrape.weight) { $0 + ($1.scrape?.weight ?? 0) }
        for entry in entries where held > Self.limit {
            guard let old = entry.scrape else { continue }
            held -= old.weight
            old.drop()
        }
        entries.append(Entry(scrape: scrape))
    }
}

@available(*, unavailable)
extension Scrape: Sendable {}

@available(*, unavailable)
extension Scrapes: Sendable {}
