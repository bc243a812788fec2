/// Reads a number as C `atoi` does on a 64-bit system: leading white space, a sign, digits, then anything.
///
/// Saturates at 64 bits and keeps the low 32, which is what php-fpm shows for numbers that are too large.
func cInteger(_ text: ArraySlice<UInt8>) -> Int {
    var rest = text.drop { $0.isCSpace }
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
    var value: Int64 = 0
    for byte in rest.prefix(while: { $0.isASCIIDigit }) {
        let digit = Int64(byte - UInt8(ascii: "0"))
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, carry) = isNegative
            ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
        guard !overflow, !carry else {
            value = isNegative ? .min : .max
            break
        }
        value = sum
    }
    return Int(Int32(truncatingIfNeeded: value))
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
