extension AccessLogFormat {
    /// Why a format is refused; the text is php-fpm's warning.
    public struct Problem: Error, Hashable, Sendable {
        /// The warning, without a pool's name.
        public var message: ByteString
    }

    /// Parses a format.
    ///
    /// - Throws: ``Problem`` naming the first token that is wrong.
    public init(_ text: ByteString) throws(Problem) {
        self.text = text
        var tokens: [Token] = []
        var literal: [UInt8] = []
        var rest = text.bytes[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                literal.append(byte)
                continue
            }
            var argument: ByteString?
            if rest.first == UInt8(ascii: "{") {
                let content = rest.dropFirst().prefix { $0 != UInt8(ascii: "}") }
                rest = rest[content.endIndex...].dropFirst()
                guard !rest.isEmpty else {
                    throw Problem(message: "missing closing embrace in the access.format")
                }
                argument = ByteString(content)
            }
            guard let letter = rest.popFirst() else { break }
            if letter == UInt8(ascii: "%"), argument == nil {
                literal.append(letter)
                continue
            }
            if !literal.isEmpty { tokens.append(.literal(ByteString(literal))) }
            literal = []
            tokens.append(try Self.token(letter, argument))
        }
        if !literal.isEmpty { tokens.append(.literal(ByteString(literal))) }
        self.tokens = tokens
    }

    private static func token(_ letter: UInt8, _ argument: ByteString?) throws(Problem) -> Token {
        let sign = ByteString([UInt8(ascii: "%"), letter])
        if let plain = plainTokens[letter] {
            guard argument == nil else {
                throw Problem(message: "embrace is not allowed for modifier \(sign)")
            }
            return plain
        }
        switch letter {
        case UInt8(ascii: "C"): return .cpu(try cpuShare(argument, sign))
        case UInt8(ascii: "d"): return .duration(try durationUnit(argument, sign))
        case UInt8(ascii: "M"): return .memoryPeak(try memoryUnit(argument, sign))
        case UInt8(ascii: "t"): return .acceptTime(format: timeFormat(argument))
        case UInt8(ascii: "T"): return .logTime(format: timeFormat(argument))
        case UInt8(ascii: "e"):
            guard let argument, !argument.isEmpty else {
                throw Problem(
                    message: "the name of the environment variable must be set between embraces for \(sign)"
                )
            }
            return .parameter(argument)
        case UInt8(ascii: "o"):
            guard let argument, !argument.isEmpty else {
                throw Problem(message: "the name of the header must be set between embraces for \(sign)")
            }
            return .responseHeader(argument)
        default:
            throw Problem(message: "Invalid token in the access.format (\(sign))")
        }
    }

    private static func timeFormat(_ argument: ByteString?) -> ByteString {
        guard let argument, !argument.isEmpty else { return "%d/%b/%Y:%H:%M:%S %z" }
        return argument
    }

    /// Letters without an argument.
    private static let plainTokens: [UInt8: Token] = [
        UInt8(ascii: "%"): .literal("%"),
        UInt8(ascii: "f"): .script,
        UInt8(ascii: "l"): .contentLength,
        UInt8(ascii: "m"): .method,
        UInt8(ascii: "n"): .poolName,
        UInt8(ascii: "p"): .workerID,
        UInt8(ascii: "P"): .masterID,
        UInt8(ascii: "q"): .queryString,
        UInt8(ascii: "Q"): .queryMark,
        UInt8(ascii: "r"): .uri,
        UInt8(ascii: "R"): .remoteAddress,
        UInt8(ascii: "s"): .status,
        UInt8(ascii: "u"): .remoteUser,
    ]

    private static func cpuShare(_ argument: ByteString?, _ sign: ByteString) throws(Problem) -> CPUShare {
        let known: [(ByteString, CPUShare)] = [
            ("", .total), ("total", .total), ("user", .user), ("system", .system),
        ]
        return try choose(argument, known, sign, "'total', 'user' or 'system'")
    }

    private static func durationUnit(
        _ argument: ByteString?,
        _ sign: ByteString
    ) throws(Problem) -> DurationUnit {
        let known: [(ByteString, DurationUnit)] = [
            ("", .seconds), ("seconds", .seconds), ("milliseconds", .milliseconds), ("milli", .milliseconds),
            ("miliseconds", .milliseconds), ("mili", .milliseconds), ("microseconds", .microseconds),
            ("micro", .microseconds),
        ]
        return try choose(
            argument,
            known,
            sign,
            "'seconds', 'milli', 'milliseconds', 'micro' or 'microseconds'"
        )
    }

    private static func memoryUnit(_ argument: ByteString?, _ sign: ByteString) throws(Problem) -> MemoryUnit
    {
        let known: [(ByteString, MemoryUnit)] = [
            ("", .bytes), ("bytes", .bytes), ("kilobytes", .kilobytes), ("kilo", .kilobytes),
            ("megabytes", .megabytes), ("mega", .megabytes),
        ]
        return try choose(argument, known, sign, "'bytes', 'kilo', 'kilobytes', 'mega' or 'megabytes'")
    }

    /// Finds an argument in a list of words, letter case ignored; none at all is the blank word.
    private static func choose<Value>(
        _ argument: ByteString?,
        _ known: [(ByteString, Value)],
        _ sign: ByteString,
        _ words: ByteString
    ) throws(Problem) -> Value {
        let word = argument ?? ""
        guard let match = known.first(where: { $0.0.equalsIgnoringCase(word) }) else {
            throw Problem(message: "only \(words) are allowed as a modifier for \(sign) ('\(word)')")
        }
        return match.1
    }
}
