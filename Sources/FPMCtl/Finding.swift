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
}
