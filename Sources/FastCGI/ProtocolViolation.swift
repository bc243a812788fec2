/// Why a connection cannot be served any longer: the peer does not speak FastCGI, or exceeds a limit.
///
/// There is no reply to any of these; the connection is closed, as php-fpm does.
public enum ProtocolViolation: Error, Equatable, Sendable {
    /// Version byte 0.
    case unsupportedVersion(UInt8)
    /// A record that has no place here: an unknown type, a second BEGIN_REQUEST, a non-empty STDIN
    /// between requests. Raised while a body is read it means: the body ends, the connection too.
    case unexpectedRecord(type: UInt8)
    /// BEGIN_REQUEST with a body that is not eight bytes long.
    case beginRequestLength(Int)
    /// A role other than responder, authorizer and filter.
    case unknownRole(UInt16)
    /// GET_VALUES longer than ``RequestDecoder/maximumGetValuesContent``.
    case getValuesTooLong(Int)
    /// The PARAMS stream exceeds the limit given, in bytes.
    case parametersTooLong(limit: Int)
    /// More name-value pairs than the limit given.
    case tooManyParameters(limit: Int)
    /// A name-value pair that claims more bytes than its stream holds.
    case truncatedPair
}
