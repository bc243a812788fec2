import Foundation

/// One process as `/proc` showed it at one moment.
package struct ProcessSnapshot: Sendable, Hashable {
    package let pid: Int32
    package let parent: Int32
    /// The session: the process id of the daemon's master for everything that it started.
    package let session: Int32
    /// The state letter of proc(5), such as `Z` for a zombie.
    package let state: Character
    /// The nice value, -20 to 19.
    package let niceness: Int
    /// Clock ticks between boot and start: tells a process from a later one with the same number.
    package let startTime: UInt64
    /// The command line with blanks between the arguments; the title if the program set one.
    package let title: String

    /// Reads `/proc/PID`; nil when there is no such process.
    package init?(pid: Int32) {
        guard let stat = Self.read("/proc/\(pid)/stat"),
            let nameEnd = stat.lastIndex(of: ")")
        else { return nil }
        let fields = stat[stat.index(after: nameEnd)...].split(separator: " ")
        guard fields.count > 19, let state = fields[0].first, let parent = pid_t(fields[1]),
            let session = pid_t(fields[3]), let niceness = Int(fields[16]),
            let startTime = UInt64(fields[19])
        else { return nil }
        self.pid = pid
        self.parent = parent
        self.session = session
        self.state = state
        self.niceness = niceness
        self.startTime = startTime
        title = (Self.read("/proc/\(pid)/cmdline") ?? "")
            .split(separator: "\0", omittingEmptySubsequences: true).joined(separator: " ")
    }

    package static func == (left: Self, right: Self) -> Bool {
        left.pid == right.pid && left.startTime == right.startTime
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(pid)
        hasher.combine(startTime)
    }

    /// Tells whether this very process exists, be it as a zombie.
    package var exists: Bool { ProcessSnapshot(pid: pid) == self }

    /// Number of open descriptors; nil once the process has ended.
    package var descriptorCount: Int? {
        try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
    }

    /// What its open descriptors are: paths, sockets and pipes with their inodes.
    package var descriptors: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")) ?? []
        return names.sorted().compactMap {
            try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\($0)")
        }
    }

    /// Resident memory that no file backs, in kibibytes; nil once the process has ended.
    package var anonymousKiB: Int? { statusNumber("RssAnon") }

    /// The real user id.
    package var user: Int? { statusNumber("Uid") }

    /// The real group id.
    package var group: Int? { statusNumber("Gid") }

    /// First number of a line of `/proc/PID/status`.
    private func statusNumber(_ name: String) -> Int? {
        guard let field = statusField(name) else { return nil }
        return field.split(whereSeparator: { $0 == " " || $0 == "\t" }).first.flatMap { Int($0) }
    }

    /// Processor time that it has used; nil once the process has ended.
    package var processorTime: Duration? {
        let fields = (Self.read("/proc/\(pid)/stat") ?? "").split(separator: ")").last?.split(separator: " ")
        guard let fields, fields.count > 13, let user = Int(fields[11]), let system = Int(fields[12]) else {
            return nil
        }
        return .milliseconds((user + system) * 1000 / sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Text after `name:` in `/proc/PID/status`.
    package func statusField(_ name: String) -> String? {
        guard let status = Self.read("/proc/\(pid)/status") else { return nil }
        return status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            .map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
    }

    /// Every process there is.
    package static func all() -> [ProcessSnapshot] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.compactMap { ProcessSnapshot(pid: $0) }
    }

    /// All descendants of a process, parents before their children.
    package static func descendants(of pid: Int32) -> [ProcessSnapshot] {
        let byParent = Dictionary(grouping: all(), by: \.parent)
        var found: [ProcessSnapshot] = []
        var parents = [pid]
        while let parent = parents.popLast() {
            let children = byParent[parent] ?? []
            found += children
            parents += children.map(\.pid)
        }
        return found
    }

    private static func read(_ path: String) -> String? {
        // Files below /proc have no size: read by hand until the end.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }
}
