import Configuration
import PoolPolicy
import Testing

/// Any sequence of events keeps the policy's promises.
@Suite struct RandomEventTests {
    /// SplitMix64: the same events for the same seed.
    struct Source: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }

    /// A master that does what the policy says, and knows the truth about its workers.
    struct Model {
        var policy: PoolPolicy
        var source: Source
        var now: UInt64 = 0
        var starting = 0
        var ready = 0
        var retiring = 0
        var limitReports = 0
        var hasGrown = true

        init(limits: PoolLimits, seed: UInt64) {
            policy = PoolPolicy(limits: limits)
            source = Source(state: seed)
        }

        mutating func perform(_ actions: [Action], _ event: String) {
            for action in actions {
                switch action {
                case .spawn(let count, _):
                    #expect(count > 0, "\(event)")
                    #expect(count <= policy.room, "\(event)")
                    #expect(policy.heldBack(at: now) == nil, "\(event)")
                    // process.max may allow fewer.
                    let allowed = Int.random(in: 0...count, using: &source)
                    policy.spawnRequested(allowed)
                    starting += allowed
                    hasGrown = true
                case .retireIdle(let count):
                    #expect(policy.limits.manager != .static)
                    #expect(count >= 1)
                    retiring = min(ready, retiring + count)
                case .limitReached:
                    #expect(policy.running >= policy.limits.maxChildren, "\(event)")
                    #expect(policy.limits.manager != .static)
                    #expect(hasGrown, "the same episode is reported twice")
                    hasGrown = false
                case .seemsBusy(let count): #expect(count >= 8)
                case .backOff(_, let delay): #expect(delay > 0 && delay <= 10 * second)
                }
            }
            #expect(actions.count { if case .retireIdle = $0 { true } else { false } } <= 1)
            #expect(policy.running == starting + ready, "\(event)")
            #expect(policy.starting == starting, "\(event)")
            #expect(policy.running <= policy.limits.maxChildren, "\(event)")
            #expect(policy.room >= 0)
        }

        mutating func end(isRetired: Bool) {
            let wasReady = starting == 0 || (ready > 0 && Bool.random(using: &source))
            if wasReady {
                ready -= 1
                if isRetired { retiring -= 1 } else { retiring = min(retiring, ready) }
            } else {
                starting -= 1
            }
            let failure: PoolPolicy.Failure =
                !wasReady
                ? .beforeAnyRequest
                : [.none, .inRequest, .beforeAnyRequest].randomElement(using: &source) ?? .none
            perform(
                policy.workerEnded(
                    wasRetired: isRetired && wasReady,
                    wasReady: wasReady,
                    failure: failure,
                    at: now
                ),
                "end"
            )
        }

        mutating func step() {
            now +=
                UInt64.random(in: 0...(2 * second), using: &source)
                >> UInt64.random(in: 0...20, using: &source)
            switch Int.random(in: 0..<8, using: &source) {
            case 0, 1:
                guard starting > 0 else { return }
                starting -= 1
                ready += 1
                policy.workerReady()
            case 2:
                guard starting > 0 else { return }
                starting -= 1
                policy.spawnFailed()
            case 3: if starting + ready > 0 { end(isRetired: false) }
            case 4: if retiring > 0 && starting == 0 { end(isRetired: true) }
            case 5: perform(policy.connectionsWait(Int.random(in: 0...40, using: &source), at: now), "wait")
            case 6:
                let idle = Int.random(in: 0...ready, using: &source)
                let tooLong = Int.random(in: 0...idle, using: &source)
                perform(policy.tick(PoolPolicy.Counts(idle: idle, idleTooLong: tooLong), at: now), "tick")
            default: perform(policy.backoffEnded(at: now), "back-off ended")
            }
        }
    }

    @Test(
        arguments: [
            PoolLimits.fixed(1), .fixed(12), .ondemand(1), .ondemand(30), .dynamic(1, start: 1, spare: 1...1),
            .dynamic(30, start: 5, spare: 3...9), .dynamic(60, start: 20, spare: 20...40, rate: 3),
        ],
        1...10
    )
    func promisesAreKept(limits: PoolLimits, seed: Int) {
        var model = Model(limits: limits, seed: UInt64(seed))
        model.perform(model.policy.begin(), "begin")
        for _ in 0..<600 { model.step() }
    }

    /// After the events a pool that works finds back to its numbers.
    @Test(arguments: [PoolLimits.fixed(12), .dynamic(30, start: 5, spare: 3...9)], 1...10)
    func poolRecovers(limits: PoolLimits, seed: Int) {
        var model = Model(limits: limits, seed: UInt64(seed))
        for _ in 0..<500 { model.step() }
        var policy = model.policy
        for _ in 0..<model.starting { policy.workerReady() }
        var now = model.now
        for _ in 0..<60 {
            now += second
            policy.obey(policy.backoffEnded(at: now))
            policy.obey(policy.tick(PoolPolicy.Counts(idle: policy.running), at: now))
        }
        #expect(policy.running >= (limits.manager == .static ? limits.maxChildren : limits.minSpare))
    }
}
