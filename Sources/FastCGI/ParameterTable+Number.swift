extension ParameterTable {
    /// CONTENT_LENGTH: bytes, 0 when missing; negative, as Caddy sends with a chunked request: the body ends where its
    /// stream does.
    public var contentLength: Int { number(of: "CONTENT_LENGTH") }

    /// How much of a body is to be read at most.
    public var announcedBody: Int { Self.bodyLimit(contentLength) }

    /// How much of the body of a request with this CONTENT_LENGTH is to be read at most.
    public static func bodyLimit(_ contentLength: Int) -> Int { contentLength < 0 ? .max : contentLength }

    /// The number a value starts with, as C's atol(3) reads it: blanks and one sign in front, then digits up
    /// to anything else; 0 when there is none or no such parameter.
    ///
    /// Beyond the range of `Int` it is the limit.
    public func number(of name: StaticString) -> Int {
        guard let value = value(of: name) else { return 0 }
        return withBytes(of: value) { text in
            var position = 0
            while position < text.count, text[position] == 0x20 || (9...13).contains(text[position]) {
                position += 1
            }
            let isNegative = position < text.count && text[position] == UInt8(ascii: "-")
            if isNegative || (position < text.count && text[position] == UInt8(ascii: "+")) { position += 1 }
            var number = 0
            while position < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[position]) {
                let digit = Int(text[position] - UInt8(ascii: "0"))
                let (tens, isBeyond) = number.multipliedReportingOverflow(by: 10)
                let (sum, isOver) = tens.addingReportingOverflow(isNegative ? -digit : digit)
                if isBeyond || isOver { return isNegative ? Int.min : Int.max }
                number = sum
                position += 1
            }
            return number
        }
    }
}
