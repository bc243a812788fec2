/// A path the daemon answers itself: `ping.path` or `pm.status_path`.
public struct PathMatch: Sendable {
    private let path: [UInt8]

    /// Takes the configured path; an empty one matches nothing.
    public init(_ path: [UInt8]) {
        self.path = path
    }

    /// Whether the request URI is this path, byte for byte.
    public func matches(_ requestURI: Span<UInt8>) -> Bool {
        !path.isEmpty && requestURI.holdsSameBytes(as: path.span)
    }
}
