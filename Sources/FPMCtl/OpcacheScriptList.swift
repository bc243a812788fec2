import ArgumentParser
import CEpoll
import Control
import Glibc

/// The scripts in a pool's opcache, gathered page by page from the master, in the order and number asked for.
struct OpcacheScriptList {
    /// By what the list is ordered, the most first.
    enum Order: String, ExpressibleByArgument, CaseIterable { case hits, memory, used, path }

    /// More than this are not gathered, whatever is asked.
    private static let mostGathered = 200_000

    /// The scripts to be shown.
    let shown: [OpcacheScripts.Script]
    /// How many there are.
    let total: Int

    /// How many are there, but not shown.
    var left: Int { max(0, total - shown.count) }

    /// Puts scripts into order and keeps the first of them; `limit` 0 keeps all.
    init(_ all: [OpcacheScripts.Script], total: Int, order: Order, limit: Int) {
        func comesFirst(_ one: OpcacheScripts.Script, _ other: OpcacheScripts.Script) -> Bool {
            let (left, right) =
                switch order {
                case .hits: (one.hits, other.hits)
                case .memory: (one.memory, other.memory)
                case .used: (one.lastUsed, other.lastUsed)
                case .path: (0, 0)
                }
            return left != right ? left > right : one.path < other.path
        }
        let sorted = all.sorted(by: comesFirst)
        shown = limit == 0 ? sorted : Array(sorted.prefix(limit))
        self.total = max(total, all.count)
    }

    /// Gathers what is to be shown: the first page of that order if it has enough, else all pages.
    ///
    /// - Parameters:
    ///   - order: The order.
    ///   - limit: How many are to be shown; 0 for all.
    ///   - ask: Asks for the page after a path, or the first of an order.
    /// - Throws: As ``gather(_:)``.
    init(order: Order, limit: Int, _ ask: (_ after: String?, Order) throws -> JSON) throws {
        if limit > 0 {
            guard let page = OpcacheScripts(try ask(nil, order)) else { throw ClientFailure.nonsense }
            if !page.hasMore || page.scripts.count >= limit {
                self.init(page.scripts, total: page.total, order: order, limit: limit)
                return
            }
        }
        let (all, total) = try Self.gather { try ask($0, .path) }
        self.init(all, total: total, order: order, limit: limit)
    }

    /// Asks for page after page.
    ///
    /// Scripts that come or go meanwhile may be missing; none is listed twice, and a peer that repeats itself ends the list.
    ///
    /// - Parameter ask: Asks for the page after a path, or the first.
    /// - Returns: All scripts, and how many there are.
    /// - Throws: What `ask` throws, and ``ClientFailure/nonsense`` for what is no page.
    static func gather(_ ask: (_ after: String?) throws -> JSON) throws -> ([OpcacheScripts.Script], Int) {
        var all: [OpcacheScripts.Script] = []
        var known: Set<String> = []
        var total = 0
        var after: String?
        while all.count < mostGathered {
            guard let page = OpcacheScripts(try ask(after)) else { throw ClientFailure.nonsense }
            total = page.total
            let fresh = page.scripts.filter { known.insert($0.path).inserted }
            all += fresh
            guard page.hasMore, !fresh.isEmpty, let last = page.scripts.last else { break }
            after = last.path
        }
        return (all, total)
    }

    /// The members to be added to the status.
    var json: [JSON.Member] {
        [
            JSON.Member("scripts_total", JSON(total)), JSON.Member("scripts_cut", .bool(left > 0)),
            JSON.Member("scripts", .array(shown.map(\.json))),
        ]
    }

    /// The list as lines; `now` in seconds since the epoch.
    func lines(now: Int) -> [String] {
        var table = Table([">HITS", ">MEMORY", ">USED", "SCRIPT"])
        for script in shown {
            table.add([
                "\(script.hits)", bytesText(script.memory),
                script.lastUsed == 0 ? "-" : ageText(now - script.lastUsed),
                plain(script.path),
            ])
        }
        var lines = table.lines
        if left > 0 {
            lines.append(
                "\(shown.count) of \(total) scripts are shown, \(left) are cut (--limit 0 shows all)"
            )
        }
        return lines
    }
}
