/// Splits one line into tokens as PHP's INI scanner in normal mode does.
///
/// Of all rules that match at a position the longest wins, and of equally long ones the first in the
/// order of each `…Token` method. (PHP's scanner is generated; this one follows its observable rules.)
struct INIScanner {
    /// What the scanner is inside of.
    private enum State {
        case initial, sectionName, offset, value, doubleQuotes, variableName
    }

    private let text: [UInt8]
    private var position = 0
    private var state = State.initial
    /// States to return to from double quotes and variable names.
    private var outerStates: [State] = []
    /// Line of the next token, counted from 1 within `text`.
    private(set) var line = 1

    /// Scans `line`, which should end in a newline; a byte order mark at its start is dropped.
    init(_ line: ArraySlice<UInt8>) {
        // The parser gets a C string: a zero byte ends it, newline and all.
        let visible = line.prefix { $0 != 0 }
        text = Array(visible.starts(with: [0xEF, 0xBB, 0xBF]) ? visible.dropFirst(3) : visible)
    }

    /// The next token; ``INIToken/end`` again and again at the end.
    mutating func next() -> INIToken {
        while true {
            guard position < text.count else {
                // The end of the text ends a value as a newline would.
                guard state == .value else { return .end }
                state = .initial
                return .endOfLine
            }
            let token: INIToken? =
                switch state {
                case .initial: initialToken()
                case .sectionName, .offset: nameToken()
                case .value: valueToken()
                case .doubleQuotes: quotedToken()
                case .variableName: variableToken()
                }
            if let token { return token }
        }
    }
}

// MARK: - One state each

extension INIScanner {
    /// A token at the start of a statement or after a name; nil when blanks were skipped.
    private mutating func initialToken() -> INIToken? {
        let blanks = run(from: position) { $0.isBlank }
        if let token = commentOrNewline(afterBlanks: blanks) { return token }
        if byte(at: blanks) == UInt8(ascii: "=") {
            position = run(from: blanks + 1) { $0.isBlank }
            state = .value
            return .character(UInt8(ascii: "="))
        }
        let label = run(from: position) { $0.isLabelByte }
        if label > position, byte(at: label) == UInt8(ascii: "[") {
            let name = trimmed(position..<label)
            position = run(from: label + 1) { $0.isBlank }
            state = .offset
            return .offset(name)
        }
        if let (keyword, end) = keyword(), end >= label {
            position = end
            return keyword
        }
        if label > position {
            defer { position = label }
            return .label(trimmed(position..<label))
        }
        if blanks > position {
            position = blanks
            return nil
        }
        let byte = text[position]
        position += 1
        if byte == UInt8(ascii: "[") {
            state = .sectionName
            return .section
        }
        return .character(byte)
    }

    /// A token inside the brackets of a section header or an array entry.
    private mutating func nameToken() -> INIToken {
        let isSection = state == .sectionName
        let blanks = run(from: position) { $0.isBlank }
        if isSection ? text[position] == UInt8(ascii: "]") : byte(at: blanks) == UInt8(ascii: "]") {
            position = isSection ? run(from: position + 1) { $0.isBlank } : blanks + 1
            state = .initial
            if isSection {
                // The header's own newline belongs to it, and the count goes up even without one.
                position = newlineEnd(at: position) ?? position
                line += 1
            }
            return .character(UInt8(ascii: "]"))
        }
        if byte(at: blanks) == UInt8(ascii: "\"") { return enterQuotes(at: blanks) }
        if let token = singleQuoted() { return token }
        if startsVariable(at: position) { return enterVariable() }
        let end = nameTextEnd()
        guard end > position else {
            position = text.count
            return .end
        }
        let identifier = run(from: position, isFirst: \.isIdentifierStart) { $0.isIdentifierByte }
        defer { position = end }
        if identifier == end { return .constant(slice(position..<end)) }
        if blanks == end { return .whitespace(slice(position..<end)) }
        return .string(slice(position..<end))
    }

    /// A token of a value.
    private mutating func valueToken() -> INIToken? {
        let blanks = run(from: position) { $0.isBlank }
        if let token = commentOrNewline(afterBlanks: blanks) { return token }
        if byte(at: blanks) == UInt8(ascii: "\"") { return enterQuotes(at: blanks) }
        if blanks > position {
            defer { position = blanks }
            return .whitespace(slice(position..<blanks))
        }
        let byte = text[position]
        if byte == UInt8(ascii: "=") {
            // Ends the value, so that the parser sees the sign where none may stand.
            state = .initial
            return .endOfLine
        }
        if byte.isINIOperator {
            position = run(from: position + 1) { $0.isBlank }
            return .character(byte)
        }
        if byte == UInt8(ascii: "'"), self.byte(at: position + 1) == UInt8(ascii: "'") {
            // An empty pair ends the value after its first quote; the second begins another statement.
            position += 1
            state = .initial
            return .endOfLine
        }
        if let token = singleQuoted() { return token }
        if startsVariable(at: position) { return enterVariable() }
        let end = valueTextEnd()
        if let (keyword, keywordEnd) = keyword(), keywordEnd >= end {
            position = keywordEnd
            return keyword
        }
        guard end > position else {
            position = text.count
            state = .initial
            return .end
        }
        let range = position..<end
        position = end
        if run(from: range.lowerBound, isFirst: \.isIdentifierStart, while: { $0.isIdentifierByte }) == end {
            return .constant(slice(range))
        }
        return isNumber(range) ? .number(slice(range)) : .string(slice(range))
    }

    /// A token inside double quotes.
    private mutating func quotedToken() -> INIToken {
        if text[position] == UInt8(ascii: "\"") {
            position = run(from: position + 1) { $0.isBlank }
            state = outerStates.popLast() ?? .initial
            return .character(UInt8(ascii: "\""))
        }
        if startsVariable(at: position) { return enterVariable() }
        let end = quotedTextEnd()
        let content = text[position..<end]
        line += content.indices.count { index in
            let isLoneReturn = content[index] == UInt8(ascii: "\r") && byte(at: index + 1) != UInt8(ascii: "\n")
            return content[index] == UInt8(ascii: "\n") || isLoneReturn
        }
        position = end
        return .quoted(unescaped(content))
    }

    /// A token after `${`.
    private mutating func variableToken() -> INIToken {
        if text[position] == UInt8(ascii: "}") {
            position += 1
            state = outerStates.popLast() ?? .initial
            return .character(UInt8(ascii: "}"))
        }
        let label = run(from: position) { $0.isLabelByte }
        guard label > position else {
            position = text.count
            state = .initial
            return .end
        }
        defer { position = label }
        return .variableName(trimmed(position..<label))
    }
}

// MARK: - Rules shared by several states

extension INIScanner {
    /// A newline or a whole comment after blanks, which end a statement.
    private mutating func commentOrNewline(afterBlanks blanks: Int) -> INIToken? {
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
    private func keyword() -> (INIToken, end: Int)? {
        for (word, token) in Self.keywords where text[position...].prefix(word.count).elementsEqual(
            word, by: { $0.loweredASCII == $1 })
        {
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
    private mutating func singleQuoted() -> INIToken? {
        guard text[position] == UInt8(ascii: "'") else { return nil }
        let end = run(from: position + 1) { $0 != UInt8(ascii: "'") }
        guard end < text.count, end > position + 1 else { return nil }
        defer { position = end + 1 }
        return .raw(slice(position + 1..<end))
    }

    private mutating func enterQuotes(at quote: Int) -> INIToken {
        position = quote + 1
        outerStates.append(state)
        state = .doubleQuotes
        return .character(UInt8(ascii: "\""))
    }

    private mutating func enterVariable() -> INIToken {
        position += 2
        outerStates.append(state)
        state = .variableName
        return .dollarCurly
    }

    private func startsVariable(at index: Int) -> Bool {
        byte(at: index) == UInt8(ascii: "$") && byte(at: index + 1) == UInt8(ascii: "{")
    }

    /// End of unquoted value text at the position. A `$` takes the byte after it along, whatever it is.
    private func valueTextEnd() -> Int {
        longestRun { $0.isValueByte ? 1 : nil }
    }

    /// End of unquoted text between brackets. A backslash takes the byte after it along, as does a `$`.
    private func nameTextEnd() -> Int {
        longestRun { $0.isNameByte ? 1 : $0 == UInt8(ascii: "\\") ? 2 : nil }
    }

    /// The longest way to read text as pieces of `pieceLength` bytes and of protected dollar signs.
    ///
    /// `$\$` is either a dollar with an escaped byte, or a dollar with a backslash and then a dollar that
    /// takes the next byte: so all ways are followed at once, as a regular expression would.
    private func longestRun(pieceLength: (UInt8) -> Int?) -> Int {
        var longest = position
        var reachable: Set<Int> = [position]
        while let index = reachable.min() {
            reachable.remove(index)
            longest = max(longest, index)
            guard index < text.count else { continue }
            var lengths: [Int] = []
            if let length = pieceLength(text[index]) {
                lengths = [length]
            } else if text[index] == UInt8(ascii: "$"), byte(at: index + 1) != UInt8(ascii: "{") {
                lengths = byte(at: index + 1) == UInt8(ascii: "\\") ? [2, 3] : [2]
            }
            for length in lengths where index + length <= text.count { reachable.insert(index + length) }
        }
        return longest
    }

    /// End of a piece of double-quoted text: the closing quote, a variable or the end of the text.
    private func quotedTextEnd() -> Int {
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
    private func unescaped(_ content: ArraySlice<UInt8>) -> ByteString {
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
    private func isNumber(_ range: Range<Int>) -> Bool {
        let digits = text[range].drop { $0 == UInt8(ascii: "-") }
        let points = digits.count { $0 == UInt8(ascii: ".") }
        let isSigned = digits.count < range.count
        guard range.count - digits.count <= 1, points <= (isSigned ? 0 : 1), digits.count > points else {
            return false
        }
        return digits.allSatisfy { $0.isASCIIDigit || $0 == UInt8(ascii: ".") }
    }

    /// The end of a newline at `index`: LF, CR or CR LF.
    private func newlineEnd(at index: Int) -> Int? {
        switch byte(at: index) {
        case UInt8(ascii: "\n"): index + 1
        case UInt8(ascii: "\r"): byte(at: index + 1) == UInt8(ascii: "\n") ? index + 2 : index + 1
        default: nil
        }
    }

    private func byte(at index: Int) -> UInt8? { index < text.count ? text[index] : nil }

    private func slice(_ range: Range<Int>) -> ByteString { ByteString(text[range]) }

    /// The end of the longest run of bytes that satisfy `condition`.
    private func run(from start: Int, while condition: (UInt8) -> Bool) -> Int {
        var index = start
        while index < text.count, condition(text[index]) { index += 1 }
        return index
    }

    /// As ``run(from:while:)`` with a stricter condition for the first byte.
    private func run(from start: Int, isFirst: (UInt8) -> Bool, while condition: (UInt8) -> Bool) -> Int {
        guard start < text.count, isFirst(text[start]) else { return start }
        return run(from: start + 1, while: condition)
    }

    /// A part of the text without blanks around it.
    private func trimmed(_ range: Range<Int>) -> ByteString {
        let content = text[range].drop { $0.isBlank }
        let length = content.reversed().drop { $0.isBlank }.count
        return ByteString(content.prefix(length))
    }
}

extension UInt8 {
    /// Bytes of a directive name.
    fileprivate var isLabelByte: Bool {
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
    fileprivate var isValueByte: Bool {
        switch self {
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"),
            UInt8(ascii: "\r"), UInt8(ascii: ";"), UInt8(ascii: "\""), UInt8(ascii: "'"):
            false
        default: !isINIOperator
        }
    }

    /// Bytes of unquoted text between brackets.
    fileprivate var isNameByte: Bool {
        switch self {
        case UInt8(ascii: "$"), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: ";"), UInt8(ascii: "\""),
            UInt8(ascii: "'"), UInt8(ascii: "]"), UInt8(ascii: "\\"):
            false
        default: true
        }
    }

    fileprivate var isINIOperator: Bool {
        switch self {
        case UInt8(ascii: "&"), UInt8(ascii: "|"), UInt8(ascii: "^"), UInt8(ascii: "~"), UInt8(ascii: "("),
            UInt8(ascii: ")"), UInt8(ascii: "!"):
            true
        default: false
        }
    }

    fileprivate var isEscapable: Bool {
        self == UInt8(ascii: "\"") || self == UInt8(ascii: "\\") || self == UInt8(ascii: "$")
    }

    fileprivate var isIdentifierStart: Bool { isASCIILetter || self == UInt8(ascii: "_") }
    fileprivate var isIdentifierByte: Bool { isIdentifierStart || isASCIIDigit }
}
