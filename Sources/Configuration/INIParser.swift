/// What a line of an INI file says.
enum INIEvent: Hashable, Sendable {
    /// `[name]`.
    case section(ByteString)
    /// `name = value`; nil when there is no `=`.
    case entry(name: ByteString, value: ByteString?)
    /// `name[key] = value`.
    case arrayEntry(name: ByteString, key: ByteString, value: ByteString)
}

/// A line that PHP's INI grammar does not accept.
struct INISyntaxError: Error, Hashable, Sendable {
    /// PHP's text, like `syntax error, unexpected '='`.
    var message: ByteString
    /// The line within the text, 1 or 2.
    var line: Int
}

/// Parses one line of the INI language and evaluates its values.
///
/// Events are delivered as soon as a statement is complete, as PHP's parser does, so a line can have
/// effects before the syntax error in the rest of it is found.
struct INIParser<Host: ConfigurationHost> {
    private let host: Host
    private var scanner: INIScanner
    private var token: INIToken

    /// Prepares to parse `line`, which includes its newline.
    init(_ line: ArraySlice<UInt8>, host: Host) {
        self.host = host
        scanner = INIScanner(line)
        token = scanner.next()
    }

    /// Parses the whole line.
    ///
    /// - Parameter deliver: Receives each event in order.
    /// - Throws: ``INISyntaxError`` at the first token that may not stand where it does.
    mutating func parse(_ deliver: (INIEvent) -> Void) throws(INISyntaxError) {
        while true {
            switch token {
            case .end:
                return
            case .endOfLine:
                advance()
            case .section:
                advance()
                let name = try text(.section)
                try expect("]", expecting: "']'")
                deliver(.section(name))
                advance()
            case .label(let name):
                advance()
                guard token == .character(UInt8(ascii: "=")) else {
                    deliver(.entry(name: name, value: nil))
                    continue
                }
                advance()
                deliver(.entry(name: name, value: try value()))
            case .offset(let name):
                advance()
                let key = try text(.key)
                try expect("]", expecting: "']'")
                advance()
                try expect("=", expecting: "'='")
                advance()
                deliver(.arrayEntry(name: name, key: key, value: try value()))
            default:
                throw unexpected()
            }
        }
    }
}

extension INIParser {
    private mutating func advance() { token = scanner.next() }

    private func unexpected(expecting: ByteString? = nil) -> INISyntaxError {
        let base: ByteString = "syntax error, unexpected \(token.name)"
        return INISyntaxError(
            message: expecting.map { "\(base), expecting \($0)" } ?? base,
            line: scanner.line
        )
    }

    private func expect(_ character: Unicode.Scalar, expecting: ByteString) throws(INISyntaxError) {
        guard token == .character(UInt8(ascii: character)) else { throw unexpected(expecting: expecting) }
    }

    /// The right side of an entry; a keyword stands alone, anything else is an expression.
    private mutating func value() throws(INISyntaxError) -> ByteString {
        switch token {
        case .booleanTrue:
            advance()
            return "1"
        case .booleanFalse, .null:
            advance()
            return ""
        case .endOfLine:
            advance()
            return ""
        default:
            return try expression()
        }
    }

    /// What waits for an operand to its right.
    private enum Pending {
        case parenthesis
        case invert
        case not
        case binary(UInt8, Int)
    }

    /// Operands joined by `|`, `&`, `^`, all of one precedence, from left to right; `~` and `!` bind tighter.
    ///
    /// Keeps its own stack, as a file may nest as deeply as it likes.
    private mutating func expression() throws(INISyntaxError) -> ByteString {
        var stack: [Pending] = []
        while true {
            while let prefix = prefixOperator {
                stack.append(prefix)
                advance()
            }
            var value = try text(.value)
            if try reduce(&value, &stack) { return value }
        }
    }

    /// Applies what waits for `value`; returns false when a binary operator asks for another operand.
    private mutating func reduce(
        _ value: inout ByteString,
        _ stack: inout [Pending]
    ) throws(INISyntaxError) -> Bool {
        while true {
            let number = cInteger(value.bytes[...])
            switch stack.last {
            case .invert: value = "\(~number)"
            case .not: value = number == 0 ? "1" : "0"
            case .binary(UInt8(ascii: "|"), let left): value = "\(left | number)"
            case .binary(UInt8(ascii: "&"), let left): value = "\(left & number)"
            case .binary(_, let left): value = "\(left ^ number)"
            case .parenthesis, nil:
                if let sign = binaryOperator {
                    stack.append(.binary(sign, number))
                    advance()
                    return false
                }
                guard !stack.isEmpty else { return true }
                try expect(")", expecting: "'^' or '|' or '&' or ')'")
                advance()
            }
            stack.removeLast()
        }
    }

    private var prefixOperator: Pending? {
        switch token {
        case .character(UInt8(ascii: "(")): .parenthesis
        case .character(UInt8(ascii: "~")): .invert
        case .character(UInt8(ascii: "!")): .not
        default: nil
        }
    }

    private var binaryOperator: UInt8? {
        switch token {
        case .character(let byte)
        where byte == UInt8(ascii: "|") || byte == UInt8(ascii: "&") || byte == UInt8(ascii: "^"):
            byte
        default: nil
        }
    }

    /// Where a text stands.
    private enum Place {
        case section, key, value
    }

    /// Adjacent texts, quoted texts and variables.
    ///
    /// Between brackets there may be none at all, elsewhere
    /// at least one is needed; only section names leave constants alone.
    private mutating func text(_ place: Place) throws(INISyntaxError) -> ByteString {
        var result = ByteString()
        var isEmpty = true
        while true {
            switch token {
            case .constant(let text):
                result.append(place == .section ? text : constantValue(text))
            case .raw(let text), .number(let text), .string(let text), .whitespace(let text):
                result.append(text)
            case .dollarCurly:
                result.append(try variable())
            case .character(UInt8(ascii: "\"")):
                result.append(try quotedText())
            default:
                guard place != .value || !isEmpty else { throw unexpected() }
                return result
            }
            isEmpty = false
            advance()
        }
    }

    /// A double-quoted text; leaves its closing quote as the current token.
    private mutating func quotedText() throws(INISyntaxError) -> ByteString {
        var result = ByteString()
        advance()
        while true {
            switch token {
            case .quoted(let text): result.append(text)
            case .dollarCurly: result.append(try variable())
            case .character(UInt8(ascii: "\"")): return result
            default: throw unexpected(expecting: "TC_DOLLAR_CURLY or TC_QUOTED_STRING or '\"'")
            }
            advance()
        }
    }

    /// A `${NAME}`; leaves its closing brace as the current token.
    private mutating func variable() throws(INISyntaxError) -> ByteString {
        advance()
        guard case .variableName(let name) = token else { throw unexpected(expecting: "TC_VARNAME") }
        advance()
        try expect("}", expecting: "'}'")
        return host.iniSetting(name) ?? host.environmentVariable(name) ?? ByteString()
    }

    private func constantValue(_ name: ByteString) -> ByteString {
        // No constant of PHP is spelled without capitals, and most values are.
        guard name.bytes.contains(where: { $0.loweredASCII != $0 }) else { return name }
        return host.constant(name) ?? name
    }
}
