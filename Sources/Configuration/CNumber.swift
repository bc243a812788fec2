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
        let (sum, carry) = isNegative
            ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
        guard !overflow, !carry else { return isNegative ? .min : .max }
        value = sum
    }
    return value
}

/// Writes a whole number of milliseconds, at least 1000, as seconds like C `%.3g` does: three digits.
func formatThreeDigits(milliseconds: Int) -> ByteString {
    // The number's first three digits, rounded, and the power of ten they stand for.
    var digits = milliseconds
    var exponent = -3
    while digits >= 10_000 {
        digits /= 10
        exponent += 1
    }
    digits = (digits + 5) / 10
    exponent += 1
    if digits == 1000 {
        digits = 100
        exponent += 1
    }
    guard exponent <= 0 else {
        // 1000 and more: 1.23e+03, zeros at the end left out.
        let fraction = digits % 100 == 0 ? "" : digits % 10 == 0 ? ".\(digits / 10 % 10)" : ".\(digits % 100 < 10 ? "0" : "")\(digits % 100)"
        return "\(digits / 100)\(fraction)e+0\(exponent + 2)"
    }
    let text = Array(String(digits).utf8)
    let whole = text.prefix(text.count + exponent)
    let fraction = text.dropFirst(text.count + exponent).reversed().drop { $0 == UInt8(ascii: "0") }.reversed()
    return fraction.isEmpty ? ByteString(whole) : ByteString(whole + [UInt8(ascii: ".")] + fraction)
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
