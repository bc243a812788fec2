/// A parsed `access.format`: what a worker writes for each request.
public struct AccessLogFormat: Hashable, Sendable {
    /// One piece of the line.
    public enum Token: Hashable, Sendable {
        /// Bytes to copy, `%%` already replaced.
        case literal(ByteString)
        /// `%C`: CPU per cent of the request, two decimals.
        case cpu(CPUShare)
        /// `%d`: how long the request took.
        case duration(DurationUnit)
        /// `%{name}e`: a FastCGI parameter, `-` when absent.
        case parameter(ByteString)
        /// `%f`: script path, or `-`.
        case script
        /// `%l`: the request's content length.
        case contentLength
        /// `%m`: request method, or `-`.
        case method
        /// `%M`: memory peak.
        case memoryPeak(MemoryUnit)
        /// `%n`: pool name.
        case poolName
        /// `%{name}o`: a response header, `-` when absent.
        case responseHeader(ByteString)
        /// `%p`: the worker's process id.
        case workerID
        /// `%P`: the master's process id.
        case masterID
        /// `%q`: query string.
        case queryString
        /// `%Q`: `?` when there is a query string.
        case queryMark
        /// `%r`: URI without query.
        case uri
        /// `%R`: peer address, `-` for a Unix socket.
        case remoteAddress
        /// `%s`: response status code.
        case status
        /// `%{strftime}t`: when the request was accepted.
        case acceptTime(format: ByteString)
        /// `%{strftime}T`: when the line is written.
        case logTime(format: ByteString)
        /// `%u`: user of Basic authentication, empty when none.
        case remoteUser
    }

    /// Whose CPU time `%C` counts.
    public enum CPUShare: Hashable, Sendable { case total, user, system }
    /// Unit of `%d`: seconds and milliseconds with three decimals, microseconds whole.
    public enum DurationUnit: Hashable, Sendable { case seconds, milliseconds, microseconds }
    /// Unit of `%M`, by whole division.
    public enum MemoryUnit: Hashable, Sendable { case bytes, kilobytes, megabytes }

    /// The text it was parsed from.
    public let text: ByteString
    /// The line's pieces in order.
    public let tokens: [Token]
}
