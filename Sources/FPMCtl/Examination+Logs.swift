import Configuration
import Glibc

/// Whether the file systems of logs have room: where they have none, lines are lost and requests are served on.
extension Examination {
    /// Hundredths of a file system, below which it is nearly full.
    private static let scarce = 2

    mutating func examineLogs() {
        var known: Set<dev_t> = []
        let global = configuration.global
        if !global.logsToSyslog, !global.logsToJournal, let path = global.errorLog {
            examineRoom(of: path, "error_log", nil, &known)
        }
        for pool in configuration.pools {
            if !pool.logsAccessToJournal, let path = pool.accessLog {
                examineRoom(of: path, "access.log", pool, &known)
            }
            if let path = pool.slowLog { examineRoom(of: path, "slowlog", pool, &known) }
        }
    }

    private mutating func examineRoom(
        of path: ByteString,
        _ directive: String,
        _ pool: PoolSettings?,
        _ known: inout Set<dev_t>
    ) {
        // Others than absolute paths count from where fpmd starts; descriptors and devices have no room of their own.
        guard path.isAbsolutePath, !path.bytes.starts(with: "/dev/".utf8),
            !path.bytes.starts(with: "/proc/".utf8), let slash = path.bytes.lastIndex(of: UInt8(ascii: "/"))
        else { return }
        let text = path.description
        let directory = slash == 0 ? "/" : ByteString(path.bytes[..<slash])
        var room = statvfs()
        var info = stat()
        let place = (stat(path.cString, &info) == 0 ? path : directory).cString
        guard stat(place, &info) == 0, statvfs(place, &room) == 0 else { return }
        // Once for each file system.
        guard known.insert(info.st_dev).inserted else { return }
        let remedy = "make room: du -xh \(plain(directory.description)) shows what takes it; or move the log"
        if room.f_bavail == 0 {
            add(
                .problem,
                "\(directive) = \(plain(text)): no space is left on its file system, so log lines are lost",
                pool: pool,
                remedy: remedy
            )
        } else if room.f_files > 0, room.f_favail == 0 {
            add(
                .problem,
                "\(directive) = \(plain(text)): its file system takes no more files (inodes), so logs cannot be made anew",
                pool: pool,
                remedy: "remove files: df -i \(plain(directory.description))"
            )
        } else if room.f_bavail < room.f_blocks / 100 * UInt(Self.scarce) {
            let left = bytesText(Int(clamping: room.f_bavail) * Int(clamping: room.f_frsize))
            add(
                .warning,
                "\(directive) = \(plain(text)): its file system is nearly full, \(left) are left",
                pool: pool,
                remedy: remedy
            )
        }
    }
}
