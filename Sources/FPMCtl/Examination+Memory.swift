import Configuration
import Control

/// The memory that pools take at `pm.max_children`, against the machine's memory, swap and the service's limits.
extension Examination {
    /// What one worker of a pool takes.
    private struct Measured {
        let pool: PoolSettings
        /// Bytes of the largest worker.
        let each: Int
        /// Bytes of all workers that are swapped out.
        let swapped: Int

        var atMost: Int { each * pool.maxChildren }
    }

    mutating func examineMemory() {
        let titled = running == nil ? machine.files.workers() : [:]
        let measured = configuration.pools.compactMap { measure($0, titled) }
        guard !measured.isEmpty else {
            add(
                .advice,
                "no worker runs whose memory could be measured (or it needs root): pm.max_children cannot be judged",
                remedy: "run fpmctl doctor as root while the service has served real requests"
            )
            return examineSwap(total: nil, swapped: 0)
        }
        let total = measured.reduce(0) { $0 + $1.atMost }
        // What is left for the system, the web server and the rest.
        let budget = min(machine.memory / 10 * 8, machine.memoryHigh ?? .max)
        for one in measured { judge(one, total: total, budget: budget) }
        judge(total: total, budget: budget)
        examineSwap(total: total, swapped: measured.reduce(0) { $0 + $1.swapped })
    }

    private func measure(_ pool: PoolSettings, _ titled: [String: [Int]]) -> Measured? {
        let processes = workers(of: pool, titled)
        guard let most = processes.compactMap({ machine.files.proportionalSize(of: $0) }).max() else {
            return nil
        }
        let swapped = processes.reduce(0) { $0 + machine.files.swapped(of: $1) }
        return Measured(pool: pool, each: most, swapped: swapped)
    }

    /// The running master's workers; else those of whatever serves a pool of that name (php-fpm).
    private func workers(of pool: PoolSettings, _ titled: [String: [Int]]) -> [Int] {
        let name = pool.name.description
        guard running != nil else { return titled[name] ?? [] }
        // One that has served nothing says nothing.
        let used = (runningPools[name]?["workers"]?.elements ?? []).filter { $0.number("requests") > 0 }
        return used.compactMap { $0["pid"]?.count }
    }

    private mutating func judge(_ one: Measured, total: Int, budget: Int) {
        let pool = one.pool
        // Each pool's part of the budget is as large as its part of what is configured.
        let part = Int(Double(budget) * Double(one.atMost) / Double(max(1, total)))
        let fitting = max(1, part / max(1, one.each))
        let text =
            "a worker takes up to \(bytesText(one.each)); \(pool.maxChildren) of them \(bytesText(one.atMost))"
        if total > budget {
            add(
                .problem,
                "\(text): too much\(configuration.pools.count > 1 ? " together with the other pools" : "")",
                pool: pool,
                remedy: proposal(pool, fitting)
            )
        } else if pool.maxChildren < machine.processors {
            add(
                .advice,
                "\(text); fewer workers than processors (\(machine.processors))",
                pool: pool,
                remedy: proposal(pool, min(fitting, 4 * machine.processors))
            )
        } else {
            add(.fine, "\(text); up to pm.max_children = \(fitting) would fit", pool: pool)
        }
    }

    private mutating func judge(total: Int, budget: Int) {
        let owner =
            machine.isLimited
            ? "what MemoryMax= or the container allows" : "the machine's memory"
        let sum =
            "all pools at pm.max_children take \(bytesText(total)) of \(bytesText(machine.memory)), \(owner)"
        let lower = "lower pm.max_children as proposed"
        if total > machine.memory + machine.swap {
            let swap = machine.swap > 0 ? " and \(bytesText(machine.swap)) of swap" : ", and there is no swap"
            add(.problem, "\(sum)\(swap): the kernel will kill processes", remedy: lower)
        } else if total > machine.memory {
            add(
                .problem,
                "\(sum); the rest goes into \(bytesText(machine.swap)) of swap: requests will take seconds",
                remedy: lower
            )
        } else if let high = machine.memoryHigh, total > high {
            add(
                .warning,
                "\(sum), but from MemoryHigh = \(bytesText(high)) on the kernel slows the service down",
                remedy: "\(lower), or MemoryHigh=\(megabytes(total / 8 * 10)) (systemctl edit fpmd)"
            )
        } else if total > budget {
            add(.warning, "\(sum): little is left for anything else", remedy: lower)
        } else {
            add(.fine, sum)
        }
    }

    /// `total` is what all pools take at most; nil when it is not known.
    private mutating func examineSwap(total: Int?, swapped: Int) {
        let swappiness = machine.swappiness
        if swapped > machine.memory / 100 {
            add(
                .warning,
                "\(bytesText(swapped)) of the workers' memory is swapped out: requests wait for the disk",
                remedy: swappiness > 10
                    ? "sysctl vm.swappiness=10 (it is \(swappiness)), then fpmctl recycle POOL; fewer workers if it comes back"
                    : "lower pm.max_children, or add memory"
            )
        } else if machine.swap == 0 {
            guard let total, total > machine.memory / 2 else { return }
            add(
                .advice,
                "there is no swap: a script that takes more memory than expected makes the kernel kill at once",
                remedy:
                    "add a small swap file (\(bytesText(max(1 << 30, machine.memory / 8)))), or set pm.max_memory"
            )
        } else if swappiness > 30, let total, total > machine.memory / 2 {
            add(
                .advice,
                "vm.swappiness = \(swappiness): idle workers are swapped out for the sake of file caches",
                remedy: "sysctl vm.swappiness=10"
            )
        } else {
            add(
                .fine,
                "\(bytesText(machine.swapUsed)) of swap in use, none to speak of by workers; vm.swappiness = \(swappiness)"
            )
        }
    }

    private func megabytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20)M" }

    private func proposal(_ pool: PoolSettings, _ count: Int) -> String {
        guard pool.processManager == .dynamic else { return "pm.max_children = \(count)" }
        let spare = max(1, count / 4)
        return
            "pm.max_children = \(count), pm.min_spare_servers = \(max(1, spare / 2)), pm.max_spare_servers = \(spare), pm.start_servers = \(spare)"
    }
}
