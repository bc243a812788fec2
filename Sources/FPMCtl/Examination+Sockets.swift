import CEpoll
import Configuration
import Control
import Glibc

/// Listening sockets, who may connect to them, and the pools' users.
extension Examination {
    mutating func examineSocket(_ pool: PoolSettings) {
        let backlog = pool.listenBacklog
        if backlog > machine.longestBacklog {
            add(
                .warning,
                "listen.backlog = \(backlog), but the kernel cuts it to net.core.somaxconn = \(machine.longestBacklog)",
                pool: pool,
                remedy: "sysctl net.core.somaxconn=\(backlog)"
            )
        } else if (0..<128).contains(backlog) {
            add(
                .warning,
                "listen.backlog = \(backlog) refuses connections in a burst",
                pool: pool,
                remedy: "leave it at -1"
            )
        }
        guard case .unix(let address) = pool.listen else {
            if pool.listenAllowedClients == nil, case .port = pool.listen {
                add(
                    .warning,
                    "listens on every address of the machine for everybody: whoever connects can run code",
                    pool: pool,
                    remedy: "listen = 127.0.0.1:PORT or a path, or listen.allowed_clients"
                )
            }
            return
        }
        let path = address.description
        let isOurs = runningListens.contains(path)
        // A connection would wake an ondemand pool.
        let isServed = isOurs || cepoll_unix_in_use(address.cString, address.count) == 1
        if isServed, !isOurs {
            add(
                .problem,
                "something else listens on \(path)",
                pool: pool,
                remedy: "stop it (php-fpm?), or give the pool another listen"
            )
        }
        examineAccess(pool, address, isServed)
    }

    /// Whether a web server's user may connect.
    private mutating func examineAccess(_ pool: PoolSettings, _ path: ByteString, _ exists: Bool) {
        guard pool.listenACLUsers == nil, pool.listenACLGroups == nil else { return }
        guard let name = webUsers.first(where: { getpwnam($0) != nil }), let user = getpwnam(name) else {
            return
        }
        let (uid, gid) = (user.pointee.pw_uid, user.pointee.pw_gid)
        var owner: uid_t = 0
        var group: gid_t = 0
        var mode = mode_t(pool.listenMode)
        var info = stat()
        if exists, stat(path.cString, &info) == 0 {
            (owner, group, mode) = (info.st_uid, info.st_gid, info.st_mode)
        } else {
            if let text = pool.listenOwner?.description, !text.isEmpty {
                let entry = getpwnam(text)
                owner = entry?.pointee.pw_uid ?? uid_t(text) ?? 0
                group = entry?.pointee.pw_gid ?? 0
            }
            if let text = pool.listenGroup?.description, !text.isEmpty {
                group = getgrnam(text)?.pointee.gr_gid ?? gid_t(text) ?? 0
            }
        }
        let groups = Self.groups(of: name, primary: gid)
        let needed: mode_t = uid == owner ? 0o200 : groups.contains(group) ? 0o020 : 0o002
        guard mode & needed == 0 else { return }
        add(
            .warning,
            "the web server's user \(name) may not connect to \(path) (mode \(String(mode & 0o777, radix: 8)))",
            pool: pool,
            remedy: "listen.owner = \(name), listen.group = \(name); or name another with --web-user"
        )
    }

    private static func groups(of name: String, primary: gid_t) -> Set<gid_t> {
        var list = [gid_t](repeating: 0, count: 256)
        var count = CInt(list.count)
        guard getgrouplist(name, primary, &list, &count) >= 0 else { return [primary] }
        return Set(list.prefix(Int(count)))
    }

    mutating func examineUser(_ pool: PoolSettings) {
        guard let name = pool.user else { return }
        let user = name.description
        if user == "root" || user == "0" {
            add(.warning, "scripts run as root", pool: pool, remedy: "give the pool a user of its own")
        }
        let sharing = poolsOfUsers[name] ?? []
        if sharing.count > 1, let first = sharing.first, configuration.pools[first].name == pool.name {
            add(
                .advice,
                "shares the user \(user) with \(sharing.count - 1) other pool(s): they can read each other's files and memory",
                pool: pool,
                remedy: "one user for each site"
            )
        }
    }
}
