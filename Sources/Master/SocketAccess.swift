internal import CACL
internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging
internal import Syscalls
internal import SystemPackage

/// Who may connect to a pool's socket, and how many may wait: `listen.owner`, `listen.group`, `listen.mode`, the ACL
/// and `listen.backlog`, with all names resolved.
struct SocketAccess: Equatable {
    var userID: uid_t?
    var groupID: gid_t?
    var mode: UInt32 = 0o660
    var aclUsers: [uid_t] = []
    var aclGroups: [gid_t] = []
    let backlog: Int
    /// Most connections that may wait: the backlog, or what listen(2) cuts it to; nil if that is not known.
    let queueLimit: UInt32?

    var hasACL: Bool { !aclUsers.isEmpty || !aclGroups.isEmpty }

    /// That of a TCP listener, or one whose owner and mode are set one by one.
    init(backlog: Int, queueLimit: UInt32?) {
        self.backlog = backlog
        self.queueLimit = queueLimit
    }

    /// What a pool's directives say.
    ///
    /// - Parameters:
    ///   - pool: Whose directives.
    ///   - longestQueue: What `net.core.somaxconn` is; nil if that is not known.
    ///   - log: Gets the reason.
    ///   - users: Knows users and groups.
    /// - Throws: ``Listener/Unavailable`` after logging which name does not exist.
    init(
        _ pool: PoolSettings,
        longestQueue: UInt32?,
        log: Log,
        users: some ConfigurationHost
    ) throws(Listener.Unavailable) {
        backlog = pool.listenBacklog
        queueLimit = longestQueue.map { min($0, UInt32(truncatingIfNeeded: pool.listenBacklog)) }
        guard pool.listen.isUnix else { return }
        mode = pool.listenMode
        let aclUsers = pool.listenACLUsers.flatMap { $0.isEmpty ? nil : $0 }
        let aclGroups = pool.listenACLGroups.flatMap { $0.isEmpty ? nil : $0 }
        let owner = pool.listenOwner.flatMap { $0.isEmpty ? nil : $0 }
        let group = pool.listenGroup.flatMap { $0.isEmpty ? nil : $0 }
        func userEntry(_ name: ByteString) throws(Listener.Unavailable) -> UserEntry {
            if case .found(let entry) = users.user(named: name) { return entry }
            log.error(
                "[pool \(pool.name)] cannot get uid for user '\(name)': \(describe(currentErrno))",
                .pool(pool.name)
            )
            throw Listener.Unavailable()
        }
        func groupNumber(_ name: ByteString) throws(Listener.Unavailable) -> gid_t {
            if case .found(let id) = users.group(named: name) { return id }
            log.error(
                "[pool \(pool.name)] cannot get gid for group '\(name)': \(describe(currentErrno))",
                .pool(pool.name)
            )
            throw Listener.Unavailable()
        }
        guard aclUsers == nil, aclGroups == nil else {
            if let owner {
                log.warning(
                    "[pool \(pool.name)] ACL set, listen.owner = '\(owner)' is ignored",
                    .pool(pool.name)
                )
            }
            if let group {
                log.warning(
                    "[pool \(pool.name)] ACL set, listen.group = '\(group)' is ignored",
                    .pool(pool.name)
                )
            }
            for name in Self.names(aclUsers) { self.aclUsers.append(try userEntry(name).userID) }
            for name in Self.names(aclGroups) { self.aclGroups.append(try groupNumber(name)) }
            return
        }
        if let owner {
            if owner.isAllDigits {
                userID = uid_t(owner.description)
            } else {
                let entry = try userEntry(owner)
                (userID, groupID) = (entry.userID, entry.groupID)
            }
        }
        if let group {
            groupID = group.isAllDigits ? gid_t(group.description) : try groupNumber(group)
        }
    }

    private static func names(_ list: ByteString?) -> [ByteString] {
        (list?.bytes ?? []).split(separator: UInt8(ascii: ",")).map { ByteString($0) }
    }
}

extension Listener {
    /// Gives the socket file that has just been bound, with the mode of `access`, its owner or ACL.
    ///
    /// - Returns: False after logging what failed.
    func restrict(_ access: SocketAccess, _ pool: ByteString, _ log: Log) -> Bool {
        guard let path else { return true }
        if access.hasACL {
            var step: UnsafePointer<CChar>?
            let handle = cepoll_socket_path(path.cString)
            guard handle >= 0 else {
                log.error(
                    "[pool \(pool)] failed to read the ACL of the socket '\(path)': \(describe(currentErrno))",
                    .pool(pool)
                )
                return false
            }
            defer { close(handle) }
            let (users, groups) = (access.aclUsers, access.aclGroups)
            guard cacl_allow("/proc/self/fd/\(handle)", users, users.count, groups, groups.count, &step) == 0
            else {
                let what = step.map { String(cString: $0) } ?? "change"
                log.error(
                    "[pool \(pool)] failed to \(what) the ACL of the socket '\(path)': \(describe(currentErrno))",
                    .pool(pool)
                )
                return false
            }
            return true
        }
        if access.userID == nil, access.groupID == nil { return true }
        let (user, group) = (access.userID ?? .max, access.groupID ?? .max)
        guard cepoll_own_socket(path.cString, user, group) == 0 else {
            log.error(
                "[pool \(pool)] failed to chown() the socket '\(path)': \(describe(currentErrno))",
                .pool(pool)
            )
            return false
        }
        return true
    }

    /// A reload has kept the socket: gives it what has changed of owner, group, mode, ACL and backlog.
    ///
    /// The new configuration is in force whatever comes of it: failure is said, and the socket stays as it was.
    func adapt(to wanted: SocketAccess, _ pool: ByteString, _ log: Log) {
        let former = access
        guard former != wanted else { return }
        access = wanted
        if listen(descriptor.rawValue, CInt(clamping: wanted.backlog)) == 0 {
            queueLimit = wanted.queueLimit
        } else {
            queueLimit = nil
            log.error(
                "[pool \(pool)] listen.backlog of '\(name)' stays: listen(): \(describe(currentErrno))",
                .pool(pool)
            )
        }
        // Who handed the socket over has given the file its owner and mode.
        if former == nil, origin == .own { return }
        guard let path, let file, SocketAccess.differ(former, wanted) else { return }
        let handle = cepoll_known_socket_path(path.cString, file.device, file.inode)
        guard handle >= 0 else {
            return log.error(
                "[pool \(pool)] '\(path)' is not this service's socket any more, its owner and mode stay: \(describe(currentErrno)); remove it and reload",
                .pool(pool)
            )
        }
        defer { close(handle) }
        guard
            cepoll_change_socket(handle, wanted.userID ?? geteuid(), wanted.groupID ?? getegid(), wanted.mode)
                == 0
        else {
            return log.error(
                "[pool \(pool)] owner and mode of the socket '\(path)' stay: \(describe(currentErrno))",
                .pool(pool)
            )
        }
        guard wanted.hasACL || former?.hasACL ?? false else { return }
        var step: UnsafePointer<CChar>?
        let (users, groups) = (wanted.aclUsers, wanted.aclGroups)
        let link = "/proc/self/fd/\(handle)"
        if cacl_replace(link, wanted.mode, users, users.count, groups, groups.count, &step) != 0 {
            let what = step.map { String(cString: $0) } ?? "change"
            log.error(
                "[pool \(pool)] failed to \(what) the ACL of the socket '\(path)': \(describe(currentErrno))",
                .pool(pool)
            )
        }
    }
}

extension SocketAccess {
    /// Whether the socket file differs, and not only the backlog.
    fileprivate static func differ(_ former: SocketAccess?, _ wanted: SocketAccess) -> Bool {
        guard let former else { return true }
        return (former.userID, former.groupID, former.mode) != (wanted.userID, wanted.groupID, wanted.mode)
            || former.aclUsers != wanted.aclUsers || former.aclGroups != wanted.aclGroups
    }
}
