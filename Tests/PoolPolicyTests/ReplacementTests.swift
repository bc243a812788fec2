import Configuration
import PoolPolicy
import Testing

/// Who follows a worker that has ended, and when.
@Suite struct ReplacementTests {
    @Test(arguments: [
        (PoolLimits.fixed(4), 4, [Action.spawn(1, isRespawn: true)]),
        // What is missing besides is started too.
        (.fixed(4), 2, [.spawn(3, isRespawn: true)]),
        (.dynamic(8, spare: 1...3), 5, [.spawn(1, isRespawn: true)]),
        (.dynamic(8, spare: 4...6), 2, [.spawn(3, isRespawn: true)]),
        (.ondemand(4), 4, []),
    ])
    func workerEnds(limits: PoolLimits, running: Int, expected: [Action]) {
        var policy = PoolPolicy(limits, running: running)
        #expect(policy.lose() == expected)
        #expect(policy.running == running - 1)
    }

    @Test(arguments: [PoolLimits.fixed(4), .dynamic(4), .ondemand(4)])
    func retiredWorkerIsNotReplaced(limits: PoolLimits) {
        var policy = PoolPolicy(limits, running: 4)
        #expect(policy.workerEnded(wasRetired: true, wasReady: true, failure: .none, at: 0) == [])
        #expect(policy.running == 3)
        #expect(policy.room == 1)
    }

    @Test func workerThatWasNotReadyIsNoLongerStarting() {
        var policy = PoolPolicy(.ondemand(4), running: 3, starting: 2)
        _ = policy.workerEnded(wasRetired: false, wasReady: false, failure: .none, at: 0)
        #expect((policy.running, policy.starting) == (2, 1))
        _ = policy.lose()
        #expect((policy.running, policy.starting) == (1, 1))
    }

    // MARK: - Workers that die at once

    @Test func deathsBeforeAnyRequestAreAnsweredWithPatience() {
        var policy = PoolPolicy(.fixed(2), running: 2)
        var now: UInt64 = 0
        for _ in 0..<3 {
            #expect(policy.obey(policy.lose(.beforeAnyRequest, at: now)) == [.spawn(1, isRespawn: true)])
        }
        let delays: [UInt64] = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        for (failures, delay) in zip(4..., delays) {
            let actions = policy.lose(.beforeAnyRequest, at: now)
            #expect(actions == [.backOff(failures: failures, delay: delay * millisecond)])
            #expect(policy.tick(PoolPolicy.Counts(idle: 0), at: now) == [], "a tick does not hurry it")
            now += delay * millisecond
            #expect(policy.obey(policy.backoffEnded(at: now)) == [.spawn(1, isRespawn: true)])
        }
    }

    @Test func anOrderlyEndForgetsTheFailures() {
        var policy = PoolPolicy(.fixed(9), running: 9)
        for _ in 0..<4 { _ = policy.lose(.beforeAnyRequest) }
        #expect(policy.heldBack(at: 0) != nil)
        #expect(policy.lose() == [.spawn(5, isRespawn: true)])
        #expect(policy.heldBack(at: 0) == nil)
        policy.spawnRequested(5)
        #expect(policy.lose(.beforeAnyRequest) == [.spawn(1, isRespawn: true)], "the count starts again")
    }

    @Test(arguments: [
        (PoolLimits.fixed(6), [Action.spawn(4, isRespawn: true)]),
        (.dynamic(6, spare: 4...5), [.spawn(2, isRespawn: true)]),
        (.dynamic(6, spare: 1...2), [.spawn(1, isRespawn: true)]),
        (.ondemand(6), []),
    ])
    func patienceEnds(limits: PoolLimits, expected: [Action]) {
        var policy = PoolPolicy(limits, running: 6)
        for _ in 0..<4 { _ = policy.lose(.beforeAnyRequest) }
        #expect(
            policy.backoffEnded(at: 99 * millisecond) == [.backOff(failures: 0, delay: millisecond)],
            "too early"
        )
        #expect(policy.backoffEnded(at: 100 * millisecond) == expected)
    }

    // MARK: - Workers that requests kill

    @Test func manyDeathsInRequestsAreReplacedAtABoundedRate() {
        var policy = PoolPolicy(.fixed(200), running: 200)
        var started = 0
        var delay: UInt64?
        for _ in 0..<200 {
            let actions = policy.obey(policy.lose(.inRequest))
            started += actions.spawned
            delay = actions.delay ?? delay
        }
        #expect(started == 16)
        // Then one every 50 ms, each announced by the one before.
        var now: UInt64 = 0
        while let wait = delay {
            #expect(wait == 50 * millisecond)
            now += wait
            let actions = policy.obey(policy.backoffEnded(at: now))
            #expect(actions.spawned == 1)
            started += 1
            delay = actions.delay
        }
        #expect(started == 200)
        #expect(policy.running == 200)
        #expect(now == 184 * 50 * millisecond)
    }

    /// However workers end and whoever asks, requests that kill cause no more forks than the rate allows.
    @Test(arguments: [PoolLimits.fixed(40), .dynamic(40, spare: 2...4), .ondemand(40)])
    func everyWayToGrowIsBounded(limits: PoolLimits) {
        var policy = PoolPolicy(limits, running: 40)
        var started = 0
        for _ in 0..<40 { started += policy.obey(policy.lose(.inRequest)).spawned }
        started += policy.obey(policy.connectionsWait(100, at: 0)).spawned
        started += policy.obey(policy.tick(PoolPolicy.Counts(idle: 0), at: 0)).spawned
        started += policy.obey(policy.backoffEnded(at: 0)).spawned
        #expect(started <= 16)
        // An orderly end is replaced, and opens no door for the others.
        if policy.running > 0 {
            let actions = policy.obey(policy.lose(.none))
            #expect(actions.spawned <= 1)
        }
        #expect(
            policy.connectionsWait(100, at: 0).filter { $0 == .limitReached } == [],
            "the limit is not reached"
        )
        #expect(policy.room <= 16)
    }

    @Test func killedWorkersOfADynamicPoolAreReplacedOneByOne() {
        var policy = PoolPolicy(.dynamic(100, spare: 2...4), running: 50)
        var started = 0
        for _ in 0..<20 { started += policy.obey(policy.lose(.inRequest)).spawned }
        #expect(started == 16)
        for step in 1...4 {
            let actions = policy.obey(policy.backoffEnded(at: UInt64(step) * 50 * millisecond))
            #expect(actions.spawned == 1)
            #expect((actions.delay == nil) == (step == 4), "as long as one is owed, its turn is announced")
        }
        #expect(policy.running == 50)
        #expect(policy.backoffEnded(at: second) == [])
    }

    @Test func ondemandPoolsWaitForTheirTurnToo() {
        var policy = PoolPolicy(.ondemand(1), running: 1)
        for _ in 0..<16 {
            #expect(policy.lose(.inRequest) == [])
            #expect(policy.obey(policy.connectionsWait(1, at: 0)).spawned == 1)
        }
        #expect(policy.lose(.inRequest) == [.backOff(failures: 0, delay: 50 * millisecond)])
        #expect(policy.room == 0)
        #expect(policy.connectionsWait(1, at: 0) == [], "neither a worker nor a report of a limit")
        #expect(policy.backoffEnded(at: 50 * millisecond) == [])
        #expect(policy.connectionsWait(1, at: 50 * millisecond).spawned == 1)
    }
}
