import Glibc

/// What the machine or container offers.
struct Machine {
    /// Bytes of memory: the machine's, or the control group's limit if that is less.
    let memory: Int
    /// Whether a control group sets it.
    let isLimited: Bool
    /// Bytes that are free or can be made free.
    let available: Int
    let processors: Int
    /// What net.core.somaxconn is.
    let longestBacklog: Int
    /// The most open files a process of root may have.
    let fileLimit: Int

    init() {
        let info = Self.fields("/proc/meminfo")
        let total = (info["MemTotal"] ?? 0) * 1024
        let limit = Self.groupLimit()
        isLimited = limit.map { $0 < total } ?? false
        memory = isLimited ? limit ?? total : total
        available = min((info["MemAvailable"] ?? 0) * 1024, memory)
        processors = max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN)))
        longestBacklog = fileText("/proc/sys/net/core/somaxconn").flatMap { Int($0) } ?? 4096
        fileLimit = fileText("/proc/sys/fs/nr_open").flatMap { Int($0) } ?? 1_048_576
    }

    /// The smallest memory limit of this process's control group and those above it.
    private static func groupLimit() -> Int? {
        let lines = (fileText("/proc/self/cgroup") ?? "").split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("0::") }) else {
            return fileText("/sys/fs/cgroup/memory/memory.limit_in_bytes").flatMap { Int($0) }
        }
        var parts = line.dropFirst(3).split(separator: "/").map(String.init)
        var limits: [Int] = []
        while true {
            let path = "/sys/fs/cgroup/" + (parts + ["memory.max"]).joined(separator: "/")
            if let limit = fileText(path).flatMap({ Int($0) }) { limits.append(limit) }
            if parts.isEmpty { return limits.min() }
            parts.removeLast()
        }
    }

    /// `Name: 123 kB` lines.
    static func fields(_ path: String) -> [String: Int] {
        var fields: [String: Int] = [:]
        for line in (fileText(path) ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, let number = parts[1].split(separator: " ").first.flatMap({ Int($0) })
            else {
                continue
            }
            fields[String(parts[0])] = number
        }
        return fields
    }

    /// Bytes that a process adds to the machine's use: its share of shared pages counted (PSS).
    ///
    /// Nil without permission.
    static func proportionalSize(of process: Int) -> Int? {
        let fields = fields("/proc/\(process)/smaps_rollup")
        return fields["Pss"].map { $0 * 1024 }
    }

    /// Worker processes of a pool, of fpmd or php-fpm: by their titles.
    static func workers(of pool: String) -> [Int] {
        guard let directory = opendir("/proc") else { return [] }
        defer { closedir(directory) }
        var found: [Int] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let pid = Int(name), let bytes = fileBytes("/proc/\(pid)/cmdline") else { continue }
            let title = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            if title == "php-fpm: pool \(pool)" { found.append(pid) }
        }
        return found
    }
}
