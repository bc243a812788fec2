public import Configuration
internal import Glibc
internal import Logging

/// A worker's own lines on its stderr: no time stamp, `LEVEL: message`, as php-fpm writes them.
///
/// The master adds what it knows when it catches them.
public struct WorkerLog {
    /// Least severity that is written.
    public let level: LogLevel
    /// `log_limit`.
    public let limit: Int
    /// Ends a request's output: the master then writes what has no newline yet.
    private static let flushMarker: [UInt8] = [0] + Array("fscf".utf8) + [0]
    private let marksRequests: Bool
    /// At level debug lines say where they come from, as php-fpm's do.
    private let showsOrigin: Bool

    /// A log on stderr; `isCaught` when the master reads it.
    public init(level: LogLevel, limit: Int, isCaught: Bool) {
        self.level = level
        self.limit = limit
        marksRequests = isCaught
        showsOrigin = isCaught && level == .debug
    }

    /// Writes one line; `function` and `line` are where it comes from.
    public func write(
        _ severity: LogLevel,
        _ message: ByteString,
        function: StaticString = #function,
        line: Int = #line
    ) {
        guard severity >= level else { return }
        var text = message
        if showsOrigin {
            let name = function.description.prefix { $0 != "(" }
            text = "\(String(name))(), line \(String(line)): \(message)"
        }
        put(LogLine.format(time: nil, level: severity, message: text, limit: limit))
    }

    /// Writes one line whatever the level is: PHP's own words, of which nobody knows how severe they are.
    func writeUnlabelled(_ message: ByteString) { put(message.bytes + [UInt8(ascii: "\n")]) }

    /// After each request: text without a newline is to be logged now.
    func requestEnded() {
        if marksRequests { put(Self.flushMarker) }
    }

    private func put(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            while Glibc.write(STDERR_FILENO, base, buffer.count) < 0 && errno == EINTR {}
        }
    }
}
