/// Writes samples of metrics, one line each.
struct SampleWriter {
    /// What has been written.
    var page: [UInt8] = []
    /// The name of the samples.
    var name: StaticString = ""
    /// The labels that all samples of a pool have, without braces; empty for none.
    var labels: [UInt8] = []

    /// `NAME SUFFIX {LABELS, more} value`.
    mutating func sample(
        _ suffix: StaticString = "",
        _ more: (name: StaticString, value: [UInt8])...,
        value: Value
    ) {
        page.append(name)
        page.append(suffix)
        if !labels.isEmpty || !more.isEmpty {
            page.append("{")
            page.append(contentsOf: labels)
            for (position, label) in more.enumerated() {
                if position > 0 || !labels.isEmpty { page.append(",") }
                page.appendLabel(label.name, label.value)
            }
            page.append("}")
        }
        page.append(" ")
        page.append(value)
        page.append("\n")
    }

    /// The samples of a histogram in seconds.
    mutating func histogram(_ histogram: DurationHistogram) {
        var total: UInt64 = 0
        for (bucket, count) in histogram.counts.enumerated() {
            total = total.addingSaturated(count)
            var bound: [UInt8] = []
            if let micros = DurationHistogram.bound(ofBucket: bucket) {
                bound.append(.microseconds(micros))
            } else {
                bound.append("+Inf")
            }
            sample("_bucket", ("le", bound), value: .count(total))
        }
        sample("_sum", value: .microseconds(histogram.sumMicroseconds))
        sample("_count", value: .count(total))
    }

    /// A sample's value.
    enum Value {
        case count(UInt64)
        case signed(Int64)
        case flag(Bool)
        /// Shown as seconds.
        case microseconds(UInt64)
        /// Shown as seconds.
        case centiseconds(UInt64)
        /// Up to four decimals.
        case ratio(Double)
    }
}

extension [UInt8] {
    /// The bytes of a text.
    init(static text: StaticString) {
        self = []
        append(text)
    }

    mutating func append(_ value: SampleWriter.Value) {
        switch value {
        case .count(let number): append(contentsOf: String(number).utf8)
        case .signed(let number): append(contentsOf: String(number).utf8)
        case .flag(let flag): append(flag ? "1" : "0")
        case .microseconds(let micros): appendFraction(micros, digits: 6)
        case .centiseconds(let hundredths): appendFraction(hundredths, digits: 2)
        case .ratio(let ratio):
            let scaled = (ratio * 10_000).rounded()
            appendFraction(scaled >= 0 && scaled < 1e15 ? UInt64(scaled) : 0, digits: 4)
        }
    }

    /// `number` with its last `digits` behind a point; noughts at the end are left out, but for one.
    private mutating func appendFraction(_ number: UInt64, digits: Int) {
        var unit: UInt64 = 1
        for _ in 0..<digits { unit *= 10 }
        append(contentsOf: String(number / unit).utf8)
        append(".")
        var rest = number % unit
        repeat {
            unit /= 10
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / unit))
            rest %= unit
        } while rest > 0
    }

    /// `name="value"`; what is no UTF-8 becomes U+FFFD.
    mutating func appendLabel(_ name: StaticString, _ value: [UInt8]) {
        append(name)
        append("=\"")
        for unit in String(decoding: value, as: UTF8.self).utf8 {
            switch unit {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\n"): append("\\n")
            case UInt8(ascii: "\""): append("\\\"")
            default: append(unit)
            }
        }
        append("\"")
    }
}
