import PoolPolicy
import Testing

@Suite struct BrevityTests {
    /// After so many requests of so many microseconds, and then the next.
    private struct Case {
        var requests: [(count: Int, microseconds: Int64)]
        var isProven: Bool
    }

    private static let cases = [
        Case(requests: [], isProven: false),
        Case(requests: [(40, 100)], isProven: false),
        Case(requests: [(50, 100)], isProven: true),
        Case(requests: [(1000, 900)], isProven: true),
        Case(requests: [(1000, 1100)], isProven: false),
        // A processor that somebody else had for some milliseconds.
        Case(requests: [(1000, 100), (4, 5000)], isProven: true),
        Case(requests: [(1000, 100), (8, 5000)], isProven: false),
        // A long one has to be made up for, however long it was.
        Case(requests: [(1000, 100), (1, 60_000)], isProven: false),
        Case(requests: [(1000, 100), (1, .max), (20, 100)], isProven: false),
        Case(requests: [(1000, 100), (1, .max), (30, 100)], isProven: true),
        Case(requests: [(1000, .min)], isProven: true),
    ]

    @Test(arguments: 0..<cases.count) func shown(number: Int) {
        let one = Self.cases[number]
        var brevity = Brevity()
        for (count, microseconds) in one.requests {
            for _ in 0..<count { brevity.served(microseconds: microseconds) }
        }
        #expect(brevity.isProven == one.isProven, "\(one.requests)")
    }

    @Test func oneLongRequestInThirtyIsTooMany() {
        var brevity = Brevity()
        var proven = 0
        for _ in 0..<100 {
            for _ in 0..<30 { brevity.served(microseconds: 300) }
            brevity.served(microseconds: 100_000)
            if brevity.isProven { proven += 1 }
        }
        #expect(proven == 0)
    }
}
