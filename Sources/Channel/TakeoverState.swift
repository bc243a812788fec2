public import Configuration

/// All that a master hands to the image of its program that it is about to execute in its own place: its listeners, its
/// children and how it talks to them, and the connections that no worker has.
///
/// Plain numbers and bytes. Descriptors are given by their numbers, which stay the same in the new image; numbers that
/// refer to something else in the state are checked when it is read.
public struct TakeoverState: Equatable {
    /// An image that says another number has another layout.
    public static let version = 12

    /// The soft limit of open files for children, and the master's own.
    public var childFileLimit = 0
    /// The master's own soft limit of open files.
    public var fileLimit = 0
    /// Properties of the global settings.
    public var global: [NamedValue] = []
    /// The file that the error log is written to; nil if it is none.
    public var errorLog: Int?
    /// Whether standard error is that of whoever started the service.
    public var hasOriginalStandardError = true
    /// All listening sockets.
    public var listeners: [Listener] = []
    /// The one of them for metrics.
    public var metricsListener: Int?
    /// The pools that serve, and those that drain.
    public var pools: [Pool] = []
    /// Children that do one thing and end.
    public var helpers: [Int] = []

    /// A state with nothing in it.
    public init() {}

    /// A listening socket.
    public struct Listener: Equatable {
        /// Its descriptor.
        public var descriptor = -1
        /// Its name: for a listener the address, for a pool that of its section.
        public var name = ByteString()
        /// The path of a Unix socket; nil for TCP.
        public var path: ByteString?
        /// Whether it came from systemd's store, or with a socket unit of this name.
        public var wasStored = false
        /// The systemd unit it came with; nil if none.
        public var socketUnit: ByteString?
        /// The name of systemd's copy, if it has one.
        public var storedName: ByteString?
        /// The socket file, for the check that the path still names it.
        public var hasFile = false
        /// Device of the socket file.
        public var device = 0
        /// Inode of the socket file.
        public var inode = 0
        /// Who may connect, if it was set: owner and group (-1: the master's), mode, ACL, backlog.
        public var hasAccess = false
        /// Numeric user.
        public var userID = -1
        /// Numeric group.
        public var groupID = -1
        /// Permission bits.
        public var mode = 0
        /// Users of the access control list.
        public var aclUsers: [Int] = []
        /// Groups of the access control list.
        public var aclGroups: [Int] = []
        /// Length of the queue as asked for.
        public var backlog = 0
        /// Most connections that may wait; nil if that is not known.
        public var queueLimit: Int?
        /// One with nothing in it.
        public init() {}
    }

    /// A pool, its processes and its connections.
    public struct Pool: Equatable {
        /// Its name: for a listener the address, for a pool that of its section.
        public var name = ByteString()
        /// Properties of its settings.
        public var settings: [NamedValue] = []
        /// Numeric user.
        public var userID = -1
        /// Numeric group.
        public var groupID = -1
        /// The account whose supplementary groups are taken; nil for none.
        public var groupsOf: ByteString?
        /// Name of the account; nil if it has none.
        public var userName: ByteString?
        /// Home directory of the account; nil if unknown.
        public var home: ByteString?
        /// Whether it has been told to drain.
        public var isDraining = false
        /// Whether an operator has drained it: it serves, but begins no request.
        public var isHeld = false
        /// The most workers it may have, `pm.max_children` unless an operator has scaled it.
        public var maxChildren = 1
        /// Indices into ``TakeoverState/listeners``.
        public var listener = 0
        /// Index of the listener for status pages; nil for none.
        public var statusListener: Int?
        /// When the pool started, in seconds since the epoch.
        public var startEpoch = 0
        /// Slots of its scoreboard.
        public var slotCount = 1
        /// Nil before the first zygote: the scoreboard, the two ends of the queue.
        public var shared: Shared?
        /// Descriptor of the access log; nil for none.
        public var accessLog: Int?
        /// The next spawn request's number.
        public var nextSerial = 0
        /// How often `pm.max_children` was reached.
        public var limitReached = 0
        /// Requests that were traced.
        public var slowRequests = 0
        /// The most connections that have waited.
        public var mostQueued = 0
        /// Its zygote; nil if there is none.
        public var zygote: Zygote?
        /// Its workers.
        public var workers: [Worker] = []
        /// Connections that no worker has.
        public var connections: [Connection] = []
        /// Responses that are being sent.
        public var responses: [Response] = []
        /// One with nothing in it.
        public init() {}
    }

    /// What processes of a pool share with the master.
    public struct Shared: Equatable {
        /// The scoreboard's memory file.
        public var scoreboard = -1
        /// The master's end of the pool's queue.
        public var queueWriter = -1
        /// The end of the pool's queue that workers share.
        public var queueReader = -1
        /// One with nothing in it.
        public init() {}
    }

    /// A zygote.
    public struct Zygote: Equatable {
        /// Its process number.
        public var process = 0
        /// The master's end of its channel.
        public var channel = -1
        /// Reading end of its output, or -1.
        public var output = -1
        /// Whether it has said that it is ready.
        public var isReady = false
        /// Whether it has been told to end.
        public var isEnding = false
        /// An encoded ``ZygoteReport``; empty if it has not said.
        public var report = ByteString()
        /// One with nothing in it.
        public init() {}
    }

    /// A worker, or one that a zygote was asked for.
    public struct Worker: Equatable {
        /// Its slot.
        public var slot = 0
        /// Number of its spawn request.
        public var serial = 0
        /// Whether it replaced another one.
        public var isRespawn = false
        /// How far it is; see ``Stage``.
        public var stage = Stage.requested
        /// 0 while it is only requested.
        public var process = 0
        /// The master's end of its channel.
        public var channel = -1
        /// Reading ends of its output, or -1.
        public var standardOutput = -1
        /// The reading end of its stderr pipe; -1 if it has none.
        public var standardError = -1
        /// Where it leaves connections, or -1.
        public var deposit = -1
        /// Whether it was told to leave.
        public var wasAskedToLeave = false
        /// Whether it has said that it will leave.
        public var isRetiring = false
        /// Whether another one takes its place.
        public var isReplaced = false
        /// Monotonic nanoseconds.
        public var startTime = 0
        /// One with nothing in it.
        public init() {}

        /// The master's view of its life.
        public enum Stage: Int { case requested, starting, ready, leaving }
    }

    /// A client's connection that no worker has.
    public struct Connection: Equatable {
        /// Its descriptor.
        public var descriptor = -1
        /// Why the connection is kept.
        public var purpose = Purpose.silent
        /// What is known of the connection: `Message.Flags`.
        public var flags = 0
        /// Monotonic nanoseconds.
        public var acceptedTime = 0
        /// Bytes received of its request, or left of its response.
        public var bytes = ByteString()
        /// One with nothing in it.
        public init() {}

        /// What it waits for; `waiting` is a worker.
        public enum Purpose: Int { case silent, idle, assembling, lingering, waiting }
    }

    /// A response that the master sends.
    public struct Response: Equatable {
        /// Its descriptor.
        public var descriptor = -1
        /// A file with the rest of it, from `position` to `end`; nil: the rest is `bytes`.
        public var file: Int?
        /// Where the bytes begin in the file.
        public var position = 0
        /// Where the bytes end in the file.
        public var end = 0
        /// Bytes received of its request, or left of its response.
        public var bytes = ByteString()
        /// What becomes of the connection afterwards.
        public var next = Next.close
        /// Bytes of the next request on a connection that is kept.
        public var nextBytes = ByteString()
        /// One with nothing in it.
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
                all += [worker.channel]
                all += [worker.standardOutput, worker.standardError, worker.deposit].filter { $0 >= 0 }
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
