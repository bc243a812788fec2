// Rules that several states of the scanner share.
extension INIScanner {
    /// A newline or a whole comment after blanks, which end a statement.
    mutating func commentOrNewline(afterBlanks blanks: Int) -> INIToken? {
        var end = blanks
        if byte(at: end) == UInt8(ascii: ";") {
            end = run(from: end) { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        }
        guard let next = newlineEnd(at: end) else { return nil }
        position = next
        state = .initial
        line += 1
        return .endOfLine
    }

    /// A keyword at the position and the end of the blanks after it.
    func keyword() -> (INIToken, end: Int)? {
        for (word, token) in Self.keywords
        where text[position...].prefix(word.count).elementsEqual(
            word,
            by: { $0.loweredASCII == $1 }
        ) {
            return (token, run(from: position + word.count) { $0.isBlank })
        }
        return nil
    }

    /// Longer words first, so that `none` is not read as `no`.
    private static let keywords: [(word: [UInt8], token: INIToken)] = [
        ("false", .booleanFalse), ("true", .booleanTrue), ("none", .booleanFalse), ("null", .null),
        ("yes", .booleanTrue), ("off", .booleanFalse), ("on", .booleanTrue), ("no", .booleanFalse),
    ].map { (Array($0.utf8), $1) }

    /// Text in single quotes; nil when there is no closing quote.
    mutating func singleQuoted() -> INIToken? {
        guard text[position] == UInt8(ascii: "'") else { return nil }
        let end = run(from: position + 1) { $0 != UInt8(ascii: "'") }
        guard end < text.count, end > position + 1 else { return nil }
        defer { position = end + 1 }
        return .raw(slice(position + 1..<end))
    }

    mutating func enterQuotes(at quote: Int) -> INIToken {
        position = quote + 1
        outerStates.append(state)
        state = .doubleQuotes
        return .character(UInt8(ascii: "\""))
    }

    mutating func enterVariable() -> INIToken {
        position += 2
        outerStates.append(state)
        state = .variableName
        return .dollarCurly
    }

    func startsVariable(at index: Int) -> Bool {
        byte(at: index) == UInt8(ascii: "$") && byte(at: index + 1) == UInt8(ascii: "{")
    }

    /// End of unquoted value text at the position.
    ///
    /// A `$` takes the byte after it along, whatever it is.
    func valueTextEnd() -> Int {
        longestRun { $0.isValueByte ? 1 : nil }
    }

    /// End of unquoted text between brackets.
    ///
    /// A backslash takes the byte after it along, as does a `$`.
    func nameTextEnd() -> Int {
        longestRun { $0.isNameByte ? 1 : $0 == UInt8(ascii: "\\") ? 2 : nil }
    }

    /// The longest way to read text as pieces of `pieceLength` bytes and of protected dollar signs.
    ///
    /// `$\$` is either a dollar with an escaped byte, or a dollar with a backslash and then a dollar that
    /// takes the next byte: so all ways are followed at once, as a regular expression would.
    func longestRun(pieceLength: (UInt8) -> Int?) -> Int {
        var longest = position
        var index = position
        // Bit n: some way of reading has a piece end at index + n.
        var ends = 1
        while ends != 0, index <= text.count {
            if ends & 1 != 0 {
                longest = index
                if let byte = byte(at: index) {
                    if let length = pieceLength(byte) {
                        ends |= 1 << length
                    } else if byte == UInt8(ascii: "$"), self.byte(at: index + 1) != UInt8(ascii: "{") {
                        ends |= self.byte(at: index + 1) == UInt8(ascii: "\\") ? 0b1100 : 0b100
                    }
                }
            }
            ends >>= 1
            index += 1
        }
        return longest
    }

    /// End of a piece of double-quoted text: the closing quote, a variable or the end of the text.
    func quotedTextEnd() -> Int {
        var index = position
        while index < text.count {
            switch text[index] {
            case UInt8(ascii: "\""):
                return index
            case UInt8(ascii: "$") where byte(at: index + 1) == UInt8(ascii: "{"):
                return index
            case UInt8(ascii: "\\") where byte(at: index + 1) == UInt8(ascii: "\""):
                // Protects the quote, except at the end of a line: "C:\dir\" is complete.
                index += newlineEnd(at: index + 2) == nil ? 2 : 1
            case UInt8(ascii: "\\"):
                index += 2
            default:
                index += 1
            }
        }
        return min(index, text.count)
    }

    /// Double-quoted text with `\"`, `\\` and `\$` replaced; other backslashes stay.
    func unescaped(_ content: ArraySlice<UInt8>) -> ByteString {
        var result: [UInt8] = []
        var rest = content
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let next = rest.first, next.isEscapable {
                result.append(next)
                rest = rest.dropFirst()
            } else {
                result.append(byte)
            }
        }
        return ByteString(result)
    }

    /// Whether the range is digits with an optional sign, or digits around one point without sign.
    func isNumber(_ range: Range<Int>) -> Bool {
        let digits = text[range].drop { $0 == UInt8(ascii: "-") }
        let points = digits.count { $0 == UInt8(ascii: ".") }
        let isSigned = digits.count < range.count
        guard range.count - digits.count <= 1, points <= (isSigned ? 0 : 1), digits.count > points else {
            return false
        }
        return digits.allSatisfy { $0.isASCIIDigit || $0 == UInt8(ascii: ".") }
    }

    /// The end of a newline at `index`: LF, CR or CR LF.
    func newlineEnd(at index: Int) -> Int? {
        switch byte(at: index) {
        case UInt8(ascii: "\n"): index + 1
        case UInt8(ascii: "\r"): byte(at: index + 1) == UInt8(ascii: "\n") ? index + 2 : index + 1
        default: nil
        }
    }

    func byte(at index: Int) -> UInt8? { index < text.count ? text[index] : nil }

    func slice(_ range: Range<Int>) -> ByteString { ByteString(text[range]) }

    /// The end of the longest run of bytes that satisfy `condition`.
    func run(from start: Int, while condition: (UInt8) -> Bool) -> Int {
        var index = start
        while index < text.count, condition(text[index]) { index += 1 }
        return index
    }

    /// As ``run(from:while:)`` with a stricter condition for the first byte.
    func run(from start: Int, isFirst: (UInt8) -> Bool, while condition: (UInt8) -> Bool) -> Int {
        guard start < text.count, isFirst(text[start]) else { return start }
        return run(from: start + 1, while: condition)
    }

    /// A part of the text without blanks around it.
    func trimmed(_ range: Range<Int>) -> ByteString {
        let content = text[range].drop { $0.isBlank }
        let length = content.reversed().drop { $0.isBlank }.count
        return ByteString(content.prefix(length))
    }
}

extension UInt8 {
    /// Bytes of a directive name.
    var isLabelByte: Bool {
        switch self {
        case UInt8(ascii: "="), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"), UInt8(ascii: ";"),
            UInt8(ascii: "&"), UInt8(ascii: "|"), UInt8(ascii: "^"), UInt8(ascii: "$"), UInt8(ascii: "~"),
            UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "!"),
            UInt8(ascii: "\""), UInt8(ascii: "["):
            false
        default: true
        }
    }

    /// Bytes of unquoted value text.
    var isValueByte: Bool {
        switch self {
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"),
            UInt8(ascii: "\r"), UInt8(ascii: ";"), UInt8(ascii: "\""), UInt8(ascii: "'"):
            false
        default: !isINIOperator
        }
    }

    /// Bytes of unquoted text between brackets.
    var isNameByte: Bool {
        switch self {
        case UInt8(ascii: "$"), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: ";"), UInt8(ascii: "\""),
            UInt8(ascii: "'"), UInt8(ascii: "]"), UInt8(ascii: "\\"):
            false
        default: true
        }
    }

    var isINIOperator: Bool {
        switch self {
        case UInt8(ascii: "&"), UInt8(ascii: "|"), UInt8(ascii: "^"), UInt8(ascii: "~"), UInt8(ascii: "("),
            UInt8(ascii: ")"), UInt8(ascii: "!"):
            true
        default: false
        }
    }

    var isEscapable: Bool {
        self == UInt8(ascii: "\"") || self == UInt8(ascii: "\\") || self == UInt8(ascii: "$")
    }

    var isIdentifierStart: Bool { isASCIILetter || self == UInt8(ascii: "_") }
    var isIdentifierByte: Bool { isIdentifierStart || isASCIIDigit }
}
