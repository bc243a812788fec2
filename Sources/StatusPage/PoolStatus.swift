/// The figures of one pool, under the names of php-fpm's status page.
///
/// Strings are raw bytes as they were received or configured; rendering escapes them.
public struct PoolStatus: Equatable, Sendable {
    /// Name of the pool; on a listener for status only, of the pool it belongs to.
    public var pool: [UInt8]
    /// `static`, `dynamic` or `ondemand`.
    public var processManager: [UInt8]
    /// When the master started.
    public var start: StartTime
    /// Requests begun.
    public var acceptedConnections: UInt64 = 0
    /// Connections waiting.
    public var listenQueue: UInt64 = 0
    /// Most connections ever waiting.
    public var maxListenQueue: UInt64 = 0
    /// Limit for waiting connections.
    public var listenQueueLength: UInt64 = 0
    /// Workers without a request.
    public var idleProcesses: UInt64 = 0
    /// Workers with a request.
    public var activeProcesses: UInt64 = 0
    /// Most workers ever with a request at the same time.
    public var maxActiveProcesses: UInt64 = 0
    /// How often the limit of workers was reached.
    public var maxChildrenReached: UInt64 = 0
    /// Requests that exceeded `request_slowlog_timeout`.
    public var slowRequests: UInt64 = 0
    /// Largest memory peak of any worker in bytes; shown by PHP 8.4 and later, nil leaves it out.
    public var memoryPeak: UInt64?

    /// Idle and active together.
    public var totalProcesses: UInt64 { idleProcesses &+ activeProcesses }

    /// Makes the status of a pool that has served nothing yet.
    public init(pool: [UInt8], processManager: [UInt8], start: StartTime) {
        self.pool = pool
        self.processManager = processManager
        self.start = start
    }
}

/// When a process started, in the three ways the status page shows it.
public struct StartTime: Equatable, Sendable {
    /// Seconds since 1970.
    public var epochSeconds: Int64
    /// The same as local time in the form `%d/%b/%Y:%H:%M:%S %z`; the caller knows the time zone.
    public var text: [UInt8]
    /// Seconds since then.
    public var secondsSince: Int64

    /// Makes a start time.
    public init(epochSeconds: Int64, text: [UInt8], secondsSince: Int64) {
        self.epochSeconds = epochSeconds
        self.text = text
        self.secondsSince = secondsSince
    }
}

/// The figures of one worker, shown by a full status page.
public struct ProcessStatus: Equatable, Sendable {
    /// What a worker is doing.
    public enum State: Sendable {
        case idle
        case readingHeaders
        case gettingRequestInformation
        case running
        case finishing

        /// The words on the status page.
        public var text: StaticString {
            switch self {
            case .idle: "Idle"
            case .readingHeaders: "Reading headers"
            case .gettingRequestInformation: "Getting request information"
            case .running: "Running"
            case .finishing: "Finishing"
            }
        }
    }

    /// Process number.
    public var pid: Int32
    /// What it is doing.
    public var state: State
    /// When it started.
    public var start: StartTime
    /// Requests served, the current one included.
    public var requests: UInt64 = 0
    /// Microseconds: of the last request when idle, else since the current one came.
    public var requestDuration: UInt64 = 0
    /// Method; empty is shown as `-`.
    public var requestMethod: [UInt8] = []
    /// URI without query; empty is shown as `-`.
    public var requestURI: [UInt8] = []
    /// Query string without the question mark.
    public var queryString: [UInt8] = []
    /// CONTENT_LENGTH of the request.
    public var contentLength: UInt64 = 0
    /// Authenticated user; empty is shown as `-`.
    public var user: [UInt8] = []
    /// Path of the script; empty is shown as `-`.
    public var script: [UInt8] = []
    /// Per cent of one processor during the last request.
    public var lastRequestCPU: Double = 0
    /// Memory peak of the last request in bytes.
    public var lastRequestMemory: UInt64 = 0

    /// Makes the status of a worker that has served nothing yet.
    public init(pid: Int32, state: State, start: StartTime) {
        self.pid = pid
        self.state = state
        self.start = start
    }
}
