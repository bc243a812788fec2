public import Configuration

/// What a line is about, beside its text: fields of its own in the journal and in JSON, nothing in plain text.
public struct LogContext: Equatable, Sendable {
    /// The name of a field.
    public enum Name: Sendable, CaseIterable {
        case pool, worker, stream
        case requestID, method, uri, script, status, duration

        /// The journal's name.
        public var journal: StaticString {
            switch self {
            case .pool: "FPMD_POOL"
            case .worker: "FPMD_WORKER"
            case .stream: "FPMD_STREAM"
            case .requestID: "FPMD_REQUEST_ID"
            case .method: "FPMD_METHOD"
            case .uri: "FPMD_URI"
            case .script: "FPMD_SCRIPT"
            case .status: "FPMD_STATUS"
            case .duration: "FPMD_DURATION_USEC"
            }
        }

        /// The key in a JSON object.
        public var json: StaticString {
            switch self {
            case .pool: "pool"
            case .worker: "worker"
            case .stream: "stream"
            case .requestID: "request_id"
            case .method: "method"
            case .uri: "uri"
            case .script: "script"
            case .status: "status"
            case .duration: "duration_usec"
            }
        }

        /// Whether the value is a number.
        public var isNumber: Bool {
            switch self {
            case .worker, .status, .duration: true
            case .pool, .stream, .requestID, .method, .uri, .script: false
            }
        }
    }

    /// The fields that are known, in the order in which they are written.
    public private(set) var fields: [(name: Name, value: ByteString)] = []

    /// Nothing is known.
    public init() {}

    /// Adds a field, unless its value is empty.
    public mutating func add(_ name: Name, _ value: ByteString) {
        if !value.isEmpty { fields.append((name, value)) }
    }

    /// A line about a pool, and one of its processes if `worker` is not nil.
    public static func pool(_ pool: ByteString, worker: ByteString? = nil) -> LogContext {
        var context = LogContext()
        context.add(.pool, pool)
        if let worker { context.add(.worker, worker) }
        return context
    }

    /// Whether both have the same fields.
    public static func == (left: LogContext, right: LogContext) -> Bool {
        left.fields.elementsEqual(right.fields) { $0 == $1 }
    }
}
