import Configuration
import PoolPolicy
import Testing

/// How a pool begins, and what waiting connections do to it.
@Suite struct GrowthTests {
    @Test(arguments: [
        (PoolLimits.fixed(4), [Action.spawn(4, isRespawn: false)]),
        (.dynamic(9, start: 3), [.spawn(3, isRespawn: false)]),
        (.dynamic(2, start: 3), [.spawn(2, isRespawn: false)]),
        (.dynamic(2, start: 0), []),
        (.ondemand(4), []),
    ])
    func poolBegins(limits: PoolLimits, expected: [Action]) {
        var policy = PoolPolicy(limits: limits)
        #expect(policy.begin() == expected)
        #expect(policy.running == 0, "only the master knows what was started")
    }

    @Test func limitsComeFromTheDirectives() {
        var settings = PoolSettings(name: "www")
        settings.processManager = .dynamic
        settings.maxChildren = 40
        settings.startServers = 7
        settings.minSpareServers = 5
        settings.maxSpareServers = 11
        settings.maxSpawnRate = 16
        let expected = PoolLimits(
            manager: .dynamic,
            maxChildren: 40,
            startServers: 7,
            minSpare: 5,
            maxSpare: 11,
            maxSpawnRate: 16
        )
        #expect(PoolLimits(settings) == expected)
    }

    struct Wait: CustomTestStringConvertible {
        var limits = PoolLimits.ondemand(10)
        var running: Int
        var starting = 0
        var depth: Int
        var expected: [Action]
        var testDescription: String { "\(running) running, \(starting) starting, \(depth) waiting" }
    }

    @Test(arguments: [
        Wait(running: 0, depth: 1, expected: [.spawn(1, isRespawn: false)]),
        Wait(running: 0, depth: 3, expected: [.spawn(3, isRespawn: false)]),
        // Those under way take their share first.
        Wait(running: 2, starting: 2, depth: 2, expected: []),
        Wait(running: 2, starting: 2, depth: 3, expected: [.spawn(1, isRespawn: false)]),
        Wait(running: 2, starting: 2, depth: 1, expected: []),
        // Ready workers are busy, or nothing would wait.
        Wait(running: 5, depth: 2, expected: [.spawn(2, isRespawn: false)]),
        // No more than there is room for.
        Wait(running: 8, depth: 5, expected: [.spawn(2, isRespawn: false)]),
        Wait(running: 9, starting: 3, depth: 100, expected: [.spawn(1, isRespawn: false)]),
        // The limit is news only if nobody is coming.
        Wait(running: 10, depth: 1, expected: [.limitReached]),
        Wait(running: 10, starting: 1, depth: 5, expected: []),
        Wait(limits: .dynamic(4), running: 4, depth: 1, expected: [.limitReached]),
        Wait(limits: .dynamic(4), running: 2, depth: 5, expected: [.spawn(2, isRespawn: false)]),
        Wait(limits: .fixed(4), running: 4, depth: 9, expected: []),
        Wait(limits: .fixed(4), running: 3, depth: 9, expected: [.spawn(1, isRespawn: false)]),
        // Nothing waits.
        Wait(running: 0, depth: 0, expected: []),
    ])
    func connectionsWait(wait: Wait) {
        var policy = PoolPolicy(wait.limits, running: wait.running, starting: wait.starting)
        #expect(policy.connectionsWait(wait.depth, at: 0) == wait.expected)
    }

    @Test func limitIsReportedOncePerEpisode() {
        var policy = PoolPolicy(.ondemand(2), running: 2)
        #expect(policy.connectionsWait(1, at: 0) == [.limitReached])
        #expect(policy.connectionsWait(1, at: 1) == [])
        #expect(policy.connectionsWait(9, at: second) == [])
        // A worker leaves without need for another: the episode goes on.
        #expect(policy.lose() == [])
        policy.spawnRequested(1)
        policy.workerReady()
        #expect(policy.connectionsWait(1, at: 2 * second) == [])
        // Growth ends the episode.
        #expect(policy.lose() == [])
        #expect(policy.obey(policy.connectionsWait(1, at: 3 * second)) == [.spawn(1, isRespawn: false)])
        #expect(policy.connectionsWait(1, at: 4 * second) == [.limitReached])
    }

    @Test func nothingStartsWhileHeldBack() {
        var policy = PoolPolicy(.ondemand(4), running: 4)
        for _ in 0..<4 { _ = policy.lose(.beforeAnyRequest) }
        #expect(policy.heldBack(at: 0) == 100 * millisecond)
        #expect(policy.connectionsWait(3, at: 100 * millisecond - 1) == [])
        #expect(policy.heldBack(at: 100 * millisecond) == nil)
        #expect(policy.connectionsWait(3, at: 100 * millisecond) == [.spawn(3, isRespawn: false)])
    }

    @Test func spawnsThatFailLeaveRoom() {
        var policy = PoolPolicy(limits: .ondemand(2))
        policy.spawnRequested(2)
        #expect((policy.running, policy.starting, policy.room) == (2, 2, 0))
        policy.spawnFailed()
        #expect((policy.running, policy.starting, policy.room) == (1, 1, 1))
        policy.workerReady()
        #expect((policy.running, policy.starting) == (1, 0))
        #expect(policy.connectionsWait(5, at: 0) == [.spawn(1, isRespawn: false)])
    }

    @Test func countsNeverGoBelowZero() {
        var policy = PoolPolicy(limits: .ondemand(2))
        policy.spawnFailed()
        policy.workerReady()
        _ = policy.lose()
        #expect((policy.running, policy.starting, policy.room) == (0, 0, 2))
    }
}
