import Foundation
import TestSupport

/// A control group of its own, whose number of processes is limited.
final class ProcessesGroup {
    private let path: String

    /// Where there can be one: this process's group of the pids controller, of either version, if it may be written to.
    static let parent: String? = {
        for line in readText("/proc/self/cgroup").split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isFirst = fields[1].split(separator: ",").contains("pids")
            guard isFirst || fields[1].isEmpty else { continue }
            let root = isFirst ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup"
            for parent in [root + fields[2], root] where isUsable(parent) { return parent }
        }
        return nil
    }()

    private static func isUsable(_ parent: String) -> Bool {
        let probe = parent + "/fpmd-probe-\(getpid())"
        guard mkdir(probe, 0o755) == 0 else { return false }
        defer { rmdir(probe) }
        return access(probe + "/pids.max", W_OK) == 0
    }

    /// Makes one.
    ///
    /// - Throws: When it cannot be made.
    init() throws {
        guard let parent = Self.parent else { throw TestFailure("no group to make one in") }
        path = parent + "/fpmd-test-\(getpid())"
        guard mkdir(path, 0o755) == 0 else { throw TestFailure("cannot make \(path): errno \(errno)") }
    }

    private func write(_ text: String, _ file: String) throws {
        guard let handle = FileHandle(forWritingAtPath: file) else {
            throw TestFailure("cannot open \(file)")
        }
        try handle.write(contentsOf: Data(text.utf8))
        try handle.close()
    }

    /// A number, or `max`.
    func setMost(_ count: String) throws { try write(count, path + "/pids.max") }

    /// What it forks from now on belongs to the group, too.
    func add(_ process: Int32) throws { try write("\(process)", path + "/cgroup.procs") }

    private var members: [Substring] { readText(path + "/cgroup.procs").split(separator: "\n") }

    /// Processes in it.
    var count: Int { members.count }

    /// Puts its processes back to where they were.
    func remove() {
        let parent = Self.parent ?? "/sys/fs/cgroup"
        let deadline = Deadline(in: .seconds(10))
        repeat {
            for member in members { try? write(String(member), parent + "/cgroup.procs") }
            if rmdir(path) == 0 { return }
            poll(nil, 0, 5)
        } while !deadline.hasPassed
    }
}
