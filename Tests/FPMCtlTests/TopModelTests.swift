import Control
import Testing

@testable import FPMCtl

/// The screen of `fpmctl top`, line by line.
struct TopModelTests {
    private func worker(_ pid: Int, uri: String = "") -> JSON {
        [
            "pid": JSON(pid), "life": "ready", "stage": uri.isEmpty ? "Idle" : "Running",
            "memory": 52_428_800,
            "processor_ms": 0, "requests": 7, "duration_us": 119_900_000, "request": .string(uri),
        ]
    }

    private func pool(
        _ name: String,
        active: Int = 0,
        accepted: Int = 0,
        queue: Int = 0,
        _ workers: [JSON] = []
    ) -> JSON {
        [
            "name": .string(name), "state": "serving", "running": 4, "max_children": 8,
            "active": JSON(active),
            "idle": JSON(4 - active), "listen_queue": JSON(queue), "accepted": JSON(accepted),
            "workers": .array(workers),
        ]
    }

    private func status(_ pools: [JSON]) -> JSON {
        ["master": ["pid": 4711, "state": "serving", "uptime": 90], "pools": .array(pools)]
    }

    /// Lines without colours.
    private func screen(_ model: TopModel, _ columns: Int, _ rows: Int, now: Double = 10) -> [String] {
        model.lines(columns: columns, rows: rows, now: now).map { line in
            guard line.hasPrefix("\u{1b}["), let end = line.firstIndex(of: "m") else { return line }
            return String(line[line.index(after: end)...])
        }
    }

    @Test(arguments: [(80, 24), (200, 60), (40, 10), (20, 5), (5, 2), (1, 1)])
    func fitsEveryWindow(_ columns: Int, _ rows: Int) {
        var model = TopModel(hasBlocks: true)
        let long = "GET /" + String(repeating: "x", count: 500)
        let workers = (1...10).map { worker($0, uri: long) }
        for time in 1...3 {
            model.update(
                status(
                    (1...200).map {
                        pool("a-pool-with-a-long-name-\($0)", accepted: 9 * time, $0 < 20 ? workers : [])
                    }
                ),
                at: Double(time)
            )
            let lines = screen(model, columns, rows)
            #expect(lines.count == rows && lines.allSatisfy { $0.count <= columns }, "\(lines)")
        }
        model.problem = String(repeating: "something is wrong ", count: 20)
        #expect(screen(model, columns, rows).allSatisfy { $0.count <= columns })
    }

    @Test func nothingAtAll() {
        let model = TopModel(hasBlocks: false)
        let lines = screen(model, 80, 24)
        #expect(lines.count == 24 && lines.allSatisfy { $0.utf8.allSatisfy { $0 < 0x80 } })
    }

    @Test func theBusiestOfManyPools() {
        var model = TopModel(hasBlocks: false)
        let pools = (1...200).map { pool("p\($0)", active: $0 == 150 ? 2 : 0, queue: $0 == 180 ? 5 : 0) }
        model.update(status(pools), at: 1)
        let lines = screen(model, 80, 24)
        #expect(lines[0].hasPrefix("fpmd 4711 serving, up 90s, 200 pool(s)"))
        #expect(
            lines[3].hasPrefix("p180 ") && lines[4].hasPrefix("p150 ") && lines[5].hasPrefix("p1 ")
                && lines[6].hasPrefix("p2 ")
        )
        #expect(lines.contains("... 191 more pools, less busy (p, P show one)"))
        model.nextFilter(backwards: true)
        #expect(model.filter == "p200")
        model.nextFilter()
        #expect(model.filter == nil)
        model.nextFilter()
        #expect(model.filter == "p1")
    }

    @Test func aPoolThatIsGoneIsNotShownAlone() {
        var model = TopModel(hasBlocks: false)
        model.update(status([pool("a"), pool("b")]), at: 1)
        model.filter = "b"
        model.update(status([pool("a")]), at: 2)
        #expect(model.filter == nil)
    }

    @Test func aMasterThatIsGoneIsSaid() {
        var model = TopModel(hasBlocks: false)
        model.problem = ClientFailure.closed.brief
        #expect(screen(model, 80, 24, now: 5)[1] == "the master has closed the connection")
        model.update(status([pool("a")]), at: 10)
        #expect(screen(model, 80, 24)[1] == "")
        model.problem = ClientFailure.silent(seconds: 40).brief
        #expect(screen(model, 80, 24, now: 52)[1] == "the master has not answered for 40 s (shown: 42s ago)")
        // The age is not what is cut.
        #expect(screen(model, 40, 24, now: 52)[1].hasSuffix("(shown: 42s ago)"))
    }

    @Test func ratesAreOfTheTimeBetween() {
        var model = TopModel(hasBlocks: false)
        model.update(status([pool("a", accepted: 100)]), at: 1)
        model.update(status([pool("a", accepted: 150)]), at: 3)
        #expect(model.rates["a"]?.requests == 25)
        // After a reload counters begin anew.
        model.update(status([pool("a", accepted: 2)]), at: 4)
        #expect(model.rates["a"]?.requests == 0)
    }

    @Test func columnsStandBelowTheirHeadings() {
        var model = TopModel(hasBlocks: false)
        model.update(
            status([pool("a", active: 1, [worker(1_234_567, uri: "GET /a\u{1b}[31m\u{202e}b")])]),
            at: 1
        )
        let lines = screen(model, 80, 24)
        let heading = lines.first { $0.contains("PID") } ?? ""
        let line = lines.first { $0.contains("1234567") } ?? ""
        for (column, value) in [("TIME", "119.9s"), ("MEM", "50M"), ("REQS", "      7")] {
            #expect(end(of: column, in: heading) == end(of: value, in: line), "\(heading)\n\(line)")
        }
        #expect(line.hasSuffix("GET /a.[31m.b"))
    }

    @Test func aNarrowWindowShowsStateAndRequest() {
        var model = TopModel(hasBlocks: false)
        model.update(status([pool("a", active: 1, [worker(7, uri: "GET /index.php")])]), at: 1)
        let lines = screen(model, 60, 24)
        #expect(lines.contains { $0.hasPrefix("POOL") && $0.contains("STATE") && !$0.contains("CPU%") })
        #expect(lines.contains { $0.hasPrefix("a ") && $0.contains("serving") })
        #expect(lines.contains { $0.contains("119.9s  GET /index.php") })
    }

    /// Characters up to the end of a word.
    private func end(of word: String, in line: String) -> Int? {
        line.indices.first { line[$0...].hasPrefix(word) }.map {
            line.distance(from: line.startIndex, to: $0) + word.count
        }
    }
}
