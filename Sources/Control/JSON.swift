/// A JSON value, as the control socket's requests and answers hold it.
public enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    /// A number without fraction or exponent that fits.
    case integer(Int64)
    /// Any other number; one that is not finite is written as `null`.
    case number(Double)
    case string(String)
    case array([JSON])
    /// Members in their order; no name occurs twice in what was decoded.
    case object([Member])

    /// A name and its value.
    public struct Member: Equatable, Sendable {
        /// The name.
        public var name: String
        /// The value.
        public var value: JSON
        /// Both as given.
        public init(_ name: String, _ value: JSON) {
            self.name = name
            self.value = value
        }
    }

    /// The value of a member; nil if this is no object, or has none of that name.
    public subscript(_ name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    /// The text of a string.
    public var text: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// A whole number.
    public var count: Int? {
        if case .integer(let number) = self { Int(exactly: number) } else { nil }
    }

    /// Any number.
    public var double: Double? {
        switch self {
        case .integer(let number): Double(number)
        case .number(let number): number
        case .null, .bool, .string, .array, .object: nil
        }
    }

    /// A truth value.
    public var flag: Bool? {
        if case .bool(let flag) = self { flag } else { nil }
    }

    /// The elements of an array; none for any other value.
    public var elements: [JSON] {
        if case .array(let elements) = self { elements } else { [] }
    }

    /// The members of an object; none for any other value.
    public var members: [Member] {
        if case .object(let members) = self { members } else { [] }
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// A string.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A whole number.
    public init(integerLiteral value: Int64) { self = .integer(value) }
    /// An array.
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    /// An object with its members in the order written.
    public init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(elements.map { Member($0.0, $0.1) })
    }
    /// A whole number; one that does not fit becomes the nearest that does.
    public init(_ number: some BinaryInteger) { self = .integer(Int64(clamping: number)) }
    /// A string, or `null`.
    public init(_ text: String?) { self = text.map { .string($0) } ?? .null }
}

extension JSON {
    /// Appends the value's text: one line, or indented by `indent` spaces a level.
    public func write(to bytes: inout [UInt8], indent: Int? = nil) { write(to: &bytes, indent, 0) }

    /// The value's text on one line.
    public var line: [UInt8] {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return bytes
    }

    private func write(to bytes: inout [UInt8], _ indent: Int?, _ level: Int) {
        switch self {
        case .null: bytes += "null".utf8
        case .bool(let flag): bytes += (flag ? "true" : "false").utf8
        case .integer(let number): bytes += String(number).utf8
        case .number(let number): bytes += (number.isFinite ? "\(number)" : "null").utf8
        case .string(let text): JSON.quote(text, into: &bytes)
        case .array(let elements):
            Self.list(elements, "[", "]", &bytes, indent, level) { element, bytes in
                element.write(to: &bytes, indent, level + 1)
            }
        case .object(let members):
            Self.list(members, "{", "}", &bytes, indent, level) { member, bytes in
                JSON.quote(member.name, into: &bytes)
                bytes += (indent == nil ? ":" : ": ").utf8
                member.value.write(to: &bytes, indent, level + 1)
            }
        }
    }

    private static func list<Element>(
        _ elements: [Element],
        _ opening: String,
        _ closing: String,
        _ bytes: inout [UInt8],
        _ indent: Int?,
        _ level: Int,
        _ each: (Element, inout [UInt8]) -> Void
    ) {
        func newline(_ level: Int) {
            guard let indent, !elements.isEmpty else { return }
            bytes.append(UInt8(ascii: "\n"))
            bytes += [UInt8](repeating: UInt8(ascii: " "), count: indent * level)
        }
        bytes += opening.utf8
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            newline(level + 1)
            each(element, &bytes)
        }
        newline(level)
        bytes += closing.utf8
    }

    /// Control characters, quotes and backslashes are escaped, and so is what a terminal might take for a command.
    private static func quote(_ text: String, into bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": bytes += "\\\"".utf8
            case "\\": bytes += "\\\\".utf8
            case "\n": bytes += "\\n".utf8
            case "\t": bytes += "\\t".utf8
            case "\r": bytes += "\\r".utf8
            case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                bytes += ("\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits).utf8
            default: bytes += Array(String(scalar).utf8)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
