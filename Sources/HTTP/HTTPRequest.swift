/// A request without a body, as a monitoring server needs it.
public struct HTTPRequest: Equatable, Sendable {
    /// The answer is to have no body.
    public var isHead: Bool
    /// Path of the target as it was sent, percent signs and all.
    public var path: [UInt8]
    /// What followed its question mark; empty without one.
    public var query: [UInt8]
    /// 0 or 1 of HTTP/1.x.
    public var minorVersion: UInt8
    /// Whether the connection may serve another request.
    public var keepsConnection: Bool
    /// Whether OpenMetrics is among the media types that the client accepts.
    public var acceptsOpenMetrics: Bool
}

/// Why a request is refused; the raw value is the status of the answer, after which the connection is closed.
public enum HTTPRefusal: Int, Error, Sendable {
    /// It is not HTTP, or not as RFC 9112 wants it.
    case badRequest = 400
    /// Neither GET nor HEAD.
    case methodNotAllowed = 405
    /// It has not been complete in time.
    case timeout = 408
    /// It has a body.
    case contentTooLarge = 413
    /// Its target is too long.
    case targetTooLong = 414
    /// Its header is too large.
    case headerTooLarge = 431
    /// Another version of HTTP.
    case versionNotSupported = 505

    /// The phrase of the status line.
    public var reason: StaticString {
        switch self {
        case .badRequest: "Bad Request"
        case .methodNotAllowed: "Method Not Allowed"
        case .timeout: "Request Timeout"
        case .contentTooLarge: "Content Too Large"
        case .targetTooLong: "URI Too Long"
        case .headerTooLarge: "Request Header Fields Too Large"
        case .versionNotSupported: "HTTP Version Not Supported"
        }
    }
}
