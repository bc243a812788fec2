/// A page of the list of scripts in a pool's opcache, as a worker makes it, the master checks it and `fpmctl` shows it.
///
/// Whatever else a worker puts into it is left out, so that nothing of it reaches anybody unchecked.
public struct OpcacheScripts: Equatable, Sendable {
    /// One script; numbers as PHP gives them, never negative.
    public struct Script: Equatable, Sendable {
        /// Its path.
        public var path: String
        /// How often it was found in the cache.
        public var hits: Int
        /// Bytes that it takes there.
        public var memory: Int
        /// When it was used last, in seconds since the epoch.
        public var lastUsed: Int
        /// When its file was changed last, likewise; nil where PHP does not look (opcache.validate_timestamps).
        public var modified: Int?

        /// A script as it is.
        public init(path: String, hits: Int, memory: Int, lastUsed: Int, modified: Int? = nil) {
            self.path = path
            self.hits = hits
            self.memory = memory
            self.lastUsed = lastUsed
            self.modified = modified
        }

        /// Under PHP's names.
        public var json: JSON {
            var members = [
                JSON.Member("full_path", .string(path)), JSON.Member("hits", JSON(hits)),
                JSON.Member("memory_consumption", JSON(memory)),
                JSON.Member("last_used_timestamp", JSON(lastUsed)),
            ]
            if let modified { members.append(JSON.Member("timestamp", JSON(modified))) }
            return .object(members)
        }

        init?(_ value: JSON) {
            guard let path = value["full_path"]?.text, !path.isEmpty else { return nil }
            func number(_ name: String) -> Int { max(0, value[name]?.count ?? 0) }
            self.init(
                path: path,
                hits: number("hits"),
                memory: number("memory_consumption"),
                lastUsed: number("last_used_timestamp"),
                modified: value["timestamp"]?.count.map { max(0, $0) }
            )
        }
    }

    /// How many scripts the opcache has, on all pages together.
    public var total: Int
    /// Whether others come after these; they are asked for by the path of the last one.
    public var hasMore: Bool
    /// The scripts, in the order asked for; that of their paths on all pages but the first.
    public var scripts: [Script]

    /// Reads a page; nil for anything that is none, and for one that goes on but brings nothing.
    public init?(_ value: JSON) {
        guard let total = value["total"]?.count, total >= 0, let more = value["more"]?.flag,
            case .array(let list)? = value["scripts"]
        else { return nil }
        scripts = []
        scripts.reserveCapacity(list.count)
        for element in list {
            guard let script = Script(element) else { return nil }
            scripts.append(script)
        }
        guard !more || !scripts.isEmpty else { return nil }
        self.total = total
        hasMore = more
    }

    /// The page.
    public var json: JSON {
        ["total": JSON(total), "more": .bool(hasMore), "scripts": .array(scripts.map(\.json))]
    }
}
