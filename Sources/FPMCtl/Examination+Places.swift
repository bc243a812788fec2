import Configuration
import Control
import Glibc

/// Where the service puts files and sockets, but for its logs, and the ports it wants.
///
/// Loading the configuration does not look at these; the start does, and fails.
extension Examination {
    mutating func examinePlaces() {
        let global = configuration.global
        if let path = global.pidFile { examineDirectory(of: path, "pid") }
        if let path = global.controlSocket, !path.isEmpty, !ControlSocketPath.isOff(path) {
            examineDirectory(of: path, "control.socket")
        }
        if let name = global.controlGroup, !name.isEmpty, !name.isAllDigits, getgrnam(name.cString) == nil {
            add(
                .warning,
                "control.group: there is no group '\(plain(name.description))'; only root and the master's user may use fpmctl",
                remedy: "groupadd --system \(plain(name.description)), then reload"
            )
        }
        if let settings = global.metricsListenerSettings { examine(settings.listen, "metrics.listen") }
        for pool in configuration.pools {
            examine(pool.listen, "listen", pool)
            if let address = pool.statusListen { examine(address, "pm.status_listen", pool) }
        }
    }

    private mutating func examine(_ address: ListenAddress, _ directive: String, _ pool: PoolSettings? = nil)
    {
        switch address {
        case .unix(let path): examineDirectory(of: path, directive, pool)
        case .invalidPort(let text):
            add(
                .problem,
                "\(directive): '\(plain(text.description))' is not a port",
                pool: pool,
                remedy: "1 to 65535"
            )
        case .port(let port): examinePort(nil, port, directive, pool)
        case .host(let host, let port): examinePort(host.description, port, directive, pool)
        }
    }

    private mutating func examineDirectory(
        of path: ByteString,
        _ directive: String,
        _ pool: PoolSettings? = nil
    ) {
        // Others than absolute paths count from where fpmd starts.
        guard path.isAbsolutePath, let slash = path.bytes.lastIndex(of: UInt8(ascii: "/")), slash > 0 else {
            return
        }
        let directory = ByteString(path.bytes[..<slash])
        guard fileKind(directory) != S_IFDIR else { return }
        add(
            .problem,
            "\(directive) = \(plain(path.description)): the directory \(plain(directory.description)) does not exist",
            pool: pool,
            remedy: "mkdir \(plain(directory.description)), or systemd's RuntimeDirectory="
        )
    }

    /// Whether somebody else has the port; nothing is changed, as nothing listens.
    private mutating func examinePort(
        _ host: String?,
        _ port: UInt16,
        _ directive: String,
        _ pool: PoolSettings?
    ) {
        // A running master has it itself.
        guard running == nil, portIsTaken(host, port) else { return }
        add(
            .problem,
            "\(directive): something else listens on port \(port)",
            pool: pool,
            remedy: "stop it (ss -ltnp 'sport = :\(port)' names it), or take another port"
        )
    }

    private func portIsTaken(_ host: String?, _ port: UInt16) -> Bool {
        var hints = addrinfo()
        // Names are not asked for: that may take long.
        hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0, let found else { return false }
        defer { freeaddrinfo(found) }
        let address = found.pointee
        let descriptor = socket(address.ai_family, address.ai_socktype | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var yes: CInt = 1
        // As the start binds: connections that are closing do not count.
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
        return bind(descriptor, address.ai_addr, address.ai_addrlen) != 0 && errno == EADDRINUSE
    }
}
