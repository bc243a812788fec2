import Testing

@testable import FPMCtl

/// What `fpmctl doctor` prints of many findings.
struct FindingTests {
    @Test func theWorstComesFirst() {
        let found = [
            Finding(severity: .fine, pool: "", text: "well"),
            Finding(severity: .problem, pool: "www", text: "ill", remedy: "rest"),
            Finding(severity: .advice, pool: "", text: "mind"),
        ]
        #expect(
            Finding.report(found) == [
                "PROBLEM  pool www: ill", "         -> rest", "advice   mind", "ok       well",
            ]
        )
    }

    @Test func manyPoolsAlike() {
        let many = (1...200).map {
            Finding(
                severity: .warning,
                pool: "p\($0)",
                text: "user www-data may not connect to /run/p\($0).sock",
                remedy: "r"
            )
        }
        let other = [Finding(severity: .warning, pool: "p7", text: "is drained", remedy: "fpmctl undrain p7")]
        let lines = Finding.report(many + other)
        #expect(lines.count == 3 * 2 + 1 + 2)
        #expect(lines[4] == "warning  pool p3: user www-data may not connect to /run/p3.sock")
        #expect(lines[6] == "warning  … the same of 197 other pools (--json names all)")
        #expect(lines[7] == "warning  pool p7: is drained")
        // One more than that is worth its own line.
        #expect(Finding.report(Array(many.prefix(4))).count == 8)
        // Findings of the service are never taken for alike, unless they are the same.
        let service = (1...9).map { Finding(severity: .warning, pool: "", text: "limit \($0)", remedy: "") }
        #expect(Finding.report(service).count == 9)
    }
}
