/// Why a worker has ended; the raw value is its place in the pool page.
public enum WorkerExitCause: Int, CaseIterable, Sendable {
    /// It left by itself, and nothing better is known.
    case exit = 0
    /// It ended with a status other than 0.
    case failure = 1
    /// SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS.
    case crash = 2
    /// `request_terminate_timeout`.
    case terminateTimeout = 3
    /// Another signal: the kernel's OOM killer, or an administrator.
    case killed = 4
    /// `pm.max_requests`.
    case maxRequests = 5
    /// `pm.max_memory`.
    case maxMemory = 6
    /// A request had changed the process for good.
    case spoilt = 7
    /// There were more idle workers than the pool keeps.
    case surplus = 8
    /// A reload or an order to recycle.
    case recycled = 9

    /// The value of the label `cause`.
    public var label: StaticString {
        switch self {
        case .exit: "exit"
        case .failure: "failure"
        case .crash: "crash"
        case .terminateTimeout: "terminate_timeout"
        case .killed: "killed"
        case .maxRequests: "max_requests"
        case .maxMemory: "max_memory"
        case .spoilt: "spoilt"
        case .surplus: "surplus"
        case .recycled: "recycled"
        }
    }
}

/// How many workers have ended, by cause.
public struct WorkerExits: Equatable, Sendable {
    private var counts = [UInt64](repeating: 0, count: WorkerExitCause.allCases.count)

    /// None.
    public init() {}

    /// The count of one cause.
    public subscript(cause: WorkerExitCause) -> UInt64 {
        get { counts[cause.rawValue] }
        set { counts[cause.rawValue] = newValue }
    }

    /// Adds all of another.
    public mutating func add(_ other: WorkerExits) {
        for cause in WorkerExitCause.allCases { self[cause] = self[cause].addingSaturated(other[cause]) }
    }
}
