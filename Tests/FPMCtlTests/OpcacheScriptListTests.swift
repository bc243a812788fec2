import Control
import Testing

@testable import FPMCtl

/// The list of cached scripts, gathered from pages that a worker may have made up.
struct OpcacheScriptListTests {
    private func page(_ paths: [String], more: Bool, total: Int = 5) -> JSON {
        let scripts = paths.map { OpcacheScripts.Script(path: $0, hits: 1, memory: 2, lastUsed: 3).json }
        return ["total": JSON(total), "more": .bool(more), "scripts": .array(scripts)]
    }

    @Test func pagesAreJoined() throws {
        var asked: [String?] = []
        let (all, total) = try OpcacheScriptList.gather { after in
            asked.append(after)
            return after == nil ? page(["/a", "/b"], more: true) : page(["/c"], more: false)
        }
        #expect(all.map(\.path) == ["/a", "/b", "/c"] && total == 5 && asked == [nil, "/b"])
    }

    @Test func repeatedPagesEnd() throws {
        var count = 0
        let (all, _) = try OpcacheScriptList.gather { _ in
            count += 1
            return page(["/a", "/b"], more: true)
        }
        #expect(all.count == 2 && count == 2)
    }

    @Test func nonsenseIsNoList() {
        for value in [.null, page([], more: true), ["total": 1, "more": false]] as [JSON] {
            #expect(throws: ClientFailure.self) { try OpcacheScriptList.gather { _ in value } }
        }
    }

    @Test func oneOrderedPageIsEnoughForALimit() throws {
        var asked: [String] = []
        func list(_ limit: Int) throws -> [String] {
            asked = []
            return try OpcacheScriptList(order: .hits, limit: limit) { after, order in
                asked.append("\(after ?? "-") \(order)")
                if order == .hits { return page(["/x", "/y"], more: true) }
                return after == nil ? page(["/a", "/x"], more: true) : page(["/y"], more: false)
            }.shown.map(\.path)
        }
        #expect(try list(2) == ["/x", "/y"] && asked == ["- hits"])
        #expect(try list(3) == ["/a", "/x", "/y"] && asked == ["- hits", "- path", "/x path"])
        #expect(try list(0).count == 3 && asked == ["- path", "/x path"])
    }

    @Test func ordersAndLimits() {
        let scripts = [
            OpcacheScripts.Script(path: "/b", hits: 3, memory: 1, lastUsed: 20),
            OpcacheScripts.Script(path: "/a", hits: 3, memory: 2, lastUsed: 10),
            OpcacheScripts.Script(path: "/c\u{1b}[31m", hits: 9, memory: 1 << 20, lastUsed: 0),
        ]
        func order(_ order: OpcacheScriptList.Order) -> [String] {
            OpcacheScriptList(scripts, total: 3, order: order, limit: 0).shown.map {
                String($0.path.prefix(2))
            }
        }
        #expect(order(.hits) == ["/c", "/a", "/b"])
        #expect(order(.memory) == ["/c", "/a", "/b"])
        #expect(order(.used) == ["/b", "/a", "/c"])
        #expect(order(.path) == ["/a", "/b", "/c"])
        let cut = OpcacheScriptList(scripts, total: 700, order: .hits, limit: 2)
        #expect(
            cut.lines(now: 75) == [
                "HITS  MEMORY  USED  SCRIPT", "   9    1.0M     -  /c.[31m", "   3       2   65s  /a",
                "2 of 700 scripts are shown, 698 are cut (--limit 0 shows all)",
            ]
        )
        #expect(cut.json.contains(JSON.Member("scripts_cut", true)))
        #expect(
            OpcacheScriptList(scripts, total: 3, order: .hits, limit: 0).json.contains(
                JSON.Member("scripts_cut", false)
            )
        )
    }
}
