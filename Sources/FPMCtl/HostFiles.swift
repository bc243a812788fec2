import Glibc

/// The files in which a machine describes itself: the real ones, or those of a machine that a test makes up.
struct HostFiles: Sendable {
    /// The text of a file without its last newline; nil when it cannot be read.
    let text: @Sendable (_ path: String) -> String?
    /// The names in a directory; none when it cannot be read.
    let names: @Sendable (_ path: String) -> [String]

    /// This machine's.
    static let real = HostFiles(text: fileText, names: directoryNames)

    /// The whole number that a file consists of; nil for anything else.
    func number(_ path: String) -> Int? {
        text(path).flatMap { Int($0) }
    }

    /// `Name: 123 kB` lines.
    func fields(_ path: String) -> [String: Int] {
        var fields: [String: Int] = [:]
        for line in (text(path) ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2,
                let number = parts[1].split(whereSeparator: \.isWhitespace).first.flatMap({ Int($0) })
            else { continue }
            fields[String(parts[0])] = number
        }
        return fields
    }

    /// The title of a process, or its program as it was called; nil when there is no such process.
    func title(of process: Int) -> String? {
        text("/proc/\(process)/cmdline").map { String($0.prefix { $0 != "\0" }) }
    }

    /// Bytes that a process adds to the machine's use: its share of shared pages counted (PSS).
    ///
    /// Nil without permission.
    func proportionalSize(of process: Int) -> Int? {
        fields("/proc/\(process)/smaps_rollup")["Pss"].map { $0 * 1024 }
    }

    /// Bytes of a process that are swapped out.
    func swapped(of process: Int) -> Int {
        (fields("/proc/\(process)/status")["VmSwap"] ?? 0) * 1024
    }

    /// Worker processes of each pool, of fpmd or php-fpm: by their titles.
    func workers() -> [String: [Int]] {
        let title = "php-fpm: pool "
        var found: [String: [Int]] = [:]
        for process in names("/proc").compactMap({ Int($0) }) {
            guard let text = self.title(of: process), text.hasPrefix(title) else { continue }
            found[String(text.dropFirst(title.count)), default: []].append(process)
        }
        return found
    }
}

private func directoryNames(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        names.append(
            withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
        )
    }
    return names
}
