import Control

/// Columns of text: left-aligned words, right-aligned numbers.
struct Table {
    private let headings: [String]
    private let isNumber: [Bool]
    private var rows: [[String]] = []

    /// A heading that begins with `>` is for a column of numbers.
    init(_ headings: [String]) {
        isNumber = headings.map { $0.hasPrefix(">") }
        self.headings = headings.map { $0.hasPrefix(">") ? String($0.dropFirst()) : $0 }
    }

    mutating func add(_ row: [String]) { rows.append(row) }

    /// The lines, without spaces at their ends.
    var lines: [String] {
        let all = [headings] + rows
        let widths = headings.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += (column > 0 ? "  " : "") + (isNumber[column] ? padding + cell : cell + padding)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}

/// `1.2G`, `34M`, `512K`.
func bytesText(_ bytes: Int) -> String {
    var value = Double(bytes)
    for unit in ["", "K", "M", "G", "T"] {
        if value < 1000 || unit == "T" {
            return value < 10 && unit != "" ? tenths(value) + unit : "\(Int(value.rounded()))\(unit)"
        }
        value /= 1024
    }
    return "\(bytes)"
}

/// `3d4h`, `2h05m`, `12m`, `45s`.
func ageText(_ seconds: Int) -> String {
    switch seconds {
    case ..<120: "\(max(0, seconds))s"
    case ..<7200: "\(seconds / 60)m"
    case ..<172_800: "\(seconds / 3600)h\(seconds / 60 % 60)m"
    default: "\(seconds / 86400)d\(seconds / 3600 % 24)h"
    }
}

/// `850us`, `12ms`, `3.4s`, `5m`.
func durationText(_ microseconds: Int) -> String {
    switch microseconds {
    case ..<1000: "\(max(0, microseconds))us"
    case ..<1_000_000: "\(microseconds / 1000)ms"
    case ..<120_000_000: tenths(Double(microseconds) / 1e6) + "s"
    default: "\(microseconds / 60_000_000)m"
    }
}

/// One digit after the point.
func tenths(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "-" }
    let scaled = Int((abs(value) * 10).rounded())
    return "\(value < 0 && scaled > 0 ? "-" : "")\(scaled / 10).\(scaled % 10)"
}

/// Text from elsewhere, fit for a terminal: control characters become dots, and so do those that are not seen, or turn the
/// direction of writing.
func plain(_ text: String) -> String {
    func isUnfit(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { isUnfit($0) ? "." : $0 }))
}

extension JSON {
    /// A member's whole number; 0 if there is none.
    func number(_ name: String) -> Int { self[name]?.count ?? 0 }
    /// The same of a number that a worker may have written, within 0 … 2^53: sums of some, and their hundredfold, do not overflow.
    func plausible(_ name: String) -> Int { min(max(0, number(name)), 1 << 53) }
    /// A member's text, fit for a terminal; empty if there is none.
    func words(_ name: String) -> String { plain(self[name]?.text ?? "") }
    /// A member's truth.
    func isTrue(_ name: String) -> Bool { self[name]?.flag ?? false }

    /// This object, with more members in one of its own members that is an object.
    func adding(_ more: [Member], to name: String) -> JSON {
        .object(members.map { $0.name == name ? Member(name, .object($0.value.members + more)) : $0 })
    }
}

/// Whether a line of the log, with or without its level, only follows from the one before, which tells what is wrong.
func isConsequence(_ line: String) -> Bool {
    let text = line.hasPrefix("ERROR: ") ? line.dropFirst("ERROR: ".count) : line[...]
    return [
        "FPM initialization failed", "failed to load configuration file",
        "failed to post process the configuration", "reload refused: ",
    ].contains { text.hasPrefix($0) }
}
