/// The user that a header `Authorization: Basic …` names.
///
/// Pure. Reads what PHP's `php_handle_auth_data` reads: the scheme in any case, Base64 with what does not belong there
/// left out, a user only if a colon follows.
public enum BasicAuthentication {
    /// The user; empty if the header names none.
    public static func user(of header: [UInt8]) -> [UInt8] {
        let scheme = Array("basic ".utf8)
        guard header.count > scheme.count, zip(header, scheme).allSatisfy({ $0 | 0x20 == $1 | 0x20 }) else {
            return []
        }
        let text = decode(header[scheme.count...])
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else { return [] }
        return Array(text[..<colon])
    }

    private static func decode(_ text: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in text {
            if byte == UInt8(ascii: "=") { break }
            guard let digit = digit(byte) else { continue }
            bits = bits << 6 | digit
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            result.append(UInt8(truncatingIfNeeded: bits >> count))
        }
        return result
    }

    private static func digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
