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
        Case(requests: [(1023, 100)], isProven: false),
        Case(requests: [(1024, 100)], isProven: true),
        Case(requests: [(2000, 900)], isProven: true),
        Case(requests: [(2000, 1100)], isProven: false),
        // A processor that somebody else had for some milliseconds.
        Case(requests: [(2000, 100), (4, 5000)], isProven: true),
        Case(requests: [(2000, 100), (8, 5000)], isProven: false),
        Case(requests: [(2000, 100), (8, 5000), (30, 100)], isProven: true),
        // A long one has to be made up for, however long it was.
        Case(requests: [(2000, 100), (1, 15_000)], isProven: false),
        Case(requests: [(2000, 100), (1, .max), (1023, 100)], isProven: false),
        Case(requests: [(2000, 100), (1, .max), (1024, 100)], isProven: true),
        Case(requests: [(2000, .min)], isProven: true),
    ]

    @Test(arguments: 0..<cases.count) func shown(number: Int) {
        let one = Self.cases[number]
        var brevity = Brevity()
        for (count, microseconds) in one.requests {
            for _ in 0..<count { brevity.served(microseconds: microseconds) }
        }
        #expect(brevity.isProven == one.isProven, "\(one.requests)")
    }

    @Test(
        arguments: [
            ([], false), ([400], false), ([100_000], true), ([2000], true), ([1999], false),
            ([.max, 30, 30], true),
            // Some short ones are enough to forget it.
            ([64_000] + [Int64](repeating: 30, count: 11), true),
            ([64_000] + [Int64](repeating: 30, count: 20), false),
            ([.min], false),
        ] as [([Int64], Bool)]
    )
    func mayBeLong(requests: [Int64], expected: Bool) {
        var brevity = Brevity()
        for microseconds in requests { brevity.served(microseconds: microseconds) }
        #expect(brevity.mayBeLong == expected)
    }

    /// How many short requests prove it again.
    private func repair(_ brevity: inout Brevity) -> Int {
        var count = 0
        while !brevity.isProven, count < 1_000_000 {
            brevity.served(microseconds: 100)
            count += 1
        }
        return count
    }

    @Test func eachMistakeCostsTwiceAsMuch() {
        var brevity = Brevity()
        _ = repair(&brevity)
        var pauses: [Int] = []
        for _ in 0..<8 {
            brevity.heldOthersUp()
            pauses.append(repair(&brevity))
        }
        #expect(pauses == [1024, 2048, 4096, 8192, 16384, 32768, 65536, 65536])
        // Long requests make up for nothing.
        brevity.heldOthersUp()
        for _ in 0..<65_536 { brevity.served(microseconds: 1001) }
        #expect(repair(&brevity) == 65_536)
    }

    @Test func mistakesAreForgotten() {
        var brevity = Brevity()
        for _ in 0..<2 {
            brevity.heldOthersUp()
            _ = repair(&brevity)
        }
        for _ in 0..<4 * 2048 { brevity.served(microseconds: 100) }
        brevity.heldOthersUp()
        #expect(repair(&brevity) == 1024)
    }
}
