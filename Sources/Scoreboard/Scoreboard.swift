public import CScoreboard
public import Syscalls
public import SystemPackage

/// The shared pages of one pool generation: one for the pool, then one per worker slot.
///
/// The master creates them, the zygote maps them, workers inherit the mapping. Every field has one writer, or is
/// changed by atomic addition or exchange (see `cscoreboard.h`); what a worker wrote is for display and for hints,
/// never for addressing memory.
public final class Scoreboard {
    /// How many workers a pool can have, and thus the pages after the first.
    public let slotCount: Int
    /// The pool's page; ``share()`` moves it, so it is not kept.
    public private(set) var pool: UnsafeMutablePointer<cscoreboard_pool>
    /// The memory, for handing its descriptor to the zygote; nil until ``share()``.
    public private(set) var memory: SharedMemory?

    /// Bytes needed for a pool of `slotCount` workers.
    public static func size(slotCount: Int) -> Int { (slotCount + 1) * Int(CSCOREBOARD_PAGE) }

    /// Figures of a pool without workers, which need no shared memory yet: all slots are free.
    public init(unsharedSlotCount slotCount: Int) {
        self.slotCount = slotCount
        pool = .allocate(capacity: 1)
        pool.initialize(to: cscoreboard_pool())
    }

    /// Creates zeroed pages.
    public convenience init(slotCount: Int) throws(Errno) {
        self.init(unsharedSlotCount: slotCount)
        try share()
    }

    /// Creates the shared pages, zeroed, and takes the pool's figures there; does nothing if they are there.
    ///
    /// - Throws: `Errno` of the memory that could not be had.
    public func share() throws(Errno) {
        guard memory == nil else { return }
        let shared = try SharedMemory(name: "fpmd-scoreboard", size: Scoreboard.size(slotCount: slotCount))
        let page = shared.base.bindMemory(to: cscoreboard_pool.self, capacity: 1)
        page.pointee = pool.pointee
        pool.deallocate()
        pool = page
        memory = shared
    }

    /// Maps the pages that another process created for `slotCount` workers.
    public convenience init(mapping descriptor: SharedDescriptor, slotCount: Int) throws(Errno) {
        let memory = try SharedMemory(mapping: descriptor, size: Scoreboard.size(slotCount: slotCount))
        self.init(memory: memory, slotCount: slotCount)
    }

    private init(memory: SharedMemory, slotCount: Int) {
        self.memory = memory
        self.slotCount = slotCount
        pool = memory.base.bindMemory(to: cscoreboard_pool.self, capacity: 1)
    }

    deinit {
        if memory == nil { pool.deallocate() }
    }

    /// The page of slot `index`, 0 ..< ``slotCount``; traps outside, and before ``share()``.
    public func slot(_ index: Int) -> UnsafeMutablePointer<cscoreboard_slot> {
        precondition(index >= 0 && index < slotCount, "our bug: slot \(index) of \(slotCount)")
        guard let memory else { preconditionFailure("our bug: a slot of a pool without shared pages") }
        let page = memory.base + (index + 1) * Int(CSCOREBOARD_PAGE)
        return page.assumingMemoryBound(to: cscoreboard_slot.self)
    }

    /// The stage a slot shows; values that mean nothing count as executing, so that a worker which lies is
    /// taken for busy.
    public func stage(_ index: Int) -> Stage {
        guard memory != nil else { return .free }
        return Stage(rawValue: cscoreboard_load_word(&slot(index).pointee.stage)) ?? .executing
    }

    /// Zeroes a slot before it is given to a worker, keeping its requests in the pool's total.
    public func clear(_ index: Int) {
        let page = slot(index)
        cscoreboard_store(&pool.pointee.retired_requests, retiredRequests.adding(requests(of: index)))
        retireService(of: index)
        if stage(index).isServing { cscoreboard_request_ends(pool) }
        page.pointee = cscoreboard_slot()
    }

    /// Counts the slots by stage.
    public func counts() -> Counts {
        var counts = Counts()
        guard memory != nil else { return counts }
        for index in 0..<slotCount {
            let stage = stage(index)
            if stage.isServing {
                counts.active += 1
            } else if stage == .accepting {
                counts.idle += 1
            }
        }
        return counts
    }

    /// Requests begun since the pool's start: those of cleared slots and of the present ones.
    public func acceptedRequests() -> Int64 {
        guard memory != nil else { return retiredRequests }
        return (0..<slotCount).reduce(retiredRequests) { $0.adding(requests(of: $1)) }
    }

    // Workers can write to all pages: no count is negative, whatever they say.
    private var retiredRequests: Int64 { max(0, cscoreboard_load(&pool.pointee.retired_requests)) }
    private func requests(of index: Int) -> Int64 { max(0, cscoreboard_load(&slot(index).pointee.requests)) }

    /// A count that a worker may have written, within 0 … 2^53: sums of such do not overflow.
    func plausible(_ count: Int64) -> Int64 { min(max(0, count), 1 << 53) }

    /// Workers by what they do now.
    public struct Counts: Equatable {
        /// Waiting for a request.
        public var idle = 0
        /// Serving one.
        public var active = 0
        /// Both.
        public var total: Int { idle + active }
    }

    /// What a worker says it does; the raw values are `cscoreboard_stage`.
    public enum Stage: UInt32 {
        /// No worker, or one that is not ready.
        case free = 0
        /// Idle.
        case accepting = 1
        /// Receiving a request.
        case reading = 2
        /// Parameters are known, PHP's request start-up runs.
        case info = 3
        /// The script runs.
        case executing = 4
        /// Not used by php-fpm either; kept for its name.
        case ending = 5
        /// The script returned; shutdown functions run.
        case finished = 6

        /// Whether the worker has a request, be it only a part of one.
        public var isServing: Bool {
            switch self {
            case .free, .accepting: false
            case .reading, .info, .executing, .ending, .finished: true
            }
        }

        /// Whether the worker has a request whose parameters are known.
        public var isRunning: Bool { isServing && self != .reading }

        /// The name on status pages.
        public var name: StaticString {
            switch self {
            case .free, .accepting: "Idle"
            case .reading: "Reading headers"
            case .info: "Getting request information"
            case .executing: "Running"
            case .ending: "Ending"
            case .finished: "Finishing"
            }
        }
    }
}

extension Int64 {
    /// The sum of two counts, neither negative; stays at the maximum.
    fileprivate func adding(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}

@available(*, unavailable)
extension Scoreboard: Sendable {}
