/// How a form of the status page writes a string that came from outside.
enum Escaping {
    case none
    /// Entities; text that is not UTF-8 becomes empty, characters XML 1.0 does not know become U+FFFD.
    case markup
    /// The inside of a JSON string in ASCII; bytes that are not UTF-8 are dropped.
    case json
    /// The inside of an OpenMetrics help text.
    case help
}

extension [UInt8] {
    mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { text in unsafe append(contentsOf: text) }
    }

    mutating func append(_ text: [UInt8], _ escaping: Escaping) {
        switch escaping {
        case .none: append(contentsOf: text)
        case .markup: appendMarkup(text)
        case .json: appendJSON(text)
        case .help: appendHelp(text)
        }
    }

    private mutating func appendMarkup(_ text: [UInt8]) {
        let start = count
        var position = 0
        while position < text.count {
            guard let character = Character(text, at: position) else {
                removeSubrange(start...)
                return
            }
            switch character.codePoint {
            case UInt32(UInt8(ascii: "&")): append("&amp;")
            case UInt32(UInt8(ascii: "<")): append("&lt;")
            case UInt32(UInt8(ascii: ">")): append("&gt;")
            case UInt32(UInt8(ascii: "\"")): append("&quot;")
            case 9, 10, 13, 0x20...0xfffd, 0x10000...:
                append(contentsOf: text[position..<(position + character.length)])
            default: append("\u{fffd}")
            }
            position += character.length
        }
    }

    private mutating func appendJSON(_ text: [UInt8]) {
        var position = 0
        while position < text.count {
            guard let character = Character(text, at: position) else {
                position += 1
                continue
            }
            position += character.length
            switch character.codePoint {
            case UInt32(UInt8(ascii: "\"")): append("\\\"")
            case UInt32(UInt8(ascii: "\\")): append("\\\\")
            case UInt32(UInt8(ascii: "/")): append("\\/")
            case 8: append("\\b")
            case 9: append("\\t")
            case 10: append("\\n")
            case 12: append("\\f")
            case 13: append("\\r")
            case 0x20...0x7f: append(UInt8(truncatingIfNeeded: character.codePoint))
            case 0x10000...:
                let offset = character.codePoint - 0x10000
                appendUnicodeEscape(0xd800 + offset >> 10)
                appendUnicodeEscape(0xdc00 + offset & 0x3ff)
            default: appendUnicodeEscape(character.codePoint)
            }
        }
    }

    private mutating func appendUnicodeEscape(_ unit: UInt32) {
        append("\\u")
        for shift in [12, 8, 4, 0] as [UInt32] {
            let digit = UInt8(truncatingIfNeeded: unit >> shift & 15)
            append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }

    private mutating func appendHelp(_ text: [UInt8]) {
        for byte in text {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\n"): append("\\n")
            case UInt8(ascii: "\""): append("\\\"")
            default: append(byte)
            }
        }
    }
}

/// One well-formed UTF-8 character.
private struct Character {
    var codePoint: UInt32
    var length: Int

    /// Decodes the character at `position`; nil if it is not well-formed.
    init?(_ text: [UInt8], at position: Int) {
        let first = text[position]
        let minimum: UInt32
        switch first {
        case 0x00...0x7f: (length, codePoint, minimum) = (1, UInt32(first), 0)
        case 0xc2...0xdf: (length, codePoint, minimum) = (2, UInt32(first & 0x1f), 0x80)
        case 0xe0...0xef: (length, codePoint, minimum) = (3, UInt32(first & 0x0f), 0x800)
        case 0xf0...0xf4: (length, codePoint, minimum) = (4, UInt32(first & 0x07), 0x10000)
        default: return nil
        }
        guard text.count - position >= length else { return nil }
        for byte in text[(position + 1)..<(position + length)] {
            guard byte & 0xc0 == 0x80 else { return nil }
            codePoint = codePoint << 6 | UInt32(byte & 0x3f)
        }
        guard codePoint >= minimum, codePoint <= 0x10ffff, !(0xd800...0xdfff).contains(codePoint) else {
            return nil
        }
    }
}
