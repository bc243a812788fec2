internal import Configuration
internal import Logging

/// Where the listeners of a generation come from: those that exist already, found by their address, and new ones.
struct ListenerSource {
    private let existing: [ByteString: Listener]
    /// Those of socket units that are named after a pool.
    private let named: [ByteString: Listener]
    /// What listen(2) cuts a backlog to without a word, `net.core.somaxconn`; nil if that cannot be read.
    private let longestQueue: UInt32?
    private(set) var bound: [Listener] = []
    /// Existing ones that nobody can reach any more, and the new ones in their place.
    private(set) var rebound: [(former: Listener, fresh: Listener)] = []
    /// Existing ones that are used again, with what their pool wants of them.
    private(set) var kept: [(listener: Listener, pool: ByteString, access: SocketAccess)] = []

    /// - Parameters:
    ///   - existing: Those that may be used again.
    ///   - host: Reads a file of the kernel's.
    init(existing: [Listener], host: some ConfigurationHost) {
        self.existing = Dictionary(existing.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var named: [ByteString: Listener] = [:]
        for listener in existing {
            if case .socketUnit(let name) = listener.origin { named[name] = named[name] ?? listener }
        }
        self.named = named
        longestQueue = (try? host.readFile("/proc/sys/net/core/somaxconn")).flatMap {
            UInt32(String(decoding: $0.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
        }
    }

    /// The listener for an address.
    ///
    /// - Parameters:
    ///   - settings: Their `listen` is the address.
    ///   - directive: Whose value that is; the pool's `listen` if nil.
    ///   - log: Gets the reasons.
    ///   - users: Knows users and groups.
    /// - Returns: One that exists, or a new one.
    /// - Throws: ``Listener/Unavailable`` after logging why it cannot be bound, or who its owner should be.
    mutating func listener(
        for settings: PoolSettings,
        of directive: ByteString? = nil,
        log: Log,
        users: some ConfigurationHost
    ) throws(Listener.Unavailable) -> Listener {
        warnOfShortQueue(settings, log)
        let access = try SocketAccess(settings, longestQueue: longestQueue, log: log, users: users)
        let former = existing.isEmpty ? nil : reusable(settings.listen) ?? named[settings.name]
        if let former, !isLost(former, settings.name, log) {
            kept.append((former, settings.name, access))
            return former
        }
        let directive = directive ?? "listen of pool \(settings.name)"
        let fresh: Listener
        do throws(Listener.Unavailable) {
            fresh = try Listener.open(settings, access, of: directive, log: log)
        } catch {
            if error.isInUse, let own = overlapping(settings.listen) {
                log.error(
                    "this service itself listens at '\(own.name)': only a restart makes that '\(settings.listenText ?? "")'"
                )
            }
            throw error
        }
        bound.append(fresh)
        if let former { rebound.append((former, fresh)) }
        return fresh
    }

    /// Whether an existing socket is to be bound anew, as nobody finds it at its path and nothing is in the way there.
    ///
    /// What is in the way is said, with a remedy, and left alone: somebody has put it there.
    private func isLost(_ listener: Listener, _ pool: ByteString, _ log: Log) -> Bool {
        let place: ByteString = "[pool \(pool)] the socket file '\(listener.path ?? "")'"
        switch listener.place {
        case .unknown, .reachable: return false
        case .gone:
            log.notice("\(place) was gone: it is bound anew", .pool(pool))
            return true
        case .lostToUnit(let unit):
            log.warning(
                "\(place) is gone, nobody can connect: restart the socket unit of FileDescriptorName=\(unit)",
                .pool(pool)
            )
            return false
        case .taken(let what):
            log.warning(
                "\(place) is not this service's any more, nobody can connect: \(what); remove it and reload",
                .pool(pool)
            )
            return false
        }
    }

    /// Whether this listener has another one in its place from now on.
    func isReplaced(_ listener: Listener) -> Bool { rebound.contains { $0.former === listener } }

    private func warnOfShortQueue(_ settings: PoolSettings, _ log: Log) {
        guard let longestQueue, settings.listenBacklog > 511, settings.listenBacklog > Int(longestQueue)
        else { return }
        log.warning(
            "[pool \(settings.name)] listen.backlog = \(settings.listenBacklog) is cut to \(longestQueue): raise net.core.somaxconn with sysctl(8)",
            .pool(settings.name)
        )
    }

    /// Takes back what was bound here.
    func withdraw() {
        for listener in bound { listener.unlinkPath() }
    }

    /// The TCP listener that may be in the way of an address: all addresses of a port and one of them exclude each other.
    private func overlapping(_ address: ListenAddress) -> Listener? {
        let port: UInt16
        switch address {
        case .port(let number), .host(_, let number): port = number
        case .unix, .invalidPort: return nil
        }
        let end = Array(":\(port)".utf8)
        return existing.values.first { $0.isTCP && $0.name.bytes.suffix(end.count).elementsEqual(end) }
    }

    private func reusable(_ address: ListenAddress) -> Listener? {
        switch address {
        case .unix(let path): return existing[path]
        case .port(let port): return existing[":::\(port)"] ?? existing["0.0.0.0:\(port)"]
        case .host(let host, let port):
            for name in Listener.names(host, port) {
                if let listener = existing[name] { return listener }
            }
            return nil
        case .invalidPort: return nil
        }
    }
}
