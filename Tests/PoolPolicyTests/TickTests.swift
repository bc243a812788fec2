import Configuration
import PoolPolicy
import Testing

/// What the policy decides once a second.
@Suite struct TickTests {
    struct Tick: CustomTestStringConvertible {
        var limits: PoolLimits
        var running: Int
        var starting = 0
        var idle: Int
        var tooLong = 0
        var expected: [Action]
        var testDescription: String {
            "\(limits.manager): \(running) running, \(idle) idle, \(starting) starting"
        }
    }

    @Test(arguments: [
        // Between the bounds nothing happens, bounds included.
        Tick(limits: .dynamic(20, spare: 2...4), running: 9, idle: 2, expected: []),
        Tick(limits: .dynamic(20, spare: 2...4), running: 9, idle: 4, expected: []),
        // However many are surplus, one goes, and all that have been so for long.
        Tick(limits: .dynamic(20, spare: 2...4), running: 9, idle: 5, expected: [.retireIdle(1)]),
        Tick(limits: .dynamic(20, spare: 2...4), running: 9, idle: 9, expected: [.retireIdle(1)]),
        Tick(limits: .dynamic(20, spare: 2...4), running: 9, idle: 9, tooLong: 3, expected: [.retireIdle(3)]),
        Tick(limits: .dynamic(20, spare: 2...4), running: 9, idle: 9, tooLong: 8, expected: [.retireIdle(5)]),
        Tick(limits: .dynamic(20, spare: 2...4), running: 9, idle: 4, tooLong: 4, expected: []),
        // Below the lower bound the first step is one worker.
        Tick(
            limits: .dynamic(20, spare: 4...6),
            running: 9,
            idle: 0,
            expected: [.spawn(1, isRespawn: false)]
        ),
        // Workers under way are spare workers soon.
        Tick(limits: .dynamic(20, spare: 2...4), running: 9, starting: 2, idle: 0, expected: []),
        Tick(
            limits: .dynamic(20, spare: 2...4),
            running: 9,
            starting: 1,
            idle: 0,
            expected: [.spawn(1, isRespawn: false)]
        ),
        // But no reason to send others away before they are there.
        Tick(limits: .dynamic(20, spare: 2...4), running: 9, starting: 3, idle: 4, expected: []),
        // At the limit.
        Tick(limits: .dynamic(9, spare: 2...4), running: 9, idle: 1, expected: [.limitReached]),
        Tick(limits: .dynamic(9, spare: 2...4), running: 9, idle: 2, expected: []),
        // Ondemand: only idling for too long counts, all such workers at once.
        Tick(limits: .ondemand(9), running: 5, idle: 5, expected: []),
        Tick(limits: .ondemand(9), running: 5, idle: 5, tooLong: 1, expected: [.retireIdle(1)]),
        Tick(limits: .ondemand(9), running: 5, idle: 5, tooLong: 5, expected: [.retireIdle(5)]),
        Tick(limits: .ondemand(9), running: 0, idle: 0, expected: []),
        // Static: what could not be started is started later; idle workers stay.
        Tick(limits: .fixed(9), running: 9, idle: 9, tooLong: 9, expected: []),
        Tick(limits: .fixed(9), running: 9, idle: 0, expected: []),
        Tick(limits: .fixed(9), running: 6, starting: 2, idle: 0, expected: [.spawn(3, isRespawn: true)]),
    ])
    func oneTick(tick: Tick) {
        var policy = PoolPolicy(tick.limits, running: tick.running, starting: tick.starting)
        let counts = PoolPolicy.Counts(idle: tick.idle, idleTooLong: tick.tooLong)
        #expect(policy.tick(counts, at: 0) == tick.expected)
    }

    @Test func growthDoublesAndOvershoots() {
        var policy = PoolPolicy(.dynamic(200, spare: 100...120, rate: 5), running: 1)
        let none = PoolPolicy.Counts(idle: 0)
        #expect(policy.obey(policy.tick(none, at: 0)) == [.spawn(1, isRespawn: false)])
        #expect(policy.obey(policy.tick(none, at: 1)) == [.spawn(2, isRespawn: false)])
        #expect(policy.obey(policy.tick(none, at: 2)) == [.spawn(4, isRespawn: false)])
        // php-fpm doubles while the rate is below the limit: 4 becomes 8, beyond a limit of 5.
        for time in 3..<6 {
            #expect(
                policy.obey(policy.tick(none, at: UInt64(time)))
                    == [.seemsBusy(spawning: 8), .spawn(8, isRespawn: false)]
            )
        }
    }

    @Test func busyIsSaidFromARateOfEight() {
        var policy = PoolPolicy(.dynamic(200, spare: 100...120), running: 1)
        var said: [Int] = []
        for time in 0..<7 {
            let actions = policy.obey(policy.tick(PoolPolicy.Counts(idle: 0), at: UInt64(time)))
            for case .seemsBusy(let count) in actions { said.append(count) }
        }
        #expect(said == [8, 16, 32, 32])
    }

    @Test func spawnsAreBoundedBySpareAndRoom() {
        var bySpare = PoolPolicy(.dynamic(200, spare: 3...9), running: 50)
        _ = bySpare.tick(PoolPolicy.Counts(idle: 0), at: 0)
        _ = bySpare.tick(PoolPolicy.Counts(idle: 0), at: 1)
        #expect(bySpare.tick(PoolPolicy.Counts(idle: 0), at: 2) == [.spawn(3, isRespawn: false)])
        #expect(
            bySpare.tick(PoolPolicy.Counts(idle: 2), at: 3)
                == [.seemsBusy(spawning: 8), .spawn(1, isRespawn: false)]
        )

        var byRoom = PoolPolicy(.dynamic(52, spare: 30...40), running: 50)
        _ = byRoom.tick(PoolPolicy.Counts(idle: 0), at: 0)
        _ = byRoom.tick(PoolPolicy.Counts(idle: 0), at: 1)
        #expect(byRoom.tick(PoolPolicy.Counts(idle: 0), at: 2) == [.spawn(2, isRespawn: false)])
    }

    /// Enough spare workers, too many, and the limit each begin the doubling anew.
    @Test(arguments: [2, 9])
    func rateStartsAgain(idle: Int) {
        var policy = PoolPolicy(.dynamic(100, spare: 2...4), running: 10)
        _ = policy.tick(PoolPolicy.Counts(idle: 0), at: 0)
        _ = policy.tick(PoolPolicy.Counts(idle: 0), at: 1)
        _ = policy.tick(PoolPolicy.Counts(idle: idle), at: 2)
        #expect(policy.tick(PoolPolicy.Counts(idle: 0), at: 3) == [.spawn(1, isRespawn: false)])
    }

    @Test func rateStartsAgainAtTheLimit() {
        var policy = PoolPolicy(.dynamic(13, spare: 10...11), running: 10)
        let none = PoolPolicy.Counts(idle: 0)
        policy.obey(policy.tick(none, at: 0))
        policy.obey(policy.tick(none, at: 1))
        #expect(policy.running == 13)
        #expect(policy.tick(none, at: 2) == [.limitReached])
        for _ in 0..<5 { _ = policy.workerEnded(wasRetired: true, wasReady: true, failure: .none, at: 3) }
        #expect(policy.tick(none, at: 4) == [.spawn(1, isRespawn: false)])
    }

    @Test func limitIsReportedOncePerEpisode() {
        var policy = PoolPolicy(.dynamic(4, spare: 2...3), running: 4)
        let none = PoolPolicy.Counts(idle: 0)
        #expect(policy.tick(none, at: 0) == [.limitReached])
        #expect(policy.tick(none, at: 1) == [])
        #expect(policy.connectionsWait(7, at: 1) == [])
        // Enough spare workers do not end the episode: only growth does.
        #expect(policy.tick(PoolPolicy.Counts(idle: 2), at: 2) == [])
        #expect(policy.tick(none, at: 3) == [])
        _ = policy.workerEnded(wasRetired: true, wasReady: true, failure: .none, at: 4)
        #expect(policy.obey(policy.tick(none, at: 5)) == [.spawn(1, isRespawn: false)])
        #expect(policy.tick(none, at: 6) == [.limitReached])
    }

    @Test func nothingGrowsWhileHeldBack() {
        var policy = PoolPolicy(.dynamic(8, spare: 2...3), running: 5)
        for _ in 0..<4 { _ = policy.lose(.beforeAnyRequest) }
        #expect(policy.tick(PoolPolicy.Counts(idle: 0), at: 0) == [])
        #expect(
            policy.tick(PoolPolicy.Counts(idle: 0), at: 100 * millisecond) == [.spawn(1, isRespawn: false)]
        )
    }
}
