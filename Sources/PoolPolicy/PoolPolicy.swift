public import Configuration

/// What a pool may have, from its directives.
public struct PoolLimits: Equatable, Sendable {
    /// `pm`.
    public var manager: ProcessManager
    /// `pm.max_children`.
    public var maxChildren: Int
    /// `pm.start_servers`.
    public var startServers: Int
    /// `pm.min_spare_servers`.
    public var minSpare: Int
    /// `pm.max_spare_servers`.
    public var maxSpare: Int
    /// `pm.max_spawn_rate`.
    public var maxSpawnRate: Int

    /// Limits from plain numbers.
    public init(
        manager: ProcessManager,
        maxChildren: Int,
        startServers: Int = 0,
        minSpare: Int = 0,
        maxSpare: Int = 0,
        maxSpawnRate: Int = 32
    ) {
        self.manager = manager
        self.maxChildren = maxChildren
        self.startServers = startServers
        self.minSpare = minSpare
        self.maxSpare = maxSpare
        self.maxSpawnRate = maxSpawnRate
    }

    /// Limits of an accepted pool.
    public init(_ settings: PoolSettings) {
        self.init(
            manager: settings.processManager ?? .static,
            maxChildren: settings.maxChildren,
            startServers: settings.startServers,
            minSpare: settings.minSpareServers,
            maxSpare: settings.maxSpareServers,
            maxSpawnRate: settings.maxSpawnRate
        )
    }
}

/// Decides how many workers a pool has.
///
/// Pure: events and the time go in, actions come out; the master performs them.
///
/// `running` counts workers from the request to spawn them until they have ended.
public struct PoolPolicy: Sendable {
    /// What the master is to do.
    public enum Action: Equatable, Sendable {
        /// Start so many workers; `isRespawn` when they replace ones that ended.
        case spawn(Int, isRespawn: Bool)
        /// Tell the so many workers that have been idle for longest to leave.
        case retireIdle(Int)
        /// The pool is at `pm.max_children` and would need more; said once per episode.
        case limitReached
        /// Growth has doubled several times in a row.
        case seemsBusy(spawning: Int)
        /// Workers keep dying: call ``PoolPolicy/backoffEnded(at:)`` when `delay` nanoseconds have passed, instead of
        /// when an earlier action of this kind said. `failures` is how many in a row died before their first request;
        /// 0 when requests kill them, faster than they are replaced.
        case backOff(failures: Int, delay: UInt64)
    }

    /// How a worker's end speaks of the next one's chances.
    public enum Failure: Equatable, Sendable {
        /// It left in order.
        case none
        /// It died before it was given a request: the next one will probably too.
        case beforeAnyRequest
        /// A request killed it: the pool must go on, but cannot replace workers faster than it should fork.
        case inRequest
    }

    /// The state of the pool's workers at a tick.
    public struct Counts: Equatable, Sendable {
        /// Waiting for requests.
        public var idle: Int
        /// Of those, idle for longer than `pm.process_idle_timeout`; not asked for where the pool is static.
        public var idleTooLong: Int
        /// Counts as given.
        public init(idle: Int, idleTooLong: Int = 0) {
            self.idle = idle
            self.idleTooLong = idleTooLong
        }
    }

    /// Nanoseconds to wait after a fork has failed.
    private static let forkPatience: UInt64 = 500_000_000

    /// The limits.
    public private(set) var limits: PoolLimits
    /// Workers that are there or under way.
    public private(set) var running = 0
    /// Of those, not ready yet.
    public private(set) var starting = 0
    private var rate = 1
    private var hasWarned = false
    private var backoff = Backoff()
    private var replacements = RateLimit(burst: 16, perSecond: 20)
    /// Workers that requests killed and whose places stay empty until there is a token for each.
    private var owed = 0

    /// A pool without workers.
    public init(limits: PoolLimits) { self.limits = limits }

    /// How many more workers may be started now: what the limit allows, less the places of workers that requests
    /// have killed and whose turn has not come.
    public var room: Int { max(0, limits.maxChildren - running - owed) }

    private var isAtLimit: Bool { running >= limits.maxChildren }

    /// Nothing is started before this time, in nanoseconds; nil when nothing keeps it back.
    public func heldBack(at now: UInt64) -> UInt64? { backoff.notBefore(now) }

    /// The pool begins to serve.
    public mutating func begin() -> [Action] {
        switch limits.manager {
        case .static: grow(by: limits.maxChildren, isRespawn: false)
        case .dynamic: grow(by: limits.startServers, isRespawn: false)
        case .ondemand: []
        }
    }

    /// The limit of workers is another one from now on.
    ///
    /// - Returns: What a static pool lacks; what is too much is the caller's to retire, see ``surplus``.
    public mutating func scale(to maxChildren: Int) -> [Action] {
        limits.maxChildren = max(1, maxChildren)
        hasWarned = false
        return limits.manager == .static ? grow(by: limits.maxChildren, isRespawn: false) : []
    }

    /// How many workers there are beyond the limit.
    public var surplus: Int { max(0, running - limits.maxChildren) }

    /// The master has asked for `count` workers.
    public mutating func spawnRequested(_ count: Int) {
        running += count
        starting += count
    }

    /// Workers that there are already, and the limit that holds for them, when the master begins to look after them.
    public mutating func adopt(maxChildren: Int, running: Int, starting: Int) {
        limits.maxChildren = max(1, maxChildren)
        (self.running, self.starting) = (running, starting)
    }

    /// A worker takes connections now.
    public mutating func workerReady() { starting = max(0, starting - 1) }

    /// A worker could not be started (fork failed, zygote gone) and is not coming.
    public mutating func spawnFailed() {
        running = max(0, running - 1)
        starting = max(0, starting - 1)
    }

    /// A worker could not be forked at all: no memory, or a limit of processes.
    ///
    /// Trying again at once would not help.
    public mutating func forkFailed(at now: UInt64) -> [Action] {
        spawnFailed()
        backoff.hold(until: now + Self.forkPatience)
        return [.backOff(failures: 0, delay: Self.forkPatience)]
    }

    /// At least `depth` connections wait, and no worker sleeps that would take them.
    public mutating func connectionsWait(_ depth: Int, at now: UInt64) -> [Action] {
        if isAtLimit {
            // A static pool is always at its limit; that is no event.
            guard limits.manager != .static, !hasWarned, starting == 0 else { return [] }
            hasWarned = true
            rate = 1
            return [.limitReached]
        }
        // What is under way will take its share first.
        let missing = min(depth - starting, room)
        guard missing > 0, backoff.notBefore(now) == nil else { return [] }
        hasWarned = false
        return grow(by: missing, isRespawn: false)
    }

    /// A worker has ended.
    ///
    /// - Parameters:
    ///   - wasRetired: It had been told to leave, and left: nobody replaces it.
    ///   - wasReady: It had become ready.
    ///   - failure: How it failed, if it did.
    ///   - now: The time.
    /// - Returns: What replaces it, or how long nothing does.
    public mutating func workerEnded(
        wasRetired: Bool,
        wasReady: Bool,
        failure: Failure,
        at now: UInt64
    ) -> [Action] {
        if !wasReady { starting = max(0, starting - 1) }
        running = max(0, running - 1)
        if wasRetired { return [] }
        switch failure {
        case .none: backoff.succeeded()
        case .beforeAnyRequest:
            if let delay = backoff.failed(at: now) {
                return [.backOff(failures: backoff.failures, delay: delay)]
            }
        case .inRequest:
            backoff.succeeded()
            owed += 1
            return replaceOwed(at: now)
        }
        return replace(1, at: now)
    }

    /// The time of ``Action/backOff(failures:delay:)`` has passed.
    public mutating func backoffEnded(at now: UInt64) -> [Action] {
        if let end = backoff.notBefore(now) { return [.backOff(failures: 0, delay: end - now)] }
        return owed > 0 ? replaceOwed(at: now) : replace(backoff.failures > 0 ? 1 : 0, at: now)
    }

    /// Replaces as many of the workers that requests killed as there are tokens.
    private mutating func replaceOwed(at now: UInt64) -> [Action] {
        var due = 0
        var delay: UInt64?
        while owed > 0 {
            delay = replacements.take(at: now)
            guard delay == nil else { break }
            owed -= 1
            due += 1
        }
        return replace(due, at: now) + (delay.map { [.backOff(failures: 0, delay: $0)] } ?? [])
    }

    /// Replaces `count` workers: all that is missing for static, at least the spare workers for dynamic.
    private mutating func replace(_ count: Int, at now: UInt64) -> [Action] {
        guard backoff.notBefore(now) == nil else { return [] }
        switch limits.manager {
        case .static: return grow(by: limits.maxChildren, isRespawn: true)
        case .dynamic: return grow(by: max(count, limits.minSpare - running), isRespawn: true)
        case .ondemand: return []
        }
    }

    /// Once a second: keeps the number of idle workers of a dynamic pool between its bounds, and lets surplus
    /// workers of an ondemand pool go.
    ///
    /// Workers that have been surplus and idle for `pm.process_idle_timeout` go all at once. Until then a dynamic pool lets
    /// one go a second, as php-fpm does.
    public mutating func tick(_ counts: Counts, at now: UInt64) -> [Action] {
        switch limits.manager {
        case .static:
            return replace(0, at: now)
        case .ondemand:
            return counts.idleTooLong > 0 ? [.retireIdle(counts.idleTooLong)] : []
        case .dynamic:
            let idle = counts.idle + starting
            if counts.idle > limits.maxSpare {
                rate = 1
                return [.retireIdle(max(1, min(counts.idle - limits.maxSpare, counts.idleTooLong)))]
            }
            guard idle < limits.minSpare else {
                rate = 1
                return []
            }
            if isAtLimit {
                rate = 1
                guard !hasWarned else { return [] }
                hasWarned = true
                return [.limitReached]
            }
            guard room > 0, backoff.notBefore(now) == nil else { return [] }
            var actions: [Action] = []
            if rate >= 8 { actions.append(.seemsBusy(spawning: rate)) }
            hasWarned = false
            actions += grow(by: min(rate, limits.minSpare - idle), isRespawn: false)
            if rate < limits.maxSpawnRate { rate *= 2 }
            return actions
        }
    }

    private func grow(by count: Int, isRespawn: Bool) -> [Action] {
        let allowed = min(count, room)
        return allowed > 0 ? [.spawn(allowed, isRespawn: isRespawn)] : []
    }
}
