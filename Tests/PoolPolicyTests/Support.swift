import Configuration
import PoolPolicy

typealias Action = PoolPolicy.Action

/// One millisecond of the fake clock.
let millisecond: UInt64 = 1_000_000
/// One second of the fake clock.
let second: UInt64 = 1_000_000_000

extension PoolLimits {
    /// A static pool.
    static func fixed(_ children: Int) -> PoolLimits { PoolLimits(manager: .static, maxChildren: children) }

    /// An ondemand pool.
    static func ondemand(_ children: Int) -> PoolLimits {
        PoolLimits(manager: .ondemand, maxChildren: children)
    }

    /// A dynamic pool: most workers, workers at the start, least and most spare ones, most to start at once.
    static func dynamic(
        _ children: Int,
        start: Int = 2,
        spare: ClosedRange<Int> = 1...3,
        rate: Int = 32
    ) -> PoolLimits {
        PoolLimits(
            manager: .dynamic,
            maxChildren: children,
            startServers: start,
            minSpare: spare.lowerBound,
            maxSpare: spare.upperBound,
            maxSpawnRate: rate
        )
    }
}

extension PoolPolicy {
    /// A pool with `running` workers of which `starting` are not ready.
    init(_ limits: PoolLimits, running: Int, starting: Int = 0) {
        self.init(limits: limits)
        spawnRequested(running)
        for _ in 0..<(running - starting) { workerReady() }
    }

    /// Performs what `actions` ask for, as a master does whose spawns all succeed at once.
    @discardableResult
    mutating func obey(_ actions: [Action], becomeReady: Bool = true) -> [Action] {
        for case .spawn(let count, _) in actions {
            spawnRequested(count)
            if becomeReady { for _ in 0..<count { workerReady() } }
        }
        return actions
    }

    /// A ready worker ends.
    mutating func lose(_ failure: Failure = .none, at now: UInt64 = 0) -> [Action] {
        workerEnded(wasRetired: false, wasReady: true, failure: failure, at: now)
    }
}

extension [Action] {
    /// How many workers the actions start.
    var spawned: Int {
        reduce(0) { sum, action in
            if case .spawn(let count, _) = action { sum + count } else { sum }
        }
    }

    /// The delay of the first back-off among the actions.
    var delay: UInt64? {
        for case .backOff(_, let delay) in self { return delay }
        return nil
    }
}
