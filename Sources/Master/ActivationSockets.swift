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
        return environment.entries.compactMap { entry in
            let isStored = StoredName.isStored(entry.name)
            guard cepoll_adopt_listener(entry.descriptor) == 0, isStream(entry.descriptor) else {
                let name = entry.name
                log.error(
                    "socket activation: descriptor \(entry.descriptor), \"\(name)\", is not a listening stream socket; not used"
                )
                return nil
            }
            let origin: Listener.Origin = isStored ? .stored : .socketUnit(name: entry.name)
            let listener = Listener(activated: entry.descriptor, origin)
            listener.announce(to: log)
            return listener
        }
    }

    /// Looks for contradictions between the sockets of socket units and the pools: a name that is one pool's, and the
    /// address of another's.
    ///
    /// - Returns: False after logging them.
    static func agree(_ listeners: [Listener], with pools: [PoolSettings], log: Log) -> Bool {
        var isAgreed = true
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
