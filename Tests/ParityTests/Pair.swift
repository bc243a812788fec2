import Foundation
import TestSupport
import Testing

/// php-fpm and the program under test, side by side with the same configuration and php.ini.
struct Pair {
    let reference: Daemon
    let subject: Daemon

    /// Starts both, with these lines in the pool `www`, settings as after `-d`, and lines in `[global]`.
    init(_ pool: String, settings: [String] = [], global: String = "") throws {
        guard let program = Program.reference else { throw TestFailure("php-fpm8.2 is not installed") }
        let arguments = settings.flatMap { ["-d", $0] }
        reference = try Daemon.startPool(
            pool,
            .init(program: program, global: global, ini: .distribution, arguments: arguments)
        )
        subject = try Daemon.startPool(pool, .init(global: global, ini: .distribution, arguments: arguments))
    }

    /// Sends the same request to both and compares what comes back.
    ///
    /// - Parameters:
    ///   - name: Names the case in failures and in ``deliberateDifferences``.
    ///   - request: Makes the request; called with each daemon, whose paths differ.
    /// - Throws: `TestFailure` when one of them does not answer.
    func compare(_ name: String, _ request: (Daemon) -> FastCGIRequest) throws {
        let expected = try Exchange(reference, request(reference))
        let actual = try Exchange(subject, request(subject))
        for part in Exchange.Part.allCases {
            expectSame(name, part.rawValue, expected[part], actual[part])
        }
    }
}

/// One request's answer, with everything replaced that cannot be the same twice.
struct Exchange {
    enum Part: String, CaseIterable {
        case headers, body, errors, end
    }

    private let parts: [Part: String]

    init(_ daemon: Daemon, _ request: FastCGIRequest) throws {
        let response = try daemon.send(request)
        parts = [
            .headers: normalise(response.headerLines.joined(separator: "\n"), of: daemon),
            .body: normalise(response.text, of: daemon),
            .errors: normalise(response.errors, of: daemon),
            .end: "\(response.protocolStatus.map(String.init) ?? "none") \(response.applicationStatus ?? 0)",
        ]
    }

    subscript(part: Part) -> String { parts[part] ?? "" }
}

/// Replaces paths of the daemon, times and process numbers.
func normalise(_ text: String, of daemon: Daemon) -> String {
    let lines = text.components(separatedBy: "\n")
        .filter { line in !deliberateLines.contains { line.contains($0.text) } }
    let escaped = daemon.directory.replacingOccurrences(of: "/", with: "\\/")
    let portless = daemon.portNumbers.reduce(lines.joined(separator: "\n")) {
        $0.replacingOccurrences(of: ":\($1)", with: ":{PORT}")
    }
    return withoutHints(portless).replacingOccurrences(of: daemon.directory, with: "{DIR}")
        .replacingOccurrences(of: escaped, with: "{DIR}")
        .replacing(#/"REQUEST_TIME_FLOAT":[0-9.e+]+/#, with: "\"REQUEST_TIME_FLOAT\":0")
        // Only of a request that has waited, as it does on a busy machine.
        .replacing(#/"FPM_QUEUE_TIME":"[0-9.]+",?/#, with: "")
        .replacing(#/"REQUEST_TIME":\d+/#, with: "\"REQUEST_TIME\":0")
        .replacing(#/^\[\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d\]/#.anchorsMatchLineEndings(), with: "[TIME]")
}

/// Expects two texts to be equal, unless the table names the difference.
func expectSame(
    _ name: String,
    _ part: String,
    _ expected: String,
    _ actual: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    guard expected != actual else { return }
    if let known = deliberateDifferences.first(where: { $0.covers(name, part) }) {
        print("deliberate difference in \(name), \(part): \(known.reason)")
        return
    }
    Issue.record("\(name), \(part): \(firstDifference(expected, actual))", sourceLocation: sourceLocation)
}

/// The part of two texts around the place where they part.
func firstDifference(_ expected: String, _ actual: String) -> String {
    let left = Array(expected)
    let right = Array(actual)
    let same = zip(left, right).prefix { $0 == $1 }.count
    let start = max(0, same - 40)
    func excerpt(_ text: [Character]) -> String { String(text[min(start, text.count)...].prefix(200)) }
    return "php-fpm has …\(excerpt(left))… where \(Program.underTest.path) has …\(excerpt(right))…"
}
