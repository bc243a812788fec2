/// Where a pool listens, as the text of a `listen` directive means it.
public enum ListenAddress: Hashable, Sendable {
    /// A bare port: the IPv6 wildcard, else the IPv4 one.
    case port(UInt16)
    /// A host name or address (brackets removed, may be blank) and a port.
    case host(ByteString, port: UInt16)
    /// A Unix socket's path.
    case unix(path: ByteString)
    /// A TCP form whose port is not 1 … 65535. `-t` accepts it; binding reports `invalid port value '…'`.
    case invalidPort(ByteString)

    /// Reads a `listen` value: all digits is a port, a colon makes it host and port, anything else is a path.
    public init(_ text: ByteString) {
        if text.isAllDigits {
            self = Self.checkedPort(text).map(ListenAddress.port) ?? .invalidPort(text)
            return
        }
        guard let colon = text.bytes.lastIndex(of: UInt8(ascii: ":")) else {
            self = .unix(path: text)
            return
        }
        let portText = ByteString(text.bytes[(colon + 1)...])
        guard let port = Self.checkedPort(portText) else {
            self = .invalidPort(portText)
            return
        }
        var host = text.bytes[..<colon]
        if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]"), host.count >= 2 {
            host = host.dropFirst().dropLast()
        }
        self = .host(ByteString(host), port: port)
    }

    /// Whether this is a path, to be expanded and given owner and mode.
    public var isUnix: Bool {
        if case .unix = self { true } else { false }
    }

    /// A port read as `atoi` does; nil outside 1 … 65535.
    private static func checkedPort(_ text: ByteString) -> UInt16? {
        let number = cInteger(text.bytes[...])
        return number >= 1 ? UInt16(exactly: number) : nil
    }
}
