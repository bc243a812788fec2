import PoolPolicy
import Testing

@Suite struct AdaptiveAttemptTests {
    /// How many opportunities are left out until the next attempt.
    private func pause(_ attempt: inout AdaptiveAttempt) -> Int {
        var count = 0
        while !attempt.isWorthwhile() { count += 1 }
        return count
    }

    @Test func successIsTriedEachTime() {
        var attempt = AdaptiveAttempt()
        for _ in 0..<3 {
            #expect(pause(&attempt) == 0)
            attempt.ended(successfully: true)
        }
    }

    @Test func eachFailureInARowMakesThePauseLonger() {
        var attempt = AdaptiveAttempt()
        var pauses: [Int] = []
        for _ in 0..<8 {
            pauses.append(pause(&attempt))
            attempt.ended(successfully: false)
        }
        #expect(pauses == [0, 8, 16, 32, 64, 128, 256, 256])
    }

    @Test func oneSuccessEndsThePauses() {
        var attempt = AdaptiveAttempt()
        for _ in 0..<5 {
            _ = pause(&attempt)
            attempt.ended(successfully: false)
        }
        _ = pause(&attempt)
        attempt.ended(successfully: true)
        #expect(pause(&attempt) == 0)
        attempt.ended(successfully: false)
        #expect(pause(&attempt) == 8)
    }
}
