public import Configuration

/// All that a master hands to the image of its program that it is about to execute in its own place: its listeners, its
/// children and how it talks to them, and the connections that no worker has.
///
/// Plain numbers and bytes. Descriptors are given by their numbers, which stay the same in the new image; numbers that
/// refer to something else in the state are checked when it is read.
public struct TakeoverState: Equatable {
    /// An image that says another number has another layout.
    public static let version = 2

    /// The soft limit of open files for children, and the master's own.
    public var childFileLimit = 0
    public var fileLimit = 0
    /// Properties of the global settings.
    public var global: [NamedValue] = []
    /// The file that the error log is written to; nil if it is none.
    public var errorLog: Int?
    /// Whether standard error is that of whoever started the service.
    public var hasOriginalStandardError = true
    public var listeners: [Listener] = []
    /// The one of them for metrics.
    public var metricsListener: Int?
    public var pools: [Pool] = []
    /// Children that do one thing and end.
    public var helpers: [Int] = []

    /// A state with nothing in it.
    public init() {}

    /// A listening socket.
    public struct Listener: Equatable {
        public var descriptor = -1
        public var name = ByteString()
        public var path: ByteString?
        /// Whether it came from systemd's store, or with a socket unit of this name.
        public var wasStored = false
        public var socketUnit: ByteString?
        /// The name of systemd's copy, if it has one.
        public var storedName: ByteString?
        /// The socket file, for the check that the path still names it.
        public var hasFile = false
        public var device = 0
        public var inode = 0
        /// Who may connect, if it was set: owner and group (-1: the master's), mode, ACL, backlog.
        public var hasAccess = false
        public var userID = -1
        public var groupID = -1
        public var mode = 0
        public var aclUsers: [Int] = []
        public var aclGroups: [Int] = []
        public var backlog = 0
        public init() {}
    }

    /// A pool, its processes and its connections.
    public struct Pool: Equatable {
        public var name = ByteString()
        /// Properties of its settings.
        public var settings: [NamedValue] = []
        public var userID = -1
        public var groupID = -1
        public var groupsOf: ByteString?
        public var userName: ByteString?
        public var home: ByteString?
        /// Whether it has been told to drain.
        public var isDraining = false
        /// Indices into ``TakeoverState/listeners``.
        public var listener = 0
        public var statusListener: Int?
        public var startEpoch = 0
        public var slotCount = 1
        /// Nil before the first zygote: the scoreboard, the two ends of the queue.
        public var shared: Shared?
        public var accessLog: Int?
        public var nextSerial = 0
        public var limitReached = 0
        public var slowRequests = 0
        public var mostQueued = 0
        public var zygote: Zygote?
        public var workers: [Worker] = []
        public var connections: [Connection] = []
        public var responses: [Response] = []
        public init() {}
    }

    /// What processes of a pool share with the master.
    public struct Shared: Equatable {
        public var scoreboard = -1
        public var queueWriter = -1
        public var queueReader = -1
        public init() {}
    }

    /// A zygote.
    public struct Zygote: Equatable {
        public var process = 0
        public var channel = -1
        /// Reading end of its output, or -1.
        public var output = -1
        public var isReady = false
        public var isEnding = false
        /// An encoded ``ZygoteReport``; empty if it has not said.
        public var report = ByteString()
        public init() {}
    }

    /// A worker, or one that a zygote was asked for.
    public struct Worker: Equatable {
        public var slot = 0
        public var serial = 0
        public var isRespawn = false
        /// How far it is; see ``Stage``.
        public var stage = Stage.requested
        /// 0 while it is only requested.
        public var process = 0
        public var channel = -1
        /// Reading ends of its output, or -1.
        public var standardOutput = -1
        public var standardError = -1
        public var wasAskedToLeave = false
        public var isRetiring = false
        public var isReplaced = false
        /// Monotonic nanoseconds.
        public var startTime = 0
        public init() {}

        /// The master's view of its life.
        public enum Stage: Int { case requested, starting, ready, leaving }
    }

    /// A client's connection that no worker has.
    public struct Connection: Equatable {
        public var descriptor = -1
        public var purpose = Purpose.silent
        public var flags = 0
        /// Monotonic nanoseconds.
        public var acceptedTime = 0
        public var bytes = ByteString()
        public init() {}

        /// What it waits for; `waiting` is a worker.
        public enum Purpose: Int { case silent, idle, assembling, lingering, waiting }
    }

    /// A response that the master sends.
    public struct Response: Equatable {
        public var descriptor = -1
        /// A file with the rest of it, from `position` to `end`; nil: the rest is `bytes`.
        public var file: Int?
        public var position = 0
        public var end = 0
        public var bytes = ByteString()
        public var next = Next.close
        /// Bytes of the next request on a connection that is kept.
        public var nextBytes = ByteString()
        public init() {}

        /// What becomes of the connection.
        public enum Next: Int { case close, linger, keep }
    }
}

extension TakeoverState {
    /// Every descriptor that the state names.
    public var descriptors: [Int] {
        var all = [errorLog].compactMap { $0 } + listeners.map(\.descriptor)
        for pool in pools {
            if let shared = pool.shared {
                all += [shared.scoreboard, shared.queueWriter, shared.queueReader]
            }
            if let log = pool.accessLog { all.append(log) }
            if let zygote = pool.zygote { all += [zygote.channel] + [zygote.output].filter { $0 >= 0 } }
            for worker in pool.workers {
                all += [worker.channel] + [worker.standardOutput, worker.standardError].filter { $0 >= 0 }
            }
            all += pool.connections.map(\.descriptor)
            for response in pool.responses {
                all += [response.descriptor] + [response.file].compactMap { $0 }
            }
        }
        return all
    }

    /// Whether every number that refers to something does, and no descriptor has two owners.
    var isConsistent: Bool {
        let descriptors = descriptors
        guard descriptors.allSatisfy({ $0 > 2 && $0 <= Int(Int32.max) }),
            Set(descriptors).count == descriptors.count
        else { return false }
        var processes: Set<Int> = []
        func isNew(_ process: Int) -> Bool {
            process > 0 && process <= Int(Int32.max) && processes.insert(process).inserted
        }
        return helpers.allSatisfy(isNew) && metricsListener.map { listeners.indices.contains($0) } ?? true
            && pools.allSatisfy { pool in
                let slots = Set(pool.workers.map(\.slot))
                return listeners.indices.contains(pool.listener)
                    && pool.statusListener.map { listeners.indices.contains($0) } ?? true
                    && (1...1 << 20).contains(pool.slotCount) && slots.count == pool.workers.count
                    && slots.allSatisfy { (0..<pool.slotCount).contains($0) }
                    && pool.responses.allSatisfy {
                        $0.file == nil || ($0.position >= 0 && $0.position <= $0.end)
                    }
                    && (pool.shared != nil || (pool.workers.isEmpty && pool.zygote == nil))
                    && pool.zygote.map { isNew($0.process) } ?? true
                    && pool.workers.allSatisfy {
                        $0.stage == .requested ? $0.process == 0 : isNew($0.process)
                    }
            }
    }
}
