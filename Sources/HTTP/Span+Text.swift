extension UInt8 {
    static var carriageReturn: UInt8 { 13 }
    static var lineFeed: UInt8 { 10 }
    static var tabulator: UInt8 { 9 }
    static var blank: UInt8 { 32 }

    var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }

    private var isLetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) }

    /// A `tchar` of RFC 9110, section 5.6.2.
    var isTokenCharacter: Bool {
        if isDigit || isLetter { return true }
        switch self {
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            return true
        default: return false
        }
    }

    /// What may stand in the authority of a URI.
    var isHostCharacter: Bool {
        if isDigit || isLetter { return true }
        switch self {
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: ":"),
            UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "%"):
            return true
        default: return false
        }
    }

    var lowered: UInt8 { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self | 0x20 : self }
}

extension Span<UInt8> {
    var isToken: Bool {
        for index in indices where !self[index].isTokenCharacter { return false }
        return !isEmpty
    }

    func equals(_ text: StaticString) -> Bool { matches(text) { $0 } }

    /// `text` is in small letters.
    func equalsIgnoringCase(_ text: StaticString) -> Bool { matches(text) { $0.lowered } }

    private func matches(_ text: StaticString, _ folded: (UInt8) -> UInt8) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        var index = 0
        for unit in text.description.utf8 {
            guard folded(self[index]) == unit else { return false }
            index += 1
        }
        return true
    }

    /// The range without blanks and tabulators at both ends.
    func trim(_ range: Range<Int>) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end, self[start] == .blank || self[start] == .tabulator { start += 1 }
        while end > start, self[end - 1] == .blank || self[end - 1] == .tabulator { end -= 1 }
        return start..<end
    }

    /// Where the elements of a comma list are; empty ones are left out.
    var elements: [Range<Int>] {
        var elements: [Range<Int>] = []
        for piece in pieces(separatedBy: UInt8(ascii: ",")) {
            let element = trim(piece)
            if !element.isEmpty { elements.append(element) }
        }
        return elements
    }

    /// Where the words are between single blanks.
    var words: [Range<Int>] { pieces(separatedBy: .blank) }

    private func pieces(separatedBy separator: UInt8) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var start = 0
        for index in indices where self[index] == separator {
            pieces.append(start..<index)
            start = index + 1
        }
        pieces.append(start..<count)
        return pieces
    }
}
