/// Sizes fixed by the FastCGI specification, in bytes.
public enum RecordLimit {
    /// Length of a record header.
    public static let headerLength = 8
    /// Largest content of one record.
    public static let maximumContent = 65535
    /// Largest content of one record that needs no padding.
    public static let maximumAlignedContent = 65528
    /// Length of a complete END_REQUEST record.
    public static let endRequestLength = 16
}

/// Kind of a record (FastCGI specification, section 8).
public enum RecordType: UInt8, Sendable {
    case beginRequest = 1
    case abortRequest = 2
    case endRequest = 3
    case parameters = 4
    case standardInput = 5
    case standardOutput = 6
    case standardError = 7
    case data = 8
    case getValues = 9
    case getValuesResult = 10
    case unknownType = 11
}

/// What the web server asks the application to be.
///
/// All three run like a responder.
public enum Role: UInt16, Sendable {
    case responder = 1
    case authorizer = 2
    case filter = 3

    /// Value of the parameter `FCGI_ROLE` that PHP sees.
    public var parameterValue: StaticString {
        switch self {
        case .responder: "RESPONDER"
        case .authorizer: "AUTHORIZER"
        case .filter: "FILTER"
        }
    }
}

/// The protocolStatus byte of END_REQUEST.
public enum ProtocolStatus: UInt8, Sendable {
    case requestComplete = 0
    case cannotMultiplex = 1
    case overloaded = 2
    case unknownRole = 3
}

/// The eight bytes in front of every record; lengths in bytes.
public struct RecordHeader: Equatable, Sendable {
    /// Protocol version, 1 in everything that is sent.
    public var version: UInt8
    /// Raw type byte: a peer may send one that ``RecordType`` does not know.
    public var type: UInt8
    /// Request the record belongs to; 0 for management records.
    public var requestID: UInt16
    /// Content that follows the header, 0…65535.
    public var contentLength: UInt16
    /// Bytes to ignore after the content, 0…255.
    public var paddingLength: UInt8

    /// Makes the header of a record to send.
    public init(_ type: RecordType, requestID: UInt16, contentLength: UInt16, paddingLength: UInt8 = 0) {
        version = 1
        self.type = type.rawValue
        self.requestID = requestID
        self.contentLength = contentLength
        self.paddingLength = paddingLength
    }

    /// Reads the header at `offset`; at least eight bytes must be there.
    @inlinable
    public init(_ bytes: Span<UInt8>, at offset: Int) {
        version = bytes[offset]
        type = bytes[offset + 1]
        requestID = UInt16(bytes[offset + 2]) << 8 | UInt16(bytes[offset + 3])
        contentLength = UInt16(bytes[offset + 4]) << 8 | UInt16(bytes[offset + 5])
        paddingLength = bytes[offset + 6]
    }

    /// The padding that makes a record of `contentLength` bytes a multiple of eight.
    @inlinable
    public static func padding(for contentLength: Int) -> Int { -contentLength & 7 }

    /// Writes the header into the first eight bytes at `offset`; the memory must reach that far.
    @inlinable
    public func store(in memory: UnsafeMutableRawBufferPointer, at offset: Int) {
        unsafe memory[offset] = version
        unsafe memory[offset + 1] = type
        unsafe memory[offset + 2] = UInt8(truncatingIfNeeded: requestID >> 8)
        unsafe memory[offset + 3] = UInt8(truncatingIfNeeded: requestID)
        unsafe memory[offset + 4] = UInt8(truncatingIfNeeded: contentLength >> 8)
        unsafe memory[offset + 5] = UInt8(truncatingIfNeeded: contentLength)
        unsafe memory[offset + 6] = paddingLength
        unsafe memory[offset + 7] = 0
    }
}
