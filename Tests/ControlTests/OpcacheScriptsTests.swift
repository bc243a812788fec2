import Control
import Testing

/// What the master lets through of what a worker says of its scripts.
struct OpcacheScriptsTests {
    private static let script: JSON = [
        "full_path": "/a.php", "hits": 3, "memory_consumption": 1000, "last_used_timestamp": 5,
        "timestamp": 4,
    ]

    private func page(_ scripts: JSON, total: JSON = 7, more: JSON = false) -> JSON {
        ["total": total, "more": more, "scripts": scripts]
    }

    @Test func pageIsReadAndWritten() throws {
        let found = try #require(OpcacheScripts(page([Self.script], more: true)))
        #expect(found.total == 7 && found.hasMore)
        #expect(found.scripts == [.init(path: "/a.php", hits: 3, memory: 1000, lastUsed: 5, modified: 4)])
        #expect(found.json == page([Self.script], more: true))
        #expect(OpcacheScripts(page([]))?.scripts.isEmpty == true)
    }

    @Test func whatIsNotKnownIsLeftOut() throws {
        let odd: JSON = [
            "full_path": "/a.php", "hits": -3, "memory_consumption": "much", "evil": ["x": [1, 2]],
        ]
        let found = try #require(OpcacheScripts(page([odd])))
        #expect(
            found.json.line
                == page([
                    ["full_path": "/a.php", "hits": 0, "memory_consumption": 0, "last_used_timestamp": 0]
                ]).line
        )
    }

    @Test func nonsenseIsRefused() {
        let wrong: [JSON] = [
            .null, [], [:], page(.null), page(["x": 1]), page([1]), page([[:]]), page([["full_path": ""]]),
            page([["full_path": 5]]), page([], total: -1), page([], total: "many"), page([], more: 1),
            page([], more: true),
        ]
        for value in wrong { #expect(OpcacheScripts(value) == nil, "\(value)") }
    }
}
