import Configuration

/// What the configuration needs of processes and descriptors, against what the service is allowed.
extension Examination {
    /// What the service's limits must allow.
    struct Needs {
        let pools: Int
        /// All pools at pm.max_children, within process.max.
        let workers: Int

        init(_ configuration: ServiceConfiguration) {
            pools = configuration.pools.count
            let sum = configuration.pools.reduce(0) { $0 + $1.maxChildren }
            let most = configuration.global.processMax
            workers = most > 0 ? min(most, sum) : sum
        }

        /// Descriptors of the master: listeners, channels, deposits and pipes of workers, and idle connections.
        var descriptors: Int { 1024 + 8 * pools + 5 * workers }
        /// The master, and one generation of zygotes and workers.
        var tasks: Int { 1 + pools + workers }
        /// Two generations, and some helpers.
        var tasksInReload: Int { 1 + 2 * (pools + workers) + 16 }

        var text: String { "\(pools) pool(s) and \(workers) workers" }
    }

    mutating func examineLimits() {
        let needs = Needs(configuration)
        examineDescriptors(needs)
        guard let master = machine.master else { return }
        examineTasks(master, needs)
        examineProcessesOfUsers(master)
    }

    private mutating func examineDescriptors(_ needs: Needs) {
        let configured = configuration.global.rlimitFiles
        let proposal = min(max(65536, needs.descriptors), max(machine.fileLimit, 1024))
        if configured > machine.fileLimit {
            add(
                .problem,
                "rlimit_files = \(configured) is more than the kernel allows (fs.nr_open = \(machine.fileLimit))",
                remedy: "rlimit_files = \(machine.fileLimit)"
            )
        } else if configured > 0, configured < needs.descriptors {
            add(
                .warning,
                "rlimit_files = \(configured) is little for \(needs.text): idle connections are closed early",
                remedy: "rlimit_files = \(proposal)"
            )
        } else if configured == 0, let limit = machine.master?.openFiles, limit < needs.descriptors {
            add(
                .warning,
                "the master may open \(limit) files, little for \(needs.text): idle connections are closed early",
                remedy: "LimitNOFILE=\(proposal) (systemctl edit fpmd), or rlimit_files = \(proposal)"
            )
        } else if let limit = machine.master?.openFiles {
            add(.fine, "the master may open \(limit) files; \(needs.text) want \(needs.descriptors)")
        }
    }

    private mutating func examineTasks(_ master: MasterProcess, _ needs: Needs) {
        guard let limit = master.group.tasks else { return }
        let remedy =
            "TasksMax=\(roundedUp(needs.tasksInReload)) (systemctl edit fpmd), or the container's pids limit"
        if limit < needs.tasks {
            add(
                .problem,
                "\(limit) processes are allowed (pids.max), \(needs.text) are \(needs.tasks): not all can be started",
                remedy: remedy
            )
        } else if limit < needs.tasksInReload {
            add(
                .warning,
                "\(limit) processes are allowed (pids.max): too few for a reload, in which two generations run (\(needs.tasksInReload))",
                remedy: remedy
            )
        } else {
            add(.fine, "\(limit) processes are allowed; a reload may need \(needs.tasksInReload)")
        }
    }

    /// RLIMIT_NPROC counts all processes of a user, and does not hold root.
    private mutating func examineProcessesOfUsers(_ master: MasterProcess) {
        guard let limit = master.processes else { return }
        var sums: [String: Int] = [:]
        for pool in configuration.pools {
            guard let user = pool.user?.description, user != "root", user != "0" else { continue }
            sums[user, default: 0] += 1 + pool.maxChildren
        }
        for (user, count) in sums.sorted(by: { $0.key < $1.key }) where limit < 2 * count {
            let remedy = "LimitNPROC=\(roundedUp(2 * count + 16)) (systemctl edit fpmd)"
            if limit < count {
                add(
                    .problem,
                    "user \(user) may have \(limit) processes, its pools want \(count): not all can be started",
                    remedy: remedy
                )
            } else {
                add(
                    .warning,
                    "user \(user) may have \(limit) processes: too few for a reload, in which two generations run (\(2 * count))",
                    remedy: remedy
                )
            }
        }
    }

    /// A limit with some room: the next multiple of 64.
    private func roundedUp(_ count: Int) -> Int { (count + 63) / 64 * 64 }
}
