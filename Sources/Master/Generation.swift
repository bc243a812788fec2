internal import Configuration

/// What the pools of one configuration have in common: its global settings, and how many workers there are for
/// `process.max`, which holds for each generation by itself.
///
/// A pool that is reloaded alone starts in a generation of its own, as large as the service without the pool it is to
/// replace, and joins the others when it does.
final class Generation {
    let global: GlobalSettings
    /// Workers that are there or under way.
    private(set) var running: Int

    init(_ global: GlobalSettings, running: Int = 0) {
        self.global = global
        self.running = running
    }

    /// How many more workers may be started.
    var allowance: Int { global.processMax > 0 ? max(0, global.processMax - running) : .max }

    /// A pool has so many workers more, or fewer if negative.
    func add(_ workers: Int) { running += workers }
}

@available(*, unavailable)
extension Generation: Sendable {}
