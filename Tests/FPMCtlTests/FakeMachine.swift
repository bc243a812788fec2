import Configuration
import Control

@testable import FPMCtl

/// A machine that a test makes up of the files in which a real one would describe itself.
struct FakeMachine {
    static let master = 100
    /// By path.
    var files: [String: String] = [
        "/proc/meminfo": "MemTotal:  8388608 kB\nMemFree: 1 kB\nSwapTotal:  0 kB\nSwapFree: 0 kB",
        "/proc/sys/vm/swappiness": "60",
        "/proc/sys/net/core/somaxconn": "4096",
        "/proc/sys/fs/nr_open": "1048576",
        "/proc/100/comm": "fpmd",
        "/proc/100/cgroup": "0::/system.slice/fpmd.service",
        "/proc/100/limits": limits(files: "524288", processes: "31000"),
    ]

    init(_ more: [String: String] = [:]) { files.merge(more) { $1 } }

    static func limits(files: String, processes: String) -> String {
        """
        Limit                     Soft Limit           Hard Limit           Units
        Max cpu time              unlimited            unlimited            seconds
        Max processes             \(processes)                31000                processes
        Max open files            \(files)                524288               files
        """
    }

    static func swap(_ kilobytes: Int, free: Int) -> [String: String] {
        ["/proc/meminfo": "MemTotal: 8388608 kB\nSwapTotal: \(kilobytes) kB\nSwapFree: \(free) kB"]
    }

    var host: HostFiles {
        HostFiles(
            text: { [files] in files[$0] },
            names: { [files] directory in
                Set(
                    files.keys.filter { $0.hasPrefix(directory + "/") }.compactMap {
                        $0.dropFirst(directory.count + 1).split(separator: "/").first.map(String.init)
                    }
                ).sorted()
            }
        )
    }

    /// What `body` finds of these pools here.
    ///
    /// `workers` are those of the first pool: process to kB of memory.
    func findings(
        _ pools: [PoolSettings],
        global: GlobalSettings = GlobalSettings(),
        workers: [Int: Int] = [:],
        isRunning: Bool = true,
        _ body: (inout Examination) -> Void
    ) -> [Finding] {
        var fake = self
        for (process, size) in workers {
            fake.files["/proc/\(process)/smaps_rollup"] =
                "55e-7ff ---p [rollup]\nRss: 9 kB\nPss:   \(size) kB"
            fake.files["/proc/\(process)/cmdline"] = "php-fpm: pool \(pools[0].name)\0\0"
        }
        let list = workers.keys.sorted().map { JSON.object([.init("pid", JSON($0)), .init("requests", 7)]) }
        let status: JSON = [
            "master": ["pid": JSON(Self.master)],
            "pools": [["name": .string(pools[0].name.description), "workers": .array(list)]],
        ]
        var examination = Examination(
            configuration: ServiceConfiguration(global: global, pools: pools),
            machine: Machine(files: fake.host, masterID: isRunning ? Self.master : nil, processors: 4),
            engine: nil,
            running: isRunning ? status : nil,
            webUsers: []
        )
        body(&examination)
        return examination.findings
    }
}

func pool(_ name: String = "www", workers: Int, user: String = "www-data") -> PoolSettings {
    var pool = PoolSettings(name: ByteString(name))
    pool.maxChildren = workers
    pool.user = ByteString(user)
    pool.processManager = .static
    return pool
}

extension [Finding] {
    /// Whether something of that severity is found whose text and remedy contain these.
    func has(_ severity: Finding.Severity, _ text: String, _ remedy: String = "") -> Bool {
        contains {
            $0.severity == severity && $0.text.contains(text)
                && (remedy.isEmpty || $0.remedy.contains(remedy))
        }
    }

    /// All that is more than fine, as text for a failure.
    var bad: [String] {
        filter { $0.severity != .fine }.map { "\($0.severity): \($0.text) -> \($0.remedy)" }
    }
}
