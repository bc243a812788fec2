import PoolPolicy
import Testing

@Suite struct PaceTests {
    private static let millisecond: UInt64 = 1_000_000

    @Test(
        arguments: [
            // Nothing begun, and something begun, in too short a time.
            (0, 4, 8, .tooEarly), (100, 4, 8, .tooEarly),
            // All workers are blocked.
            (0, 5, 8, .standing), (0, 5, 0, .standing),
            // An application's pages: 6 ms on two processors, 4 workers.
            (4, 24, 4, .standing), (1, 6, 1, .standing),
            // 100 workers, 50 ms each.
            (40, 20, 100, .standing),
            // Twice that.
            (80, 20, 100, .unclear),
            // Small pages, whatever the number of workers.
            (150, 5, 4, .moving), (150, 5, 400, .moving), (50, 5, 1, .moving),
            // A worker that lies.
            (-5, 5, 4, .standing),
        ] as [(Int64, UInt64, Int, Pace.Verdict)]
    )
    func judges(_ begun: Int64, _ milliseconds: UInt64, _ workers: Int, _ verdict: Pace.Verdict) {
        let before = Pace(begun: 1000, time: 7)
        let after = Pace(begun: 1000 + begun, time: 7 + milliseconds * Self.millisecond)
        #expect(after.verdict(since: before, workers: workers) == verdict)
    }

    @Test func clockThatStandsStill() {
        let pace = Pace(begun: 5, time: 100)
        #expect(pace.verdict(since: pace, workers: 1) == .tooEarly)
        #expect(Pace(begun: 5, time: 1).verdict(since: pace, workers: 1) == .tooEarly)
    }
}
