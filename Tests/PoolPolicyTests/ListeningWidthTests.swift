import Testing

@testable import PoolPolicy

@Suite struct ListeningWidthTests {
    /// A pool of 4 workers on one processor, and a clock.
    private struct Bench {
        var width = ListeningWidth()
        var time: UInt64 = 1_000_000_000
        var begun: Int64 = 0
        var processorTime: UInt64 = 7_000_000
        var squares = 5000.0
        /// The variance of requests, of their average's square.
        var variation = 0.0
        var workers = 4
        var processors = 1
        var longest = ListeningWidth.shortRequest

        /// Lets some milliseconds pass in which `requests` are begun, each of so many microseconds of processor time.
        mutating func pass(
            milliseconds: UInt64,
            requests: Int64,
            micros: UInt64,
            oldest: UInt64 = 0,
            waits: Bool = false
        ) -> ListeningWidth.Decision {
            time += milliseconds * 1_000_000
            begun += requests
            processorTime += UInt64(max(0, requests)) * micros * 1000
            squares += Double(requests) * Double(micros * micros) * (1 + variation)
            return width.observe(
                Pace(begun: begun, time: time),
                oldest: oldest * 1000,
                waiting: { waits ? 1 : 0 },
                work: { ListeningWidth.Work(processorTime: processorTime, squares: squares) },
                workers: workers,
                processors: processors,
                longest: longest
            )
        }

        /// A pool that was narrowed for a load of `load` percent of the processor.
        static func narrow(load: Int64 = 100) -> Bench {
            var bench = Bench()
            _ = bench.pass(milliseconds: 1, requests: 0, micros: 0)
            let decision = bench.pass(milliseconds: 50, requests: 10 * load, micros: 50)
            #expect(decision == .narrow)
            #expect(bench.width.isNarrow)
            return bench
        }

        /// A second of short requests, looked at every 2 ms; whether it was narrowed.
        mutating func settle() -> Bool {
            for _ in 1...500 where pass(milliseconds: 2, requests: 40, micros: 50) == .narrow { return true }
            return false
        }
    }

    private func expect(
        _ expected: ListeningWidth.Decision,
        _ decision: ListeningWidth.Decision,
        sourceLocation: SourceLocation = #_sourceLocation
    ) { #expect(decision == expected, sourceLocation: sourceLocation) }

    @Test(
        "narrows for short requests that fill the processors",
        arguments: [
            // Milliseconds, requests, microseconds each, workers, processors, whether it is narrowed.
            (50, 1000, 50, 4, 1, true), (60, 200, 390, 2, 1, true), (50, 2000, 50, 4, 2, true),
            (499, 9000, 50, 4, 1, true),
            // Many requests tell soon: if there are enough, they are short, and fill the processor.
            (8, 50, 50, 4, 1, true), (8, 50, 390, 4, 1, true), (7, 140, 50, 4, 1, false),
            (8, 49, 100, 4, 1, false), (8, 50, 410, 4, 1, false), (8, 150, 10, 4, 1, false),
            // Too soon to tell, or too long for a steady load.
            (49, 49, 390, 4, 1, false), (501, 9000, 50, 4, 1, false),
            // Long requests, no requests, a counter that goes back.
            (50, 120, 410, 4, 1, false), (50, 0, 0, 4, 1, false), (50, -7, 50, 4, 1, false),
            // The processors have nothing to do.
            (50, 190, 50, 4, 1, false), (50, 390, 50, 4, 2, false),
            // No worker is surplus.
            (50, 1000, 50, 1, 1, false), (50, 2000, 50, 4, 4, false), (50, 1000, 50, 4, 0, true),
        ] as [(UInt64, Int64, UInt64, Int, Int, Bool)]
    )
    func narrows(
        _ milliseconds: UInt64,
        _ requests: Int64,
        _ micros: UInt64,
        _ workers: Int,
        _ processors: Int,
        _ expected: Bool
    ) {
        var bench = Bench(workers: workers, processors: processors)
        expect(.stay, bench.pass(milliseconds: 1, requests: 0, micros: 0))
        let decision = bench.pass(milliseconds: milliseconds, requests: requests, micros: micros)
        #expect(decision == (expected ? .narrow : .stay))
        #expect(bench.width.isNarrow == expected)
    }

    /// An early result that says no says nothing yet: the window goes on.
    @Test func earlyResult() {
        var bench = Bench()
        expect(.stay, bench.pass(milliseconds: 1, requests: 0, micros: 0))
        expect(.stay, bench.pass(milliseconds: 9, requests: 60, micros: 20))
        #expect(bench.width.isUndecided(at: bench.time))
        expect(.stay, bench.pass(milliseconds: 9, requests: 40, micros: 40))
        expect(.narrow, bench.pass(milliseconds: 9, requests: 100, micros: 50))
    }

    @Test func staysNarrow() {
        var bench = Bench.narrow()
        for _ in 1...5000 {
            expect(.stay, bench.pass(milliseconds: 2, requests: 40, micros: 50, oldest: 2900, waits: true))
        }
        // Requests that are a little longer fill the processor as well.
        for _ in 1...500 { expect(.stay, bench.pass(milliseconds: 2, requests: 3, micros: 660)) }
    }

    @Test func workerThatWaitsInARequest() {
        var bench = Bench.narrow()
        expect(.widen, bench.pass(milliseconds: 2, requests: 40, micros: 50, oldest: 3000, waits: true))
        #expect(!bench.width.isNarrow)
    }

    /// Others take the processor, until that is no explanation any more.
    @Test func requestThatTakesLong() {
        var bench = Bench.narrow()
        for age: UInt64 in [3000, 10_000, 19_999] {
            expect(.stay, bench.pass(milliseconds: 2, requests: 40, micros: 50, oldest: age))
        }
        expect(.widen, bench.pass(milliseconds: 2, requests: 40, micros: 50, oldest: 20_000))
    }

    @Test func noRequestIsBegun() {
        var bench = Bench.narrow()
        expect(.stay, bench.pass(milliseconds: 2, requests: 40, micros: 50))
        for _ in 1...9 { expect(.stay, bench.pass(milliseconds: 2, requests: 0, micros: 0)) }
        expect(.widen, bench.pass(milliseconds: 2, requests: 0, micros: 0))
    }

    /// Workers that wait for a database leave the processor to nobody; other programs take it without that.
    @Test(arguments: [true, false]) func processorsDoLess(waits: Bool) {
        var bench = Bench.narrow()
        var decisions: [ListeningWidth.Decision] = []
        for _ in 1...60 {
            decisions.append(bench.pass(milliseconds: 2, requests: 32, micros: 50, oldest: 900, waits: waits))
        }
        #expect(decisions.first == .stay)
        #expect(decisions.contains(.widen) == waits)
    }

    /// The pool has less to do: that is no sign of workers that wait.
    @Test func lessToDo() {
        var bench = Bench.narrow()
        for _ in 1...200 {
            expect(.stay, bench.pass(milliseconds: 2, requests: 10, micros: 50))
            bench.width.nothingWaits()
        }
    }

    @Test func requestsBecomeLong() {
        var bench = Bench.narrow()
        var decisions: [ListeningWidth.Decision] = []
        for _ in 1...60 { decisions.append(bench.pass(milliseconds: 2, requests: 2, micros: 1000)) }
        #expect(decisions.contains(.widen))
    }

    @Test func workersThatLeave() {
        var bench = Bench.narrow()
        bench.workers = 1
        expect(.widen, bench.pass(milliseconds: 2, requests: 40, micros: 50))
        // That was no mistake.
        bench.workers = 4
        let isNarrowAgain = bench.settle()
        #expect(isNarrowAgain)
    }

    /// Each mistake makes the next attempt wait for longer, up to half a minute.
    @Test func mistakesAreNotRepeatedAtOnce() {
        var bench = Bench.narrow()
        for rest: UInt64 in [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 32000, 32000] {
            expect(.widen, bench.pass(milliseconds: 2, requests: 40, micros: 50, oldest: 5000, waits: true))
            let widened = bench.time
            for _ in 1...20_000 where !bench.width.isNarrow {
                _ = bench.pass(milliseconds: 2, requests: 40, micros: 50)
            }
            let waited = (bench.time - widened) / 1_000_000
            #expect(waited >= rest && waited < rest + 110, "after \(waited) ms")
        }
    }

    @Test func mistakesAreForgotten() {
        var bench = Bench.narrow()
        for _ in 1...6 {
            expect(.widen, bench.pass(milliseconds: 2, requests: 40, micros: 50, oldest: 5000, waits: true))
            for _ in 1...20_000 where !bench.width.isNarrow {
                _ = bench.pass(milliseconds: 2, requests: 40, micros: 50)
            }
        }
        for _ in 1...2600 { _ = bench.pass(milliseconds: 2, requests: 40, micros: 50) }
        expect(.widen, bench.pass(milliseconds: 2, requests: 40, micros: 50, oldest: 5000, waits: true))
        let isNarrowAgain = bench.settle()
        #expect(isNarrowAgain)
    }

    /// A pool of pages of 5 ms that only compute, narrow, looked at as it asks for.
    private static func computing(processors: Int = 1) -> Bench {
        var bench = Bench(workers: 4 * processors, processors: processors)
        bench.longest = ListeningWidth.computingRequest
        _ = bench.pass(milliseconds: 1, requests: 0, micros: 0)
        #expect(bench.width.isUndecided(at: bench.time))
        let decision = bench.pass(milliseconds: 100, requests: 20 * Int64(processors), micros: 5000)
        #expect(decision == .narrow)
        #expect(!bench.width.isUndecided(at: bench.time))
        return bench
    }

    @Test(arguments: [(5000, true), (10_000, true), (10_100, false)] as [(UInt64, Bool)])
    func requestsThatCompute(_ micros: UInt64, _ isServedInTurn: Bool) {
        var bench = Bench()
        bench.longest = ListeningWidth.computingRequest
        _ = bench.pass(milliseconds: 1, requests: 0, micros: 0)
        let decision = bench.pass(milliseconds: 20 * micros / 1000, requests: 20, micros: micros)
        #expect(decision == (isServedInTurn ? .narrow : .stay))
        // What it has found holds for some time.
        #expect(!bench.width.isUndecided(at: bench.time))
        #expect(bench.width.isUndecided(at: bench.time + 5_000_000_001) == !isServedInTurn)
    }

    /// Short requests among them would wait for long ones.
    @Test(arguments: [(0.5, true, true), (0.51, false, true), (1.0, false, true), (1.01, false, false)])
    func requestsThatDiffer(_ variation: Double, _ becomesNarrow: Bool, _ staysNarrow: Bool) {
        var bench = Bench(variation: variation)
        bench.longest = ListeningWidth.computingRequest
        _ = bench.pass(milliseconds: 1, requests: 0, micros: 0)
        let decision = bench.pass(milliseconds: 100, requests: 20, micros: 5000)
        #expect(decision == (becomesNarrow ? .narrow : .stay))
        bench = Self.computing()
        bench.variation = variation
        for _ in 1...10 { _ = bench.pass(milliseconds: 15, requests: 3, micros: 5000, oldest: 3000) }
        #expect(bench.width.isNarrow == staysNarrow)
        // Among short ones nobody waits for long.
        bench = .narrow()
        bench.variation = variation
        for _ in 1...100 { expect(.stay, bench.pass(milliseconds: 2, requests: 40, micros: 50)) }
    }

    /// The longer it has been right, the less often it is looked at.
    @Test func looksBecomeRare() {
        let bench = Self.computing()
        #expect(bench.width.pause(at: bench.time) == 5_000_000)
        #expect(bench.width.pause(at: bench.time + 200_000_000) == 16_000_000)
        let short = Bench.narrow()
        #expect(short.width.pause(at: short.time + 200_000_000) == 2_000_000)
    }

    /// Some take up to six times the average; one that does for twice as long and waits is a mistake.
    @Test(
        arguments: [
            (9999, true, ListeningWidth.Decision.stay), (10_000, false, .stay), (10_000, true, .widen),
            (29_999, false, .stay), (30_000, false, .widen),
        ] as [(UInt64, Bool, ListeningWidth.Decision)]
    )
    func longComputing(_ oldest: UInt64, _ waits: Bool, _ expected: ListeningWidth.Decision) {
        var bench = Self.computing()
        // Who began before had to share the processor.
        expect(.stay, bench.pass(milliseconds: 9, requests: 2, micros: 4500, oldest: 40_000, waits: true))
        for _ in 1...4 {
            expect(.stay, bench.pass(milliseconds: 10, requests: 2, micros: 4900, oldest: 4000))
        }
        expect(
            expected,
            bench.pass(milliseconds: 15, requests: 3, micros: 5000, oldest: oldest, waits: waits)
        )
    }

    /// A worker that waits in one look of twenty loses less than the others' caches would; in one of ten it does not.
    @Test(arguments: [(20, false), (10, true)] as [(Int, Bool)])
    func computingAndWaiting(_ every: Int, _ isMistake: Bool) {
        var bench = Self.computing()
        var decisions: [ListeningWidth.Decision] = []
        for look in 1...640 {
            decisions.append(
                bench.pass(
                    milliseconds: 15,
                    requests: 3,
                    micros: 4500,
                    oldest: 3000,
                    waits: look % every == 0
                )
            )
        }
        #expect(decisions.contains(.widen) == isMistake)
    }

    /// With more processors more workers may be found waiting.
    @Test func computingOnManyProcessors() {
        var bench = Self.computing(processors: 4)
        for look in 1...640 {
            let waits = look % 5 == 0
            expect(
                .stay,
                bench.pass(milliseconds: 15, requests: 12, micros: 4500, oldest: 3000, waits: waits)
            )
        }
    }

    /// Pages of another pool, or another kind, in between.
    @Test func shortRequestsBecomeComputing() {
        var bench = Self.computing()
        for _ in 1...200 { expect(.stay, bench.pass(milliseconds: 2, requests: 40, micros: 50)) }
        #expect(bench.width.pause(at: bench.time) == 2_000_000)
        for _ in 1...200 {
            expect(.stay, bench.pass(milliseconds: 15, requests: 3, micros: 5000, oldest: 4000))
        }
        #expect(bench.width.pause(at: bench.time) == 16_000_000)
        for _ in 1...20 { _ = bench.pass(milliseconds: 15, requests: 0, micros: 0) }
        #expect(!bench.width.isNarrow)
    }

    /// A worker may write anything into its counters.
    @Test func nonsense() {
        var bench = Bench.narrow()
        bench.begun = .max
        _ = bench.pass(milliseconds: 60, requests: 0, micros: 0)
        bench.begun = .min
        _ = bench.pass(milliseconds: 60, requests: 0, micros: 0)
        bench.time = 0
        _ = bench.pass(milliseconds: 0, requests: 1, micros: 1)
    }
}
