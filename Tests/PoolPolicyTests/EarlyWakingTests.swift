import PoolPolicy
import Testing

@Suite struct EarlyWakingTests {
    /// What is known after so many pauses before requests; nil: the worker had not slept.
    private static func waking(after pauses: [UInt64?]) -> EarlyWaking {
        var waking = EarlyWaking()
        for pause in pauses { waking.begins(after: pause) }
        return waking
    }

    private static let soon = [UInt64?](repeating: 60_000, count: 32)

    @Test(
        arguments: [
            ([], false),
            (Array(soon.dropFirst()), false),
            (soon, true),
            (soon + soon, true),
            (soon + [200_000], false),
            (soon + [199_999], true),
            (soon + [nil], false),
            (soon + [7_999], false),
            (soon + [8_000], true),
            ([UInt64?](repeating: nil, count: 100), false),
            (soon + [500_000] + soon, true),
            (soon + [500_000] + soon.dropFirst(), false),
        ] as [([UInt64?], Bool)]
    )
    func onlyAClientThatComesAtOnceAgainAndAgain(_ pauses: [UInt64?], _ expected: Bool) {
        var waking = Self.waking(after: pauses)
        let isWorthwhile = waking.isWorthwhile()
        #expect(isWorthwhile == expected)
    }

    @Test func failuresMakeItRare() {
        var waking = Self.waking(after: Self.soon)
        var attempts: [Int] = []
        for answer in 0..<100 where waking.isWorthwhile() {
            attempts.append(answer)
            waking.ended(successfully: false)
        }
        #expect(attempts == [0, 9, 26, 59])
        waking = Self.waking(after: Self.soon)
        for _ in 0..<100 {
            let isWorthwhile = waking.isWorthwhile()
            #expect(isWorthwhile)
            waking.ended(successfully: true)
        }
    }
}
