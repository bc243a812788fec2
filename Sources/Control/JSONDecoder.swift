/// Reads JSON from a peer that may be hostile: nesting, the number of values and thus memory and time are bounded.
public struct JSONDecoder {
    /// Why a text is refused, and where.
    public struct Malformed: Error, Equatable, Sendable {
        /// What is wrong, in a few words.
        public let reason: String
        /// Bytes before it.
        public let offset: Int
    }

    private static let deepest = 16

    private let bytes: [UInt8]
    private var position = 0
    private var valuesLeft: Int

    /// Reads one value that takes the whole text.
    ///
    /// - Parameters:
    ///   - bytes: The text, UTF-8; the caller bounds its length.
    ///   - mostValues: Values in it, nested ones included.
    /// - Returns: The value.
    /// - Throws: ``Malformed`` for everything that is not strictly JSON, a name that occurs twice in an object, bytes
    ///   that are not UTF-8, more than 16 levels, too many values.
    public static func decode(_ bytes: [UInt8], mostValues: Int = 100_000) throws(Malformed) -> JSON {
        var decoder = JSONDecoder(bytes: bytes, valuesLeft: mostValues)
        decoder.skipBlanks()
        let value = try decoder.value(0)
        decoder.skipBlanks()
        guard decoder.position == bytes.count else { throw decoder.malformed("text after the value") }
        return value
    }

    private init(bytes: [UInt8], valuesLeft: Int) {
        self.bytes = bytes
        self.valuesLeft = valuesLeft
    }

    private func malformed(_ reason: String) -> Malformed { Malformed(reason: reason, offset: position) }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipBlanks() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { position += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) throws(Malformed) {
        guard next == UInt8(ascii: character) else { throw malformed("expected '\(character)'") }
        position += 1
    }

    private mutating func value(_ depth: Int) throws(Malformed) -> JSON {
        guard depth < Self.deepest else { throw malformed("nested too deep") }
        guard valuesLeft > 0 else { throw malformed("too many values") }
        valuesLeft -= 1
        switch next {
        case UInt8(ascii: "{"): return try object(depth)
        case UInt8(ascii: "["): return try array(depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw malformed("ends too early")
        default: return try number()
        }
    }

    private mutating func word(_ word: String, _ value: JSON) throws(Malformed) -> JSON {
        guard bytes[position...].starts(with: word.utf8) else { throw malformed("not a value") }
        position += word.utf8.count
        return value
    }

    private mutating func object(_ depth: Int) throws(Malformed) -> JSON {
        var members: [JSON.Member] = []
        var names: Set<String> = []
        try take("{")
        skipBlanks()
        if next == UInt8(ascii: "}") {
            position += 1
            return .object([])
        }
        while true {
            skipBlanks()
            guard next == UInt8(ascii: "\"") else { throw malformed("expected a name") }
            let name = try string()
            guard names.insert(name).inserted else { throw malformed("a name occurs twice") }
            skipBlanks()
            try take(":")
            skipBlanks()
            members.append(JSON.Member(name, try value(depth + 1)))
            skipBlanks()
            if next == UInt8(ascii: ",") {
                position += 1
                continue
            }
            try take("}")
            return .object(members)
        }
    }

    private mutating func array(_ depth: Int) throws(Malformed) -> JSON {
        var elements: [JSON] = []
        try take("[")
        skipBlanks()
        if next == UInt8(ascii: "]") {
            position += 1
            return .array([])
        }
        while true {
            skipBlanks()
            elements.append(try value(depth + 1))
            skipBlanks()
            if next == UInt8(ascii: ",") {
                position += 1
                continue
            }
            try take("]")
            return .array(elements)
        }
    }

    // MARK: - Numbers

    private mutating func digits() throws(Malformed) {
        let start = position
        while let byte = next, byte >= 0x30, byte <= 0x39 { position += 1 }
        guard position > start else { throw malformed("expected a digit") }
    }

    private mutating func number() throws(Malformed) -> JSON {
        let start = position
        var isWhole = true
        if next == UInt8(ascii: "-") { position += 1 }
        let first = position
        try digits()
        guard bytes[first] != UInt8(ascii: "0") || position == first + 1 else {
            throw malformed("a number begins with 0")
        }
        if next == UInt8(ascii: ".") {
            isWhole = false
            position += 1
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isWhole = false
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        guard position - start <= 64 else { throw malformed("a number is too long") }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isWhole, let number = Int64(text) { return .integer(number) }
        guard let number = Double(text), number.isFinite else { throw malformed("a number is too large") }
        return .number(number)
    }

    // MARK: - Strings

    private mutating func string() throws(Malformed) -> String {
        try take("\"")
        var text: [UInt8] = []
        while true {
            guard let byte = next else { throw malformed("a string has no end") }
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let checked = String(validating: text, as: UTF8.self) else {
                    throw malformed("a string is not UTF-8")
                }
                return checked
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw malformed("a control character in a string")
            default: text.append(byte)
            }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws(Malformed) {
        guard let byte = next else { throw malformed("a string has no end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text += Array(String(try codePoint()).utf8)
        default: throw malformed("an unknown escape")
        }
    }

    private mutating func codePoint() throws(Malformed) -> Unicode.Scalar {
        var value = try hexadecimal()
        if (0xd800..<0xdc00).contains(value) {
            try take("\\")
            try take("u")
            let low = try hexadecimal()
            guard (0xdc00..<0xe000).contains(low) else { throw malformed("half a surrogate pair") }
            value = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(value) else { throw malformed("half a surrogate pair") }
        return scalar
    }

    private mutating func hexadecimal() throws(Malformed) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next else { throw malformed("a string has no end") }
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt32(byte - 0x30)
            case 0x41...0x46: value = value << 4 | UInt32(byte - 0x41 + 10)
            case 0x61...0x66: value = value << 4 | UInt32(byte - 0x61 + 10)
            default: throw malformed("not a hexadecimal digit")
            }
            position += 1
        }
        return value
    }
}
