import PoolPolicy
import Testing

/// The two clocks of patience, with a fake time.
@Suite struct PatienceTests {
    @Test func backoffDoublesUpToTenSeconds() {
        var backoff = Backoff()
        let delays = (0..<14).map { _ in backoff.failed(at: 0).map { $0 / millisecond } }
        let expected: [UInt64?] = [
            nil, nil, nil, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 10_000,
        ]
        #expect(delays == expected)
        #expect(backoff.failures == 14)
    }

    @Test func backoffLastsUntilItsTime() {
        var backoff = Backoff()
        #expect(backoff.notBefore(0) == nil)
        for _ in 0..<4 { _ = backoff.failed(at: 7 * second) }
        let end = 7 * second + 100 * millisecond
        #expect(backoff.notBefore(7 * second) == end)
        #expect(backoff.notBefore(end - 1) == end)
        #expect(backoff.notBefore(end) == nil)
    }

    @Test func successForgets() {
        var backoff = Backoff()
        for _ in 0..<9 { _ = backoff.failed(at: 0) }
        backoff.succeeded()
        #expect(backoff == Backoff())
        #expect(backoff.notBefore(0) == nil)
        #expect(backoff.failed(at: 0) == nil)
    }

    @Test func bucketHoldsItsBurst() {
        var limit = RateLimit(burst: 3, perSecond: 10)
        #expect((0..<3).allSatisfy { _ in limit.take(at: 0) == nil })
        #expect(limit.take(at: 0) == 100 * millisecond)
        #expect(limit.take(at: 60 * millisecond) == 40 * millisecond, "a refusal takes nothing")
        #expect(limit.take(at: 100 * millisecond) == nil)
        #expect(limit.take(at: 100 * millisecond) == 100 * millisecond)
    }

    @Test func bucketFillsToItsBurstOnly() {
        var limit = RateLimit(burst: 3, perSecond: 10)
        for _ in 0..<3 { _ = limit.take(at: 5 * second) }
        // Two intervals later there are two tokens, an hour later three.
        #expect(limit.take(at: 5 * second + 200 * millisecond) == nil)
        #expect(limit.take(at: 5 * second + 200 * millisecond) == nil)
        #expect(limit.take(at: 5 * second + 200 * millisecond) != nil)
        #expect((0..<3).allSatisfy { _ in limit.take(at: 3600 * second) == nil })
        #expect(limit.take(at: 3600 * second) != nil)
    }

    @Test func nonsenseMeansOne() {
        var limit = RateLimit(burst: -4, perSecond: 0)
        #expect(limit.take(at: 0) == nil)
        #expect(limit.take(at: 0) == second)
    }
}
