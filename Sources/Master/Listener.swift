internal import CACL
internal import CEpoll
internal import Channel
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
    ///
    /// A name of the abstract namespace begins with `@`.
    let name: ByteString
    /// The path to remove at the end; nil for TCP, and for a Unix socket that has none.
    let path: ByteString?
    /// Whether peers have addresses: as the socket is, which need not be of the kind that its pool's `listen` says.
    let isTCP: Bool
    /// The pool that serves on it, whose waiting connections these become; nil before and between.
    weak var pool: Pool?
    /// Who answers status on it, if that is what it is for now.
    weak var status: StatusListener?
    /// Who may connect, and how many may wait, as it was set last; nil if this process has set nothing.
    var access: SocketAccess?
    /// Most connections that may wait, as far as that is known without asking the kernel.
    var queueLimit: UInt32?
    /// Which file the path named when the socket was bound or handed over; nil for TCP, a socket unit's, and what
    /// was handed over without a socket at its path.
    private(set) var file: (device: UInt64, inode: UInt64)?

    /// Whose socket it is.
    enum Origin: Equatable {
        /// Bound by this process, or handed over with `FPM_SOCKETS`.
        case own
        /// Bound by a predecessor, and kept by systemd until this process came.
        case stored
        /// systemd's, which also removes the file; `name` is its FileDescriptorName=.
        case socketUnit(name: ByteString)
    }

    /// Whose socket it is.
    let origin: Origin
    /// Under which name systemd keeps a copy of it, so that it goes on listening when this process ends.
    var storedName: String?

    private init(descriptor: CInt, path: ByteString?, _ access: SocketAccess) {
        self.descriptor = SharedDescriptor(adopting: descriptor)
        isTCP = !cepoll_is_local_socket(descriptor)
        self.path = path
        self.access = access
        queueLimit = access.queueLimit
        name = path ?? Listener.boundName(descriptor)
        origin = .own
    }

    /// Takes over a socket from systemd.
    init(activated descriptor: CInt, _ origin: Origin) {
        self.descriptor = SharedDescriptor(adopting: descriptor)
        isTCP = !cepoll_is_local_socket(descriptor)
        self.origin = origin
        name = Listener.boundName(descriptor)
        path = name.isAbsolutePath ? name : nil
        if origin == .stored {
            storedName = StoredName.name(for: name)
            rememberFile()
        }
    }

    /// Takes over a socket that listens already; `address` is as in `FPM_SOCKETS`.
    init(inherited descriptor: CInt, address: ByteString) {
        self.descriptor = SharedDescriptor(adopting: descriptor)
        isTCP = !cepoll_is_local_socket(descriptor)
        name = address
        origin = .own
        if case .host = ListenAddress(address), !address.isAbsolutePath { path = nil } else { path = address }
        rememberFile()
    }

    /// Takes over a socket with all that was known of it.
    init(
        taking descriptor: CInt,
        name: ByteString,
        path: ByteString?,
        file: (device: UInt64, inode: UInt64)?,
        origin: Origin
    ) {
        self.descriptor = SharedDescriptor(adopting: descriptor)
        isTCP = !cepoll_is_local_socket(descriptor)
        self.name = name
        self.path = path
        self.file = file
        self.origin = origin
    }

    /// Remembers the socket file, which a later path of the same name need not be.
    func rememberFile() {
        var device: UInt64 = 0
        var inode: UInt64 = 0
        guard let path, cepoll_path_identity(path.cString, &device, &inode) == 0 else { return }
        // A file of another kind is not what this socket was bound to.
        guard cepoll_names_socket(path.cString, device, inode) else { return }
        file = (device, inode)
    }

    /// Whether the path still names the file that was remembered: as long as the socket is open, its inode number is
    /// no other file's.
    var hasFile: Bool {
        guard let path, let file else { return false }
        return cepoll_names_socket(path.cString, file.device, file.inode)
    }

    /// Says that this socket is kept.
    func announce(to log: Log) { log.notice("using inherited socket fd=\(descriptor.rawValue), \"\(name)\"") }

    /// What is at the path of a socket that exists.
    enum Place: Equatable {
        /// TCP, or handed over without a socket at its path: perhaps it is not for this process to see.
        case unknown
        case reachable
        /// Nothing, or a socket that nobody serves.
        case gone
        /// No socket, where a socket unit had put one.
        case lostToUnit(name: ByteString)
        /// Something else, in words.
        case taken(by: ByteString)
    }

    /// What is at the path now.
    var place: Place {
        guard let path else { return .unknown }
        var info = stat()
        let isThere = lstat(path.cString, &info) == 0
        let isSocket = isThere && info.st_mode & S_IFMT == S_IFSOCK
        switch origin {
        case .socketUnit(let name): return isSocket ? .unknown : .lostToUnit(name: name)
        case .own where file == nil: return .unknown
        case .own, .stored: break
        }
        if hasFile { return .reachable }
        guard isThere else { return errno == ENOENT ? .gone : .taken(by: ByteString(describe(currentErrno))) }
        guard isSocket else { return .taken(by: "a file that is no socket is there") }
        let isServed = cepoll_unix_in_use(path.cString, path.count) != 0
        return isServed ? .taken(by: "another process listens there") : .gone
    }

    /// Removes the socket file, if the path still names it and it is this service's.
    func unlinkPath() {
        if case .socketUnit = origin { return }
        if let path, hasFile { unlink(path.cString) }
    }

    /// Whether this is the socket of a `listen` address.
    func isAt(_ address: ListenAddress) -> Bool {
        switch address {
        case .unix(let path): path == name
        case .port(let port): name == ":::\(port)" || name == "0.0.0.0:\(port)"
        case .host(let host, let port): Listener.names(host, port).contains(name)
        case .invalidPort: false
        }
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
        let count = cepoll_resolve(host.cString, port, found, 16, &reason)
        return (0..<max(0, Int(count))).map { "\(addressText(found[$0])):\(port)" }
    }

    // MARK: - Creation

    /// Why there is no listener, or no pool around it; the reasons have been logged.
    struct Unavailable: Error {
        /// What cannot be had, by its directive and value.
        var what: ByteString = ""
        /// Somebody has the TCP address already, or one that excludes it.
        var isInUse = false
    }

    /// Binds the address of a pool.
    ///
    /// - Parameters:
    ///   - pool: Its `listen` is the address.
    ///   - access: What its directives say of who may connect.
    ///   - directive: Whose value that is, for messages.
    ///   - log: Gets the reasons.
    /// - Returns: A listening socket.
    /// - Throws: ``Unavailable`` after logging what failed, in php-fpm's words, and what to do.
    static func open(
        _ pool: PoolSettings,
        _ access: SocketAccess,
        of directive: ByteString,
        log: Log
    ) throws(Unavailable) -> Listener {
        switch pool.listen {
        case .unix(let path): return try openUnix(path, pool, access, directive, log)
        case .invalidPort(let text):
            log.error("invalid port value '\(text)'")
            throw Unavailable()
        case .port(let port):
            let text = pool.listenText ?? ""
            if let any = bind(wildcard(6, port), access) { return any }
            log.notice("Failed implicitly binding to ::, retrying with 0.0.0.0")
            if let any = bind(wildcard(4, port), access) { return any }
            let error = currentErrno
            reportUnbound(text, directive, error, log)
            throw Unavailable(isInUse: error == .addressInUse)
        case .host(let host, let port): return try openTCP(host, port, pool, access, directive, log)
        }
    }

    private static func reportUnbound(
        _ address: ByteString,
        _ directive: ByteString,
        _ error: Errno,
        _ log: Log
    ) {
        var remedy = fileLimitRemedy(error)
        if address.isAbsolutePath {
            remedy = remedy ?? directoryRemedy(for: address, code: error.rawValue)
            // A socket that nobody serves has been removed.
            if error == .addressInUse { remedy = "it is not a socket: remove it, or choose another path" }
        } else if error == .addressInUse {
            remedy = "stop what listens there, or choose another address"
        } else if error == .addressNotAvailable {
            remedy = "choose an address of this machine"
        }
        let message: ByteString =
            "unable to bind listening socket for address '\(address)': \(describe(error))"
        if address.isAbsolutePath {
            return log.error("\(message), see \(directive)\(remedy.map { "; \($0)" as ByteString } ?? "")")
        }
        // php-fpm's own tests want nothing behind its words.
        log.error(message)
        log.error("see \(directive)\(remedy.map { ": \($0)" as ByteString } ?? "")")
    }

    private static func wildcard(_ family: UInt8, _ port: UInt16) -> cepoll_address {
        var address = cepoll_address()
        address.family = family
        address.port = port
        return address
    }

    private static func bind(_ address: cepoll_address, _ access: SocketAccess) -> Listener? {
        var address = address
        let descriptor = cepoll_listen_tcp(&address, CInt(clamping: access.backlog))
        guard descriptor >= 0 else { return nil }
        return Listener(descriptor: descriptor, path: nil, access)
    }

    private static func openTCP(
        _ host: ByteString,
        _ port: UInt16,
        _ pool: PoolSettings,
        _ access: SocketAccess,
        _ directive: ByteString,
        _ log: Log
    ) throws(Unavailable) -> Listener {
        let text = pool.listenText ?? ""
        let found = UnsafeMutableBufferPointer<cepoll_address>.allocate(capacity: 16)
        defer { found.deallocate() }
        guard let base = found.baseAddress else { throw Unavailable() }
        var reason = UnsafePointer<CChar>(bitPattern: 0)
        let count = cepoll_resolve(host.cString, port, base, 16, &reason)
        guard count > 0 else {
            log.error("getaddrinfo: \(reason.map { String(cString: $0) } ?? "no address")\n")
            log.error(
                "the host '\(host)' in \(directive) cannot be resolved: correct it, or start fpmd when names can be resolved"
            )
            throw Unavailable()
        }
        var isInUse = false
        for index in 0..<Int(count) {
            guard let listener = bind(found[index], access) else {
                let error = currentErrno
                isInUse = isInUse || error == .addressInUse
                reportUnbound(text, directive, error, log)
                continue
            }
            for ignored in (index + 1)..<max(Int(count), index + 1) {
                log.warning("Found multiple addresses for \(host), \(addressText(found[ignored])) ignored")
            }
            return listener
        }
        throw Unavailable(isInUse: isInUse)
    }

    private static func openUnix(
        _ path: ByteString,
        _ pool: PoolSettings,
        _ access: SocketAccess,
        _ directive: ByteString,
        _ log: Log
    ) throws(Unavailable) -> Listener {
        let text = path.cString
        guard path.count <= 107 else {
            log.error(
                "[pool \(pool.name)] cannot bind to UNIX socket '\(path)' as path is too long (found length: \(path.count), maximal length: 107)",
                .pool(pool.name)
            )
            throw Unavailable()
        }
        switch cepoll_unix_in_use(text, path.count) {
        case 0: break
        case 1:
            log.error("Another FPM instance seems to already listen on \(path), see \(directive)")
            throw Unavailable()
        default:
            // Not known: then what is there may be served.
            reportUnbound(path, directive, currentErrno, log)
            throw Unavailable()
        }
        // Only a socket that nobody serves is in the way; a file of another kind is somebody's data.
        var info = stat()
        if lstat(text, &info) == 0, info.st_mode & S_IFMT == S_IFSOCK { unlink(text) }
        let descriptor = cepoll_listen_unix(
            text,
            path.count,
            access.mode,
            CInt(clamping: access.backlog)
        )
        guard descriptor >= 0 else {
            reportUnbound(path, directive, currentErrno, log)
            throw Unavailable()
        }
        let listener = Listener(descriptor: descriptor, path: path, access)
        listener.rememberFile()
        guard listener.restrict(access, pool.name, log) else {
            listener.unlinkPath()
            throw Unavailable()
        }
        return listener
    }
}

@available(*, unavailable)
extension Listener: Sendable {}
