/// Splits one line into tokens as PHP's INI scanner in normal mode does.
///
/// Of all rules that match at a position the longest wins, and of equally long ones the first in the
/// order of each `…Token` method. (PHP's scanner is generated; this one follows its observable rules.)
struct INIScanner {
    /// What the scanner is inside of.
    enum State {
        case initial, sectionName, offset, value, doubleQuotes, variableName
    }

    let text: [UInt8]
    var position = 0
    var state = State.initial
    /// States to return to from double quotes and variable names.
    var outerStates: [State] = []
    /// Line of the next token, counted from 1 within `text`.
    var line = 1

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
            switch content[index] {
            case UInt8(ascii: "\n"): true
            case UInt8(ascii: "\r"): byte(at: index + 1) != UInt8(ascii: "\n")
            default: false
            }
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
