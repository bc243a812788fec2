/// Reads a number as C `atoi` does on a 64-bit system: leading white space, a sign, digits, then anything.
///
/// Saturates at 64 bits and keeps the low 32, which is what php-fpm shows for numbers that are too large.
func cInteger(_ text: ArraySlice<UInt8>) -> Int { Int(Int32(truncatingIfNeeded: cLong(text))) }

/// Reads a number as C `strtol` with base 10 does; saturates.
func cLong(_ text: ArraySlice<UInt8>) -> Int64 {
    var rest = text.drop { $0.isCSpace }
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
    var value: Int64 = 0
    for byte in rest.prefix(while: { $0.isASCIIDigit }) {
        let digit = Int64(byte - UInt8(ascii: "0"))
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, carry) =
            isNegative
            ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
        guard !overflow, !carry else { return isNegative ? .min : .max }
        value = sum
    }
    return value
}

/// Writes whole milliseconds as seconds with three digits, as PHP's `%.3g` does: `2`, `12.3`, `6.17e+3`.
///
/// - Parameter milliseconds: At least 1000.
/// - Returns: The number without a unit.
func threeDigitSeconds(milliseconds: Int) -> ByteString {
    var scale = 1
    while milliseconds / scale >= 1000 { scale *= 10 }
    var digits = (milliseconds + scale / 2) / scale
    if digits == 1000 {
        digits = 100
        scale *= 10
    }
    // digits × scale milliseconds, digits being 100 … 999.
    var text = Array(String(digits).utf8)
    while text.count > 1, text.last == UInt8(ascii: "0") { text.removeLast() }
    let wholeDigits = scale <= 10 ? 1 : scale == 100 ? 2 : scale == 1000 ? 3 : 1
    while text.count < wholeDigits { text.append(UInt8(ascii: "0")) }
    let whole = ByteString(text.prefix(wholeDigits))
    let fraction = ByteString(text.dropFirst(wholeDigits))
    guard scale > 1000 else { return fraction.isEmpty ? whole : "\(whole).\(fraction)" }
    return "\(whole).\(fraction.isEmpty ? "0" : fraction)e+\(String(scale).utf8.count - 2)"
}

/// Reads an octal number as C `strtoul` with base 8 does; anything else is 0.
func cOctal(_ text: ArraySlice<UInt8>) -> UInt32 {
    var rest = text.drop { $0.isCSpace }
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
    var value: UInt64 = 0
    for byte in rest.prefix(while: { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "7") }) {
        guard value >> 61 == 0 else { return .max }
        value = value << 3 | UInt64(byte - UInt8(ascii: "0"))
    }
    return UInt32(truncatingIfNeeded: isNegative ? 0 &- value : value)
}

extension UInt8 {
    /// C `isspace` in the C locale.
    var isCSpace: Bool { self == UInt8(ascii: " ") || (self >= 9 && self <= 13) }
}
