internal import CACL
internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging
internal import Syscalls
internal import SystemPackage

/// A bound, listening socket.
///
/// Shared by the generations of a pool: a reload that keeps the address keeps the socket and what waits in
/// it.
public final class Listener {
    /// The descriptor; workers have duplicates of it.
    let descriptor: SharedDescriptor
    /// `ADDRESS:PORT` as the kernel resolved it, or the path: what identifies the listener across reloads.
    let name: ByteString
    /// The path to remove at the end; nil for TCP.
    let path: ByteString?

    private init(descriptor: CInt, path: ByteString?) {
        self.descriptor = SharedDescriptor(adopting: descriptor)
        self.path = path
        name = path ?? Listener.boundName(descriptor)
    }

    /// Takes over a socket that listens already; `address` is as in `FPM_SOCKETS`.
    init(inherited descriptor: CInt, address: ByteString) {
        self.descriptor = SharedDescriptor(adopting: descriptor)
        name = address
        if case .host = ListenAddress(address), !address.isAbsolutePath { path = nil } else { path = address }
    }

    var isTCP: Bool { path == nil }

    /// Says that this socket is kept.
    func announce(to log: Log) { log.notice("using inherited socket fd=\(descriptor.rawValue), \"\(name)\"") }

    /// Removes the socket file.
    func unlinkPath() {
        if let path { unlink(path.description) }
    }

    private static func boundName(_ descriptor: CInt) -> ByteString {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let base = buffer.baseAddress else { return "" }
            let length = cepoll_bound_name(descriptor, base, buffer.count)
            guard length > 0 else { return "" }
            return ByteString(UnsafeRawBufferPointer(start: base, count: min(Int(length), buffer.count - 1)))
        }
    }

    /// The names a host and port can have once they are bound.
    static func names(_ host: ByteString, _ port: UInt16) -> [ByteString] {
        let found = UnsafeMutablePointer<cepoll_address>.allocate(capacity: 16)
        defer { found.deallocate() }
        var reason = UnsafePointer<CChar>(bitPattern: 0)
        let count = cepoll_resolve(host.description, port, found, 16, &reason)
        return (0..<max(0, Int(count))).map { "\(addressText(found[$0])):\(port)" }
    }

    // MARK: - Creation

    /// Why there is no listener; the reasons have been logged.
    struct Unavailable: Error {}

    /// Binds the address of a pool.
    ///
    /// - Throws: ``Unavailable`` after logging what failed, in php-fpm's words.
    static func open(_ pool: PoolSettings, log: Log, users: some ConfigurationHost) throws(Unavailable)
        -> Listener
    {
        switch pool.listen {
        case .unix(let path): return try openUnix(path, pool, log, users)
        case .invalidPort(let text):
            log.error("invalid port value '\(text)'")
            throw Unavailable()
        case .port(let port):
            let text = pool.listenText ?? ""
            if let any = bind(wildcard(6, port), pool.listenBacklog) { return any }
            log.notice("Failed implicitly binding to ::, retrying with 0.0.0.0")
            if let any = bind(wildcard(4, port), pool.listenBacklog) { return any }
            log.error("unable to bind listening socket for address '\(text)': \(describe(currentErrno))")
            throw Unavailable()
        case .host(let host, let port): return try openTCP(host, port, pool, log)
        }
    }

    private static func wildcard(_ family: UInt8, _ port: UInt16) -> cepoll_address {
        var address = cepoll_address()
        address.family = family
        address.port = port
        return address
    }

    private static func bind(_ address: cepoll_address, _ backlog: Int) -> Listener? {
        var address = address
        let descriptor = cepoll_listen_tcp(&address, CInt(clamping: backlog))
        return descriptor < 0 ? nil : Listener(descriptor: descriptor, path: nil)
    }

    private static func openTCP(
        _ host: ByteString,
        _ port: UInt16,
        _ pool: PoolSettings,
        _ log: Log
    ) throws(Unavailable) -> Listener {
        let text = pool.listenText ?? ""
        let found = UnsafeMutableBufferPointer<cepoll_address>.allocate(capacity: 16)
        defer { found.deallocate() }
        guard let base = found.baseAddress else { throw Unavailable() }
        var reason = UnsafePointer<CChar>(bitPattern: 0)
        let count = cepoll_resolve(host.description, port, base, 16, &reason)
        guard count > 0 else {
            log.error("getaddrinfo: \(reason.map { String(cString: $0) } ?? "no address")\n")
            throw Unavailable()
        }
        for index in 0..<Int(count) {
            guard let listener = bind(found[index], pool.listenBacklog) else {
                log.error("unable to bind listening socket for address '\(text)': \(describe(currentErrno))")
                continue
            }
            for ignored in (index + 1)..<max(Int(count), index + 1) {
                log.warning("Found multiple addresses for \(host), \(addressText(found[ignored])) ignored")
            }
            return listener
        }
        throw Unavailable()
    }

    private static func addressText(_ address: cepoll_address) -> ByteString {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            guard let base = buffer.baseAddress else { return "" }
            var copy = address
            let length = cepoll_address_text(&copy, base, buffer.count)
            return length > 0 ? ByteString(UnsafeRawBufferPointer(start: base, count: Int(length))) : ""
        }
    }

    private static func openUnix(
        _ path: ByteString,
        _ pool: PoolSettings,
        _ log: Log,
        _ users: some ConfigurationHost
    ) throws(Unavailable) -> Listener {
        let text = path.description
        guard path.count <= 107 else {
            log.error(
                "[pool \(pool.name)] cannot bind to UNIX socket '\(path)' as path is too long (found length: \(path.count), maximal length: 107)"
            )
            throw Unavailable()
        }
        if cepoll_unix_in_use(text, path.count) == 1 {
            log.error("Another FPM instance seems to already listen on \(path)")
            throw Unavailable()
        }
        // Only a socket that nobody serves is in the way; a file of another kind is somebody's data.
        var info = stat()
        if lstat(text, &info) == 0, info.st_mode & S_IFMT == S_IFSOCK { unlink(text) }
        let descriptor = cepoll_listen_unix(
            text,
            path.count,
            pool.listenMode,
            CInt(clamping: pool.listenBacklog)
        )
        guard descriptor >= 0 else {
            log.error("unable to bind listening socket for address '\(path)': \(describe(currentErrno))")
            throw Unavailable()
        }
        let listener = Listener(descriptor: descriptor, path: path)
        guard listener.applyPermissions(pool, log, users) else {
            listener.unlinkPath()
            throw Unavailable()
        }
        return listener
    }

    // MARK: - Owner, group, ACL

    private func applyPermissions(_ pool: PoolSettings, _ log: Log, _ users: some ConfigurationHost) -> Bool {
        guard let path else { return true }
        let aclUsers = pool.listenACLUsers.flatMap { $0.isEmpty ? nil : $0 }
        let aclGroups = pool.listenACLGroups.flatMap { $0.isEmpty ? nil : $0 }
        if aclUsers != nil || aclGroups != nil {
            if let owner = pool.listenOwner, !owner.isEmpty {
                log.warning("[pool \(pool.name)] ACL set, listen.owner = '\(owner)' is ignored")
            }
            if let group = pool.listenGroup, !group.isEmpty {
                log.warning("[pool \(pool.name)] ACL set, listen.group = '\(group)' is ignored")
            }
            return applyACL(pool, path, aclUsers, aclGroups, log, users)
        }
        var uid = uid_t.max
        var gid = gid_t.max
        if let owner = pool.listenOwner, !owner.isEmpty {
            if owner.isAllDigits {
                uid = uid_t(owner.description) ?? uid_t.max
            } else if case .found(let entry) = users.user(named: owner) {
                uid = entry.userID
                gid = entry.groupID
            } else {
                log.error("[pool \(pool.name)] cannot get uid for user '\(owner)': \(describe(currentErrno))")
                return false
            }
        }
        if let group = pool.listenGroup, !group.isEmpty {
            if group.isAllDigits {
                gid = gid_t(group.description) ?? gid_t.max
            } else if case .found(let id) = users.group(named: group) {
                gid = id
            } else {
                log.error(
                    "[pool \(pool.name)] cannot get gid for group '\(group)': \(describe(currentErrno))"
                )
                return false
            }
        }
        if uid == uid_t.max && gid == gid_t.max { return true }
        guard cepoll_own_socket(path.description, uid, gid) == 0 else {
            log.error("[pool \(pool.name)] failed to chown() the socket '\(path)': \(describe(currentErrno))")
            return false
        }
        return true
    }

    private func applyACL(
        _ pool: PoolSettings,
        _ path: ByteString,
        _ users: ByteString?,
        _ groups: ByteString?,
        _ log: Log,
        _ host: some ConfigurationHost
    ) -> Bool {
        var uids: [uid_t] = []
        for name in (users?.bytes ?? []).split(separator: UInt8(ascii: ",")).map({ ByteString($0) }) {
            guard case .found(let entry) = host.user(named: name) else {
                log.error("[pool \(pool.name)] cannot get uid for user '\(name)': \(describe(currentErrno))")
                return false
            }
            uids.append(entry.userID)
        }
        var gids: [gid_t] = []
        for name in (groups?.bytes ?? []).split(separator: UInt8(ascii: ",")).map({ ByteString($0) }) {
            guard case .found(let id) = host.group(named: name) else {
                log.error("[pool \(pool.name)] cannot get gid for group '\(name)': \(describe(currentErrno))")
                return false
            }
            gids.append(id)
        }
        var step: UnsafePointer<CChar>? = nil
        let handle = cepoll_socket_path(path.description)
        guard handle >= 0 else {
            log.error(
                "[pool \(pool.name)] failed to read the ACL of the socket '\(path)': \(describe(currentErrno))"
            )
            return false
        }
        defer { close(handle) }
        guard cacl_allow("/proc/self/fd/\(handle)", uids, uids.count, gids, gids.count, &step) == 0 else {
            let what = step.map { String(cString: $0) } ?? "change"
            log.error(
                "[pool \(pool.name)] failed to \(what) the ACL of the socket '\(path)': \(describe(currentErrno))"
            )
            return false
        }
        return true
    }
}

@available(*, unavailable)
extension Listener: Sendable {}
