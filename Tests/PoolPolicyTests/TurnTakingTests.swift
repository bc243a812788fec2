import PoolPolicy
import Testing

@Suite struct TurnTakingTests {
    private static let millisecond: UInt64 = 1_000_000

    /// Milliseconds until the worker gives way again, asked in steps of 0.1 ms.
    private func pause(_ turns: TurnTaking, after now: UInt64) -> Double {
        var time = now
        while !turns.isDue(at: time) { time += Self.millisecond / 10 }
        return Double(time - now) / Double(Self.millisecond)
    }

    @Test func givesWayBeforeTheSliceIsOver() {
        var turns = TurnTaking()
        #expect(turns.isDue(at: 1))
        turns.returned(since: 1000, at: 2000, othersDid: false)
        #expect(pause(turns, after: 2000) == 0.5)
        // Nobody wanted the processor: that costs little, so it goes on asking.
        turns.returned(since: 3000, at: 4000, othersDid: false)
        #expect(pause(turns, after: 4000) == 0.5)
    }

    @Test func asksLessOftenBesideAnotherProgram() {
        var turns = TurnTaking()
        var now: UInt64 = 0
        var pauses: [Double] = []
        for _ in 0..<9 {
            turns.returned(since: now, at: now + 3 * Self.millisecond, othersDid: false)
            now += 3 * Self.millisecond
            pauses.append(pause(turns, after: now))
            now += 100 * Self.millisecond
        }
        #expect(pauses == [1, 2, 4, 8, 16, 32, 64, 64, 64])
        // A worker ran: turns are taken again.
        turns.returned(since: now, at: now + Self.millisecond, othersDid: true)
        #expect(pause(turns, after: now + Self.millisecond) == 0.5)
    }
}
