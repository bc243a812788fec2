import Glibc

/// What the machine or container offers to the service.
struct Machine {
    let files: HostFiles
    /// Bytes of memory: the machine's, or the control group's limit if that is less.
    let memory: Int
    /// Whether a control group sets it.
    let isLimited: Bool
    /// Bytes from which on the kernel slows the service down; nil without.
    let memoryHigh: Int?
    /// Bytes of swap that the service may use.
    let swap: Int
    /// Bytes of the machine's swap that are in use, by whatever.
    let swapUsed: Int
    /// vm.swappiness.
    let swappiness: Int
    let processors: Int
    /// What net.core.somaxconn is.
    let longestBacklog: Int
    /// The most open files a process of root may have.
    let fileLimit: Int
    /// The running master; nil where none runs, or not on this machine.
    let master: MasterProcess?

    /// Reads what the machine says.
    ///
    /// - Parameters:
    ///   - files: The machine's files.
    ///   - masterID: The running master, if it is known. Without one the limits are those of this process.
    ///   - processors: How many there are.
    init(
        files: HostFiles = .real,
        masterID: Int? = nil,
        processors: Int = sysconf(CInt(_SC_NPROCESSORS_ONLN))
    ) {
        self.files = files
        master = masterID.flatMap { MasterProcess($0, files) }
        let group = master?.group ?? ControlGroup(of: "self", files)
        let info = files.fields("/proc/meminfo")
        func bytes(_ name: String) -> Int { (info[name] ?? 0) * 1024 }
        let total = bytes("MemTotal")
        isLimited = group.memory.map { $0 < total } ?? false
        let most = isLimited ? group.memory ?? total : total
        memory = most
        memoryHigh = group.memoryHigh.flatMap { $0 < most ? $0 : nil }
        swap = min(bytes("SwapTotal"), group.swap ?? .max)
        swapUsed = max(0, bytes("SwapTotal") - bytes("SwapFree"))
        swappiness = files.number("/proc/sys/vm/swappiness") ?? 60
        self.processors = max(1, processors)
        longestBacklog = files.number("/proc/sys/net/core/somaxconn") ?? 4096
        fileLimit = files.number("/proc/sys/fs/nr_open") ?? 1_048_576
    }
}

/// The running master as the kernel sees it.
struct MasterProcess {
    let process: Int
    let group: ControlGroup
    /// The most open files; nil: unlimited, or unknown.
    let openFiles: Int?
    /// The most processes of each user; nil: unlimited, or unknown.
    let processes: Int?
    /// Its AppArmor profile and mode, such as `fpmd (enforce)`; nil when the kernel does not say.
    let confinement: String?

    /// Nil when the process is no master on this machine: the one that answers may be in another container.
    init?(_ process: Int, _ files: HostFiles) {
        let name = files.text("/proc/\(process)/comm") ?? ""
        guard process > 0, name.hasPrefix("fpmd") || name.hasPrefix("php-fpm") else { return nil }
        self.process = process
        group = ControlGroup(of: "\(process)", files)
        let limits = (files.text("/proc/\(process)/limits") ?? "").split(separator: "\n")
        func soft(_ name: String) -> Int? {
            guard let line = limits.first(where: { $0.hasPrefix(name) }) else { return nil }
            return line.dropFirst(name.count).split(separator: " ").first.flatMap { Int($0) }
        }
        openFiles = soft("Max open files")
        processes = soft("Max processes")
        confinement =
            files.text("/proc/\(process)/attr/apparmor/current")
            ?? files.text("/proc/\(process)/attr/current")
    }
}
