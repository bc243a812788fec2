internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging
internal import Syscalls

/// Listening sockets that systemd hands over: those of socket units, and those that this service has stored.
enum ActivationSockets {
    /// Takes over all sockets that the environment names, which then names them no more.
    ///
    /// - Returns: nil after logging what makes no sense: what was meant is not guessed.
    static func take(log: Log) -> [Listener]? {
        let environment: ListenEnvironment
        do throws(ListenEnvironment.Problem) {
            environment = try ListenEnvironment(
                process: variable("LISTEN_PID"),
                count: variable("LISTEN_FDS"),
                names: variable("LISTEN_FDNAMES"),
                own: getpid()
            )
        } catch {
            log.error(error.message)
            return nil
        }
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) }
        if let other = environment.other {
            log.notice(
                "socket activation: LISTEN_PID is \(other), but this is process \(getpid()): those sockets are not used; if they are meant for fpmd, start it directly or with exec"
            )
        }
        let missing = environment.entries.filter { !wasHandedOver($0.descriptor) }
        if let first = missing.first {
            let count = environment.entries.count
            log.error(
                ListenEnvironment.Problem(
                    "LISTEN_FDS says \(count), but descriptor \(first.descriptor) is not open\(more(than: missing))"
                ).message
            )
            return nil
        }
        var strange: [ListenEnvironment.Entry] = []
        var listeners: [Listener] = []
        for entry in environment.entries {
            guard cepoll_adopt_listener(entry.descriptor) == 0, isStream(entry.descriptor) else {
                strange.append(entry)
                continue
            }
            let isStored = StoredName.isStored(entry.name)
            let origin: Listener.Origin = isStored ? .stored : .socketUnit(name: entry.name)
            let listener = Listener(activated: entry.descriptor, origin)
            listener.announce(to: log)
            listeners.append(listener)
        }
        if let first = strange.first {
            log.error(
                "socket activation: descriptor \(first.descriptor), \(shown(first.name)), is not a listening stream socket\(more(than: strange)); not used"
            )
        }
        return listeners
    }

    private static func more(than entries: [ListenEnvironment.Entry]) -> ByteString {
        entries.count > 1 ? ", and \(entries.count - 1) more" : ""
    }

    /// Whether a descriptor was open when this program was executed: all that it opens itself is close-on-exec.
    private static func wasHandedOver(_ descriptor: CInt) -> Bool {
        let flags = cepoll_descriptor_flags(descriptor)
        return flags >= 0 && flags & FD_CLOEXEC == 0
    }

    /// Looks for contradictions between the sockets of socket units and the pools: a name that is one pool's, and the
    /// address of another's.
    ///
    /// - Returns: False after logging them.
    static func agree(_ listeners: [Listener], with pools: [PoolSettings], log: Log) -> Bool {
        var isAgreed = true
        var known: [ByteString: Listener] = [:]
        for listener in listeners {
            guard let earlier = known.updateValue(listener, forKey: listener.name) else { continue }
            log.error(
                "socket activation: descriptors \(earlier.descriptor.rawValue) and \(listener.descriptor.rawValue) are both of the socket \(shown(listener.name)); hand it over once"
            )
            isAgreed = false
        }
        guard isAgreed else { return false }
        for listener in listeners {
            guard case .socketUnit(let name) = listener.origin,
                let named = pools.first(where: { $0.name == name })
            else { continue }
            guard let other = pools.first(where: { $0.name != name && listener.isAt($0.listen) }) else {
                if listeners.contains(where: { $0 !== listener && $0.isAt(named.listen) }) {
                    log.error(
                        "socket activation: FileDescriptorName=\(name) is of the socket \"\(listener.name)\", but pool \(name) has another one, \"\(named.listenText ?? "")\"; correct one of them"
                    )
                    isAgreed = false
                }
                continue
            }
            log.error(
                "socket activation: FileDescriptorName=\(name) is of the socket \"\(listener.name)\", where pool \(other.name) listens; correct one of them"
            )
            isAgreed = false
        }
        return isAgreed
    }

    private static func isStream(_ descriptor: CInt) -> Bool {
        var type: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) == 0
            && type == CInt(SOCK_STREAM.rawValue)
    }

    private static func variable(_ name: String) -> ByteString? {
        getenv(name).map { ByteString(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
    }
}
