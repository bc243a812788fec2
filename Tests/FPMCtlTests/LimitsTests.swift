import Configuration
import Testing

@testable import FPMCtl

/// What `fpmctl doctor` says of the service's limits.
struct LimitsTests {
    private static let tasks = "/sys/fs/cgroup/system.slice/fpmd.service/pids.max"

    private func findings(
        _ files: [String: String],
        _ pools: [PoolSettings] = [pool(workers: 100)],
        rlimitFiles: Int = 0,
        isRunning: Bool = true
    ) -> [Finding] {
        var global = GlobalSettings()
        global.rlimitFiles = rlimitFiles
        return FakeMachine(files).findings(pools, global: global, isRunning: isRunning) { $0.examineLimits() }
    }

    @Test func enoughIsFine() {
        let found = findings([Self.tasks: "4915"])
        #expect(found.bad.isEmpty, "\(found.bad)")
        #expect(found.has(.fine, "the master may open 524288 files; 1 pool(s) and 100 workers want 1532"))
        #expect(found.has(.fine, "4915 processes are allowed; a reload may need 219"))
        #expect(findings([:]).bad.isEmpty, "no limit of processes")
        #expect(
            findings([Self.tasks: "1"], isRunning: false).isEmpty,
            "the limits of this process are not the service's"
        )
    }

    @Test func openFiles() {
        let few = ["/proc/100/limits": FakeMachine.limits(files: "1024", processes: "unlimited")]
        #expect(
            findings(few).has(
                .warning,
                "the master may open 1024 files, little for 1 pool(s) and 100 workers",
                "LimitNOFILE=65536 (systemctl edit fpmd), or rlimit_files = 65536"
            )
        )
        // What is configured counts, whatever the running master has.
        #expect(findings(few, rlimitFiles: 4096).has(.fine, "may open 1024"))
        #expect(
            findings([:], rlimitFiles: 512).has(
                .warning,
                "rlimit_files = 512 is little",
                "rlimit_files = 65536"
            )
        )
        #expect(
            findings([:], rlimitFiles: 2_000_000).has(
                .problem,
                "fs.nr_open = 1048576",
                "rlimit_files = 1048576"
            )
        )
        #expect(
            findings(few.merging(["/proc/sys/fs/nr_open": "4096"]) { $1 }).has(
                .warning,
                "little",
                "LimitNOFILE=4096"
            )
        )
    }

    @Test(
        arguments: [
            ("101", Finding.Severity.problem), ("102", .warning), ("218", .warning), ("219", .fine),
            ("max", nil),
            ("nonsense", nil),
        ] as [(String, Finding.Severity?)]
    )
    func tasks(_ limit: String, _ severity: Finding.Severity?) {
        let found = findings([Self.tasks: limit]).filter { $0.text.contains("processes are allowed") }
        #expect(found.first?.severity == severity)
        if severity == .problem || severity == .warning {
            #expect(found.has(severity ?? .fine, "(pids.max)", "TasksMax=256 (systemctl edit fpmd)"))
        }
    }

    @Test func processMaxBoundsWorkers() {
        var global = GlobalSettings()
        global.processMax = 10
        let found = FakeMachine([Self.tasks: "50"]).findings([pool(workers: 100)], global: global) {
            $0.examineLimits()
        }
        #expect(found.has(.fine, "a reload may need 39"))
    }

    @Test func processesOfAUser() {
        func limited(_ count: String) -> [String: String] {
            ["/proc/100/limits": FakeMachine.limits(files: "524288", processes: count)]
        }
        let pools = [
            pool("a", workers: 30, user: "site"), pool("b", workers: 18, user: "site"),
            pool("c", workers: 900, user: "root"),
        ]
        #expect(
            findings(limited("49"), pools).has(
                .problem,
                "user site may have 49 processes, its pools want 50",
                "LimitNPROC=128"
            )
        )
        #expect(
            findings(limited("99"), pools).has(
                .warning,
                "user site may have 99 processes: too few for a reload",
                "LimitNPROC=128"
            )
        )
        #expect(!findings(limited("100"), pools).contains { $0.text.contains("user") }, "root is not held")
        #expect(!findings(limited("unlimited"), pools).contains { $0.text.contains("user") })
    }

    @Test func aMasterThatIsNotHereIsNotLookedAt() {
        let found = findings(["/proc/100/comm": "bash", Self.tasks: "1"])
        #expect(found.isEmpty, "process 100 is another one here: the master is in another container")
    }
}
