/// What the control group of a process, and those above it, allow: version 1 and 2, and both side by side.
struct ControlGroup {
    /// Bytes of memory; nil without a limit.
    let memory: Int?
    /// Bytes from which on the kernel slows its processes down; nil without.
    let memoryHigh: Int?
    /// Bytes that may be swapped out; nil without a limit.
    let swap: Int?
    /// Processes and threads; nil without a limit.
    let tasks: Int?

    /// More than any machine has: how version 1 says that there is no limit.
    private static let unlimited = 1 << 60

    /// Reads the limits of `process`, a number or `self`.
    init(of process: String, _ files: HostFiles) {
        var groups: [String: String] = [:]
        for line in (files.text("/proc/\(process)/cgroup") ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            for controller in parts[1].split(separator: ",") { groups[String(controller)] = String(parts[2]) }
            if parts[1].isEmpty { groups[""] = String(parts[2]) }
        }
        /// The least limit in the files of that name, from the process's own group up to the root.
        func least(_ controller: String, _ old: String?, _ new: String) -> Int? {
            let base: String
            let path: String
            let name: String
            if let group = groups[controller] {
                guard let old else { return nil }
                (base, path, name) = ("/sys/fs/cgroup/\(controller)", group, old)
            } else if let group = groups[""] {
                (base, path, name) = ("/sys/fs/cgroup", group, new)
            } else {
                return nil
            }
            var parts = path.split(separator: "/").map(String.init)
            var found: [Int] = []
            while true {
                let file = ([base] + parts + [name]).joined(separator: "/")
                if let limit = files.number(file), limit < Self.unlimited { found.append(limit) }
                if parts.isEmpty { return found.min() }
                parts.removeLast()
            }
        }
        memory = least("memory", "memory.limit_in_bytes", "memory.max")
        memoryHigh = least("memory", nil, "memory.high")
        swap = least("memory", nil, "memory.swap.max")
        tasks = least("pids", "pids.max", "pids.max")
    }
}
