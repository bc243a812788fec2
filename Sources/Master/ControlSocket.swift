internal import CEpoll
internal import Configuration
internal import Control
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Who is at the other end of a control connection, by the kernel's word.
struct ControlPeer: Equatable {
    /// What it may do.
    enum Access: Equatable { case everything, looking, nothing }

    let process: Int32
    let user: UInt32
    let access: Access
}

/// Does what is asked on the control socket.
protocol ControlHandler: AnyObject {
    /// Answers a request, at once or later, once; the peer may do it.
    func perform(_ request: ControlRequest, reply: @escaping (ControlAnswer) -> Void)
}

/// The socket on which `fpmctl` finds the master.
///
/// Root and the master's own user may do everything, members of `control.group` may look, anybody else is refused: by
/// the file's mode, and again by the credentials of each peer. Connections are few, each has deadlines and bounded
/// memory (``ControlConnection``), and what is refused is logged, at most every ten seconds.
final class ControlSocket {
    private static let maximumConnections = 16
    private static let acceptBatch = 8
    private static let logPeriod = Duration.seconds(10)
    /// After a failed accept(2), when there are no descriptors: the listener stays readable, and would spin.
    private static let pause = Duration.seconds(1)

    let path: ByteString
    private(set) var group: gid_t?
    private let descriptor: SharedDescriptor
    private let reactor: Reactor
    private let log: Log
    private weak var handler: (any ControlHandler)?
    private var file: (device: UInt64, inode: UInt64) = (0, 0)
    private var watch: Reactor.Registration?
    private var retry: Reactor.Deadline?
    private var connections: [CInt: ControlConnection] = [:]
    private var order: [CInt] = []
    private var lastComplaint: MonotonicTime?
    private var unsaid = 0
    private var onLeft: (() -> Void)?

    /// Why there is no control socket: the failed step with its remedy, for the log.
    struct Unavailable: Error {
        let reason: ByteString
        /// Another process serves on the path.
        var isInUse = false
    }

    /// Binds `path` and answers there.
    ///
    /// - Throws: ``Unavailable``; nothing is left behind.
    init(path: ByteString, group: gid_t?, reactor: Reactor, log: Log, handler: any ControlHandler)
        throws(Unavailable)
    {
        let text = path.cString
        if cepoll_unix_in_use(text, path.count) == 1 {
            throw Unavailable(reason: "another process listens there", isInUse: true)
        }
        var info = stat()
        // Only a socket that nobody serves is in the way; a file of another kind is somebody's data.
        if lstat(text, &info) == 0, info.st_mode & S_IFMT == S_IFSOCK, info.st_uid == geteuid() {
            unlink(text)
        }
        let made = cepoll_listen_unix(text, path.count, group == nil ? 0o600 : 0o660, 64)
        guard made >= 0 else { throw Unavailable(reason: ByteString("bind: \(describe(currentErrno))")) }
        descriptor = SharedDescriptor(adopting: made)
        self.path = path
        self.group = group
        self.reactor = reactor
        self.log = log
        self.handler = handler
        if let group, cepoll_own_socket(text, uid_t.max, group) < 0 {
            let error = describe(currentErrno)
            unlink(text)
            throw Unavailable(reason: ByteString("chown to control.group: \(error)"))
        }
        var device: UInt64 = 0
        var inode: UInt64 = 0
        if cepoll_path_identity(text, &device, &inode) == 0 { file = (device, inode) }
        start()
    }

    /// Stops answering and removes the file, if it is still this socket's.
    func stop() {
        watch = nil
        retry = nil
        connections = [:]
        order = []
        let text = path.cString
        if cepoll_names_socket(text, file.device, file.inode) { unlink(text) }
    }

    /// Lets another group look, or nobody; who has looked as a member of the former one asks anew.
    ///
    /// - Throws: ``Unavailable``; nothing has changed then.
    func admit(_ group: gid_t?) throws(Unavailable) {
        let handle = cepoll_known_socket_path(path.cString, file.device, file.inode)
        defer { if handle >= 0 { close(handle) } }
        let mode: UInt32 = group == nil ? 0o600 : 0o660
        guard handle >= 0, cepoll_change_socket(handle, uid_t.max, group ?? getegid(), mode) == 0 else {
            throw Unavailable(reason: ByteString("control.group: \(describe(currentErrno))"))
        }
        self.group = group
        for (number, connection) in connections where connection.peer.access == .looking {
            if connection.isBusy { connection.endAfterAnswer() } else { end(number) }
        }
    }

    /// Stops as ``stop()`` does, but who waits for an answer still gets it: a reload that ends this socket was asked for
    /// here.
    ///
    /// - Parameter onLeft: Called once when nobody waits any more; keep this object until then.
    func leave(onLeft: @escaping () -> Void) {
        let waiting = connections.filter { $0.value.isBusy }
        stop()
        for connection in waiting.values { connection.endAfterAnswer() }
        connections = waiting
        if waiting.isEmpty { onLeft() } else { self.onLeft = onLeft }
    }

    private func start() {
        retry = nil
        watch = try? reactor.watch(descriptor.rawValue, for: .readable) { [weak self] _ in self?.accept() }
        if watch == nil { startLater() }
    }

    private func startLater() {
        watch = nil
        retry = reactor.after(Self.pause) { [weak self] in self?.start() }
    }

    private func accept() {
        for _ in 0..<Self.acceptBatch {
            let accepted = cepoll_accept(descriptor.rawValue, nil)
            guard accepted >= 0 else {
                if errno != EAGAIN {
                    complain("accept: \(describe(currentErrno))")
                    startLater()
                }
                return
            }
            take(Connection(adopting: accepted))
        }
    }

    private func take(_ descriptor: Connection) {
        let number = descriptor.rawValue
        let peer = identify(number)
        guard makeRoom() else {
            return complain("too many connections; one of process \(peer.process) is closed")
        }
        let connection = ControlConnection(
            descriptor,
            peer: peer,
            reactor: reactor,
            onRequest: { [weak self] request, reply in self?.handler?.perform(request, reply: reply) },
            onRefusal: { [weak self] reason in
                self?.complain("process \(peer.process) of user \(peer.user) is refused: \(reason)")
            },
            onEnd: { [weak self] in self?.end(number) }
        )
        guard (try? connection.begin()) != nil else { return }
        connections[number] = connection
        order.append(number)
        if peer.access == .nothing { connection.refusePeer() }
    }

    private func identify(_ socket: CInt) -> ControlPeer {
        var pid: pid_t = 0
        var uid = uid_t.max
        var gid = gid_t.max
        guard cepoll_peer_credentials(socket, &pid, &uid, &gid) == 0 else {
            return ControlPeer(process: 0, user: uid, access: .nothing)
        }
        let access: ControlPeer.Access =
            if uid == 0 || uid == geteuid() {
                .everything
            } else if let group, cepoll_peer_in_group(socket, group) { .looking } else { .nothing }
        return ControlPeer(process: pid, user: uid, access: access)
    }

    /// When all places are taken, the one that has asked nothing for longest makes room.
    private func makeRoom() -> Bool {
        guard order.count >= Self.maximumConnections else { return true }
        guard let idle = order.first(where: { connections[$0]?.isBusy == false }) else { return false }
        end(idle)
        return true
    }

    private func end(_ descriptor: CInt) {
        connections[descriptor] = nil
        order.removeAll { $0 == descriptor }
        if connections.isEmpty, let onLeft {
            self.onLeft = nil
            onLeft()
        }
    }

    private func complain(_ text: ByteString) {
        let now = MonotonicTime.now
        if let lastComplaint, now - lastComplaint < Self.logPeriod {
            unsaid += 1
            return
        }
        lastComplaint = now
        let more: ByteString = unsaid > 0 ? " (and \(unsaid) more since the last such line)" : ""
        unsaid = 0
        log.warning("control socket \(path): \(text)\(more)")
    }
}

@available(*, unavailable)
extension ControlSocket: Sendable {}
