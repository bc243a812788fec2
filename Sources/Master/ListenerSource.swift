internal import Configuration
internal import Logging

/// Where the listeners of a generation come from: those that exist already, found by their address, and new ones.
struct ListenerSource {
    private let existing: [Listener]
    private(set) var bound: [Listener] = []

    init(existing: [Listener]) { self.existing = existing }

    /// All of them, needed or not.
    var all: [Listener] { existing + bound }

    /// The listener for a pool's `listen` address.
    ///
    /// - Throws: ``Listener/Unavailable`` after logging why it cannot be bound.
    mutating func listener(
        for settings: PoolSettings,
        log: Log,
        users: some ConfigurationHost
    ) throws(Listener.Unavailable) -> Listener {
        if let kept = reusable(settings.listen) { return kept }
        let fresh = try Listener.open(settings, log: log, users: users)
        bound.append(fresh)
        return fresh
    }

    /// Takes back what was bound here.
    func withdraw() {
        for listener in bound { listener.unlinkPath() }
    }

    private func reusable(_ address: ListenAddress) -> Listener? {
        switch address {
        case .unix(let path): existing.first { $0.path == path }
        case .port(let port): existing.first { $0.name == ":::\(port)" || $0.name == "0.0.0.0:\(port)" }
        case .host(let host, let port):
            existing.first { listener in Listener.names(host, port).contains(listener.name) }
        case .invalidPort: nil
        }
    }
}
