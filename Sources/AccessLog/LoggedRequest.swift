public import Configuration
public import Syscalls

/// What a line of the access log can say of one request, beside its parameters and the headers of its answer.
///
/// Texts are as long as php-fpm's: it takes them from its scoreboard (see ``Limit``).
public struct LoggedRequest {
    /// Most bytes of a text.
    public enum Limit {
        /// Of a method.
        public static var method: Int { 15 }
        /// Of a URI.
        public static var uri: Int { 127 }
        /// Of a query string.
        public static var query: Int { 511 }
        /// Of a user.
        public static var user: Int { 31 }
        /// Of a script's path.
        public static var script: Int { 255 }
    }

    /// REQUEST_METHOD.
    public var method: [UInt8] = []
    /// The URI that PHP's SAPI makes of SCRIPT_NAME and PATH_INFO.
    public var uri: [UInt8] = []
    /// QUERY_STRING.
    public var query: [UInt8] = []
    /// User of Basic authentication.
    public var user: [UInt8] = []
    /// Path of the script.
    public var script: [UInt8] = []
    /// CONTENT_LENGTH, at least 0.
    public var contentLength: Int64 = 0
    /// Code of the response.
    public var status = 200
    /// Bytes of PHP's memory at most.
    public var memoryPeak = 0
    /// Seconds of processor time in user mode.
    public var cpuUser = 0.0
    /// Seconds of processor time in the kernel.
    public var cpuSystem = 0.0
    /// When the request began; seconds since the epoch.
    public var beginEpoch: Int64 = 0
    /// Seconds since the epoch, now.
    public var nowEpoch: Int64 = 0
    /// How long the request has taken.
    public var duration = Duration.zero
    /// Who answers: the worker's process number, or the master's.
    public var process = ProcessID.current
    /// The master's process number.
    public var master = ProcessID.current
    /// Address of the client; nil on a Unix socket.
    public var peer: ByteString?

    /// One of which nothing is known.
    public init() {}

    /// A text as the scoreboard would have it: without what follows a zero byte, and not too long.
    public static func text(_ bytes: [UInt8], _ limit: Int) -> [UInt8] {
        Array(bytes.prefix(limit).prefix { $0 != 0 })
    }
}
