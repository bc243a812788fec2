/// A text of any bytes, as configuration files, paths and environment variables hold them.
///
/// Unlike `String` it never repairs bytes that are not UTF-8, so a value reaches the kernel and PHP
/// exactly as the file has it. Equality and hashing are by bytes.
public struct ByteString: Hashable, Sendable {
    /// The bytes, without terminator; may contain zero bytes unless the source excludes them.
    public var bytes: [UInt8]

    /// Wraps `bytes` unchanged.
    @inlinable public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Copies any sequence of bytes, such as a slice.
    @inlinable public init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    /// The UTF-8 form of `text`.
    @inlinable public init(_ text: String) { bytes = Array(text.utf8) }

    /// No bytes.
    @inlinable public init() { bytes = [] }

    /// Whether there are no bytes.
    @inlinable public var isEmpty: Bool { bytes.isEmpty }

    /// The number of bytes.
    @inlinable public var count: Int { bytes.count }

    /// Whether the text begins with `/`.
    @inlinable public var isAbsolutePath: Bool { bytes.first == UInt8(ascii: "/") }

    /// Whether there is at least one byte and all are ASCII digits.
    public var isAllDigits: Bool { !bytes.isEmpty && bytes.allSatisfy(\.isASCIIDigit) }

    /// Compares with ASCII letters' case ignored, as C `strcasecmp` does in the C locale.
    public func equalsIgnoringCase(_ other: ByteString) -> Bool {
        bytes.count == other.bytes.count
            && zip(bytes, other.bytes).allSatisfy { $0.loweredASCII == $1.loweredASCII }
    }

    /// The bytes with a zero at the end, to pass where C takes a text; there a zero byte before ends it.
    public var cString: [CChar] {
        var text: [CChar] = []
        text.reserveCapacity(bytes.count + 1)
        for byte in bytes { text.append(CChar(bitPattern: byte)) }
        text.append(0)
        return text
    }

    /// Adds `other` at the end.
    @inlinable public mutating func append(_ other: ByteString) { bytes.append(contentsOf: other.bytes) }

    /// Joins two texts.
    @inlinable public static func + (left: ByteString, right: ByteString) -> ByteString {
        ByteString(left.bytes + right.bytes)
    }
}

extension ByteString: ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    /// The UTF-8 form of a literal.
    @inlinable public init(stringLiteral value: String) { self.init(value) }

    /// Builds a text from literal pieces, byte strings (unchanged) and integers.
    public struct StringInterpolation: StringInterpolationProtocol {
        @usableFromInline var bytes: [UInt8] = []

        /// Prepares for pieces of about the given size.
        @inlinable public init(literalCapacity: Int, interpolationCount: Int) {
            bytes.reserveCapacity(literalCapacity + 16 * interpolationCount)
        }

        /// Adds a literal piece.
        @inlinable public mutating func appendLiteral(_ literal: String) {
            bytes.append(contentsOf: literal.utf8)
        }

        /// Adds bytes unchanged.
        @inlinable public mutating func appendInterpolation(_ text: ByteString) {
            bytes.append(contentsOf: text.bytes)
        }

        /// Adds a text in UTF-8.
        @inlinable public mutating func appendInterpolation(_ text: String) {
            bytes.append(contentsOf: text.utf8)
        }

        /// Adds a number in decimal.
        @inlinable public mutating func appendInterpolation(_ number: some FixedWidthInteger) {
            bytes.append(contentsOf: String(number).utf8)
        }
    }

    /// Takes the bytes of all pieces.
    @inlinable public init(stringInterpolation: StringInterpolation) {
        self.init(stringInterpolation.bytes)
    }
}

extension ByteString: CustomStringConvertible {
    /// The text with bytes that are not UTF-8 replaced; for people, not for the kernel (``cString``).
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}

extension UInt8 {
    /// Whether the byte is `0` … `9`.
    var isASCIIDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }

    /// Whether the byte is an ASCII letter.
    var isASCIILetter: Bool { loweredASCII >= UInt8(ascii: "a") && loweredASCII <= UInt8(ascii: "z") }

    /// The byte with an ASCII upper-case letter made lower case.
    var loweredASCII: UInt8 {
        self >= UInt8(ascii: "A") && self <= UInt8(ascii: "Z") ? self | 0x20 : self
    }

    /// Whether the byte is a blank or a tab.
    var isBlank: Bool { self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") }
}
