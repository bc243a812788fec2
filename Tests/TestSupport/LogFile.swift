import Foundation

/// A text file that grows while a test watches it.
package final class LogFile {
    package let path: String
    private var cursor = 0

    /// Watches a file, which may not exist yet.
    package init(path: String) {
        self.path = path
    }

    /// All complete lines so far.
    package var lines: [String] {
        var lines = readText(path).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        _ = lines.popLast()
        return lines
    }

    /// Waits for a line that matches, among those after the line found last.
    ///
    /// - Returns: The whole line.
    /// - Throws: ``TestFailure``, with the lines that came instead, when there is none before the limit.
    @discardableResult
    package func wait(for pattern: some RegexComponent, within limit: Duration = patience) throws -> String {
        let deadline = Deadline(in: limit)
        while true {
            let all = lines
            let news = all[min(cursor, all.count)...]
            if let index = news.firstIndex(where: { $0.contains(pattern) }) {
                cursor = index + 1
                return all[index]
            }
            if deadline.hasPassed {
                let seen = news.joined(separator: "\n")
                throw TestFailure(
                    "no line in \(path) matches \(pattern) within \(limit); new lines:\n\(seen)"
                )
            }
            poll(nil, 0, 3)
        }
    }

    /// Waits for a line that matches, wherever it stands.
    package func waitAnywhere(for pattern: some RegexComponent, within limit: Duration = patience) throws {
        try TestSupport.wait(for: "a line in \(path) that matches \(pattern)", within: limit) {
            count(of: pattern) > 0
        }
    }

    /// Waits until there are so many lines, and returns all.
    package func waitForLines(_ count: Int, within limit: Duration = patience) throws -> [String] {
        try TestSupport.wait(for: "\(count) lines in \(path)", within: limit) { lines.count >= count }
        return lines
    }

    /// Forgets the lines so far: ``wait(for:within:)`` looks at later ones only.
    package func skipToEnd() {
        cursor = lines.count
    }

    /// Number of lines so far that match.
    package func count(of pattern: some RegexComponent) -> Int {
        lines.count { $0.contains(pattern) }
    }
}
