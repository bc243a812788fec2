import Control

/// One thing that `fpmctl doctor` has found.
struct Finding {
    enum Severity: String {
        /// It does not work.
        case problem
        /// It will not work well.
        case warning
        /// Good to know.
        case advice
        /// As it should be.
        case fine
    }

    let severity: Severity
    /// The pool, or empty.
    let pool: String
    let text: String
    /// What to do about it.
    var remedy = ""

    var json: JSON {
        [
            "severity": .string(severity.rawValue), "pool": pool.isEmpty ? .null : .string(pool),
            "text": .string(text),
            "remedy": remedy.isEmpty ? .null : .string(remedy),
        ]
    }

    /// Findings of pools that are like this many others are not all printed.
    private static let mostAlike = 3

    private var mark: String {
        switch severity {
        case .problem: "PROBLEM"
        case .warning: "warning"
        case .advice: "advice "
        case .fine: "ok     "
        }
    }

    /// The lines for people, the worst first.
    ///
    /// What is found in many pools alike is said of the first of them.
    static func report(_ findings: [Finding]) -> [String] {
        var lines: [String] = []
        for severity in [Severity.problem, .warning, .advice, .fine] {
            let here = findings.filter { $0.severity == severity }
            let counts = Dictionary(grouping: here, by: \.likeness).mapValues(\.count)
            var printed: [String: Int] = [:]
            for finding in here {
                let likeness = finding.likeness
                let count = printed[likeness, default: 0]
                printed[likeness] = count + 1
                if count > mostAlike { continue }
                if count == mostAlike, let all = counts[likeness], all > mostAlike + 1 {
                    lines.append(
                        "\(finding.mark)  … the same of \(all - mostAlike) other pools (--json names all)"
                    )
                    continue
                }
                lines.append(
                    "\(finding.mark)  \(finding.pool.isEmpty ? "" : "pool \(finding.pool): ")\(finding.text)"
                )
                if !finding.remedy.isEmpty { lines.append("         -> \(finding.remedy)") }
            }
        }
        return lines
    }

    /// What findings of several pools have in common: the same text, but for numbers and paths.
    private var likeness: String {
        guard !pool.isEmpty else { return "\(text)\n\(remedy)" }
        let words = text.split(separator: " ").filter { word in !word.contains { $0.isNumber || $0 == "/" } }
        return words.joined(separator: " ")
    }
}
