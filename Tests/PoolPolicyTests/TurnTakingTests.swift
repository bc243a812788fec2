import PoolPolicy
import Testing

@Suite struct TurnTakingTests {
    @Test func anUndisturbedWorkerGoesOn() {
        var turns = TurnTaking()
        #expect(turns.isDue(at: 1_000_000))
        let first = turns.givesWay(at: 1_000_000, interruptions: 0)
        #expect(!first)
        #expect(!turns.isDue(at: 1_400_000))
        #expect(turns.isDue(at: 1_500_000))
        let second = turns.givesWay(at: 1_500_000, interruptions: 0)
        #expect(!second)
    }

    @Test func aDisturbedWorkerGivesWayForAWhile() {
        var turns = TurnTaking()
        _ = turns.givesWay(at: 0, interruptions: 7)
        var given = 0
        var now: UInt64 = 0
        for _ in 0..<300 {
            now += 500_000
            #expect(turns.isDue(at: now))
            if turns.givesWay(at: now, interruptions: 7) { given += 1 }
        }
        #expect(given == 99)
        let again = turns.givesWay(at: now + 500_000, interruptions: 8)
        #expect(again)
    }
}
