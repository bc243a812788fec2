/// The suffixes a script's path may end in: `security.limit_extensions`.
public struct AllowedExtensions: Sendable {
    private let suffixes: [[UInt8]]

    /// Takes suffixes with their dot, as `.php`.
    ///
    /// An empty list allows every path.
    public init(_ suffixes: [[UInt8]]) {
        self.suffixes = suffixes
    }

    /// Whether `path` ends in one of the suffixes, byte for byte, and is longer than it.
    public func allow(_ path: Span<UInt8>) -> Bool {
        guard !suffixes.isEmpty else { return true }
        for suffix in suffixes where path.count > suffix.count {
            if path.extracting(last: suffix.count).holdsSameBytes(as: suffix.span) { return true }
        }
        return false
    }
}

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
