import Configuration
import Synchronization
import Testing

@testable import FPMCtl

/// What `fpmctl doctor` says of memory and swap: the machine has 8 GiB.
struct MemoryTests {
    private static let group = "/sys/fs/cgroup/system.slice/fpmd.service/"

    /// One pool whose workers take `each` MiB.
    private func findings(
        _ workers: Int,
        each: Int,
        _ files: [String: String] = [:],
        isRunning: Bool = true
    ) -> [Finding] {
        FakeMachine(files).findings(
            [pool(workers: workers)],
            workers: [201: each << 10, 202: each << 9],
            isRunning: isRunning
        ) { $0.examineMemory() }
    }

    @Test func fits() {
        let found = findings(20, each: 100)
        #expect(found.bad.isEmpty, "\(found.bad)")
        #expect(
            found.has(
                .fine,
                "a worker takes up to 100M; 20 of them 2.0G; up to pm.max_children = 65 would fit"
            )
        )
        #expect(found.has(.fine, "all pools at pm.max_children take 2.0G of 8.0G, the machine's memory"))
        // Without a master those of php-fpm are measured, by their titles.
        #expect(findings(20, each: 100, isRunning: false).has(.fine, "a worker takes up to 100M"))
        #expect(
            findings(2, each: 100).has(.advice, "fewer workers than processors (4)", "pm.max_children = 16")
        )
    }

    /// The processes of the machine are looked at once, not for each of thousands of pools.
    @Test func processesAreLookedAtOnce() {
        let looks = Mutex(0)
        let host = FakeMachine(["/proc/300/cmdline": "php-fpm: pool p3\0"]).host
        let counting = HostFiles(
            text: host.text,
            names: { directory in
                looks.withLock { $0 += directory == "/proc" ? 1 : 0 }
                return host.names(directory)
            }
        )
        var examination = Examination(
            configuration: ServiceConfiguration(
                global: GlobalSettings(),
                pools: (0..<50).map { pool("p\($0)", workers: 2) }
            ),
            machine: Machine(files: counting, masterID: nil, processors: 4),
            engine: nil,
            running: nil,
            webUsers: []
        )
        let before = looks.withLock { $0 }
        examination.examineMemory()
        #expect(looks.withLock { $0 } - before == 1)
    }

    /// Said once, of the first pool.
    @Test func sharedUsers() {
        let pools = ["a", "b", "c"].map { pool($0, workers: 2) } + [pool("d", workers: 2, user: "daemon")]
        let found = FakeMachine().findings(pools) { examination in
            for one in pools { examination.examineUser(one) }
        }
        #expect(found.map(\.pool) == ["a"] && found.has(.advice, "with 2 other pool(s)"), "\(found.bad)")
    }

    @Test func moreThanThereIs() {
        let none = findings(100, each: 100)
        #expect(none.has(.problem, "100 of them 9.8G: too much", "pm.max_children = 65"))
        #expect(
            none.has(
                .problem,
                "and there is no swap: the kernel will kill processes",
                "lower pm.max_children"
            )
        )
        let some = findings(100, each: 100, FakeMachine.swap(4 << 20, free: 4 << 20))
        #expect(some.has(.problem, "the rest goes into 4.0G of swap: requests will take seconds"))
        let little = findings(100, each: 100, FakeMachine.swap(1 << 20, free: 1 << 20))
        #expect(little.has(.problem, "and 1.0G of swap: the kernel will kill processes"))
        #expect(findings(70, each: 100).has(.warning, "little is left for anything else"))
    }

    @Test func limitsOfTheService() {
        let most = findings(20, each: 100, [Self.group + "memory.max": "\(1 << 30)"])
        #expect(most.has(.problem, "take 2.0G of 1.0G, what MemoryMax= or the container allows"))
        #expect(most.has(.problem, "20 of them 2.0G: too much", "pm.max_children = 8"))
        let high = findings(20, each: 100, [Self.group + "memory.high": "\(1 << 30)"])
        #expect(
            high.has(
                .warning,
                "from MemoryHigh = 1.0G on the kernel slows the service down",
                "MemoryHigh=2500M"
            )
        )
        // A service that may not swap has no swap, whatever the machine has.
        let swapless = findings(
            100,
            each: 100,
            FakeMachine.swap(4 << 20, free: 4 << 20).merging([Self.group + "memory.swap.max": "0"]) { $1 }
        )
        #expect(swapless.has(.problem, "and there is no swap"))
    }

    @Test func swapping() {
        var files = FakeMachine.swap(4 << 20, free: 3 << 20)
        #expect(
            findings(20, each: 100, files).has(
                .fine,
                "1.0G of swap in use, none to speak of by workers; vm.swappiness = 60"
            )
        )
        #expect(findings(50, each: 100, files).has(.advice, "vm.swappiness = 60", "sysctl vm.swappiness=10"))
        #expect(findings(50, each: 100).has(.advice, "there is no swap", "pm.max_memory"))
        files["/proc/201/status"] = "Name: x\nVmSwap:\t  204800 kB"
        #expect(
            findings(20, each: 100, files).has(
                .warning,
                "200M of the workers' memory is swapped out",
                "sysctl vm.swappiness=10"
            )
        )
        files["/proc/sys/vm/swappiness"] = "10"
        #expect(findings(20, each: 100, files).has(.warning, "swapped out", "lower pm.max_children"))
    }

    @Test func nothingMeasured() {
        let found = FakeMachine().findings([pool(workers: 5)]) { $0.examineMemory() }
        #expect(found.has(.advice, "pm.max_children cannot be judged", "as root") && found.count == 1)
    }
}
