import CEpoll
import Foundation
import Syscalls
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Listening sockets and their addresses.
@Suite struct SocketTests {
    // MARK: - Unix

    /// In a process of its own, as the umask belongs to the process.
    @Test func unixSocketHasItsModeFromTheFirstMoment() async {
        await #expect(processExitsWith: .success) {
            umask(0o027)
            let directory = try TemporaryDirectory()
            for mode: UInt32 in [0o660, 0o600, 0o666, 0o777, 0o400, 0o000] {
                let path = "\(directory.path)/\(mode)"
                // Another thread looks all the time: no wider mode may ever be seen.
                let watcher = ModeWatcher(path: path)
                for _ in 0..<50 {
                    let listener = cepoll_listen_unix(path, path.utf8.count, mode, 8)
                    #expect(listener >= 0)
                    var status = stat()
                    #expect(stat(path, &status) == 0)
                    #expect(status.st_mode & 0o7777 == mode)
                    close(listener)
                    unlink(path)
                }
                #expect(try watcher.stop().subtracting([mode]) == [])
            }
            #expect(umask(0) == 0o027, "the caller's umask is back")
        }
    }

    @Test(arguments: [(107, true), (108, false), (200, false)])
    func pathsHaveALimit(length: Int, fits: Bool) async throws {
        let directory = try TemporaryDirectory()
        let path =
            directory.path + "/" + String(repeating: "p", count: length - directory.path.utf8.count - 1)
        let listener = cepoll_listen_unix(path, length, 0o660, 8)
        let error = currentErrno
        if fits {
            try #require(listener >= 0, "\(error)")
            let owner = SharedDescriptor(adopting: listener)
            #expect(cepoll_unix_in_use(path, length) == 1)
            var name = [CChar](repeating: 0, count: 256)
            #expect(cepoll_bound_name(owner.rawValue, &name, 256) == 107)
            #expect(String(decoding: name.prefix(107).map { UInt8(bitPattern: $0) }, as: UTF8.self) == path)
        } else {
            #expect(listener == -1)
            #expect(error == .fileNameTooLong)
            #expect(failure { cepoll_unix_in_use(path, length) } == .fileNameTooLong)
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test func usedPathIsAnErrorAndSeenToBeUsed() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/s"
        let length = path.utf8.count
        #expect(cepoll_unix_in_use(path, length) == 0, "nothing there")
        var listener: SharedDescriptor? = SharedDescriptor(
            adopting: try check(cepoll_listen_unix(path, length, 0o660, 0))
        )
        #expect(failure { cepoll_listen_unix(path, length, 0o660, 8) } == .addressInUse)
        #expect(cepoll_unix_in_use(path, length) == 1)
        // A full backlog means that somebody listens.
        let number = listener?.rawValue ?? -1
        var clients: [SharedDescriptor] = []
        for _ in 0..<2 {
            clients.append(
                SharedDescriptor(
                    adopting: try check(
                        socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
                    )
                )
            )
        }
        for client in clients { try withUnixAddress(path) { _ = connect(client.rawValue, $0, $1) } }
        #expect(cepoll_unix_in_use(path, length) == 1)
        #expect(events(of: number) == CEPOLL_IN)
        listener = nil
        // The file is left, the listener is gone: as soon as no child of another test has it between fork and exec.
        try wait(for: "the path to be free") { cepoll_unix_in_use(path, length) == 0 }
    }

    /// What one that was made leads to takes its maker's word.
    @Test func unixConnectionsThatWereAccepted() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/s"
        let listener = SharedDescriptor(
            adopting: try check(cepoll_listen_unix(path, path.utf8.count, 0o660, 8))
        )
        #expect(cepoll_stream(listener.rawValue) == CEPOLL_NO_STREAM)
        for hasName in [false, true] {
            var client: SharedDescriptor? = SharedDescriptor(
                adopting: try check(socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0))
            )
            let made = try #require(client?.rawValue)
            #expect(cepoll_stream(made) == CEPOLL_NO_STREAM, "not connected")
            // The kernel names who wants to know its peer.
            if hasName { try check(cepoll_pass_credentials(made)) }
            try withUnixAddress(path) { try check(connect(made, $0, $1)) }
            let accepted = SharedDescriptor(adopting: try check(cepoll_accept(listener.rawValue, nil)))
            #expect(cepoll_stream(made) == CEPOLL_NO_STREAM)
            #expect(cepoll_stream(accepted.rawValue) == CEPOLL_LOCAL_STREAM)
            client = nil
            #expect(cepoll_stream(accepted.rawValue) == CEPOLL_LOCAL_STREAM, "its client has gone")
        }
    }

    @Test func unixPeersHaveNoAddress() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/s"
        let listener = SharedDescriptor(
            adopting: try check(cepoll_listen_unix(path, path.utf8.count, 0o660, 8))
        )
        #expect(
            failure { cepoll_accept(listener.rawValue, nil) } == .wouldBlock,
            "the listener does not block"
        )
        let client = try connectUnix(path)
        var peer = cepoll_address(bytes: (9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9), port: 9, family: 9)
        let accepted = SharedDescriptor(adopting: try check(cepoll_accept(listener.rawValue, &peer)))
        #expect(peer.family == 0)
        #expect(peer.port == 0)
        #expect(fcntl(accepted.rawValue, F_GETFL) & O_NONBLOCK != 0)
        #expect(fcntl(accepted.rawValue, F_GETFD) & FD_CLOEXEC != 0)
        withExtendedLifetime(client) {}
    }

    // MARK: - TCP

    @Test(arguments: ["127.0.0.1", "::1"])
    func acceptTellsThePeersAddress(host: String) throws {
        var address = cepoll_address()
        #expect(cepoll_parse_address(host, &address))
        guard let listener = tcpListener(&address) else { return }  // a machine without IPv6
        var name = [CChar](repeating: 0, count: 256)
        let length = Int(cepoll_bound_name(listener.rawValue, &name, 256))
        let bound = String(decoding: name.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        #expect(bound.hasPrefix(host + ":"))
        let port = try #require(UInt16(bound.dropFirst(host.count + 1)))
        #expect(failure { cepoll_accept(listener.rawValue, nil) } == .wouldBlock)

        let (client, clientPort) = try connectTCP(family: address.family, port: port)
        let hasNothing = failure { cepoll_accept(listener.rawValue, nil) }
        #expect(hasNothing == .wouldBlock, "a connection comes with its first bytes")
        #expect(send(client.rawValue, "x", 1, 0) == 1)
        _ = cepoll_poll_one(listener.rawValue, UInt32(CEPOLL_IN), 10_000)
        var queued: UInt32 = 0
        var limit: UInt32 = 0
        #expect(cepoll_tcp_queue(listener.rawValue, &queued, &limit) == 0)
        #expect(queued == 1)
        #expect(limit == 33)
        var peer = cepoll_address()
        let accepted = SharedDescriptor(adopting: try check(cepoll_accept(listener.rawValue, &peer)))
        #expect(text(peer) == host)
        #expect(peer.port == clientPort)
        #expect(peer.family == address.family)
        var again = cepoll_address()
        #expect(cepoll_peer(accepted.rawValue, &again) == 0)
        #expect(again.port == peer.port && text(again) == host)
        #expect(cepoll_tcp_queue(listener.rawValue, &queued, &limit) == 0)
        #expect(queued == 0)
        let (silent, _) = try connectTCP(family: address.family, port: port)
        #expect(cepoll_poll_one(listener.rawValue, UInt32(CEPOLL_IN), 10_000) > 0, "or without any")
        withExtendedLifetime((client, silent)) {}
    }

    @Test func queueOfAUnixSocketIsUnknown() throws {
        let (left, _) = try makeStream()
        var queued: UInt32 = 0
        var limit: UInt32 = 0
        #expect(cepoll_tcp_queue(left.rawValue, &queued, &limit) == -1)
    }

    // MARK: - Text

    @Test(
        arguments: [
            ("127.0.0.1", 4, "127.0.0.1"), ("0.0.0.0", 4, "0.0.0.0"),
            ("255.255.255.255", 4, "255.255.255.255"),
            ("::", 6, "::"), ("::1", 6, "::1"), ("2001:DB8:0:0::A", 6, "2001:db8::a"),
            ("fe80::1:2:3:4", 6, "fe80::1:2:3:4"),
            // IPv4 in IPv6 is shown as IPv4: allowed_clients lists it that way.
            ("::ffff:192.0.2.7", 6, "192.0.2.7"), ("::ffff:c000:207", 6, "192.0.2.7"),
            ("::fffe:192.0.2.7", 6, "::fffe:c000:207"),
        ] as [(String, UInt8, String)]
    )
    func addressesAreReadAndShown(input: String, family: UInt8, shown: String) {
        var address = cepoll_address()
        #expect(cepoll_parse_address(input, &address))
        #expect(address.family == family)
        #expect(address.port == 0)
        #expect(text(address) == shown)
    }

    @Test(arguments: [
        "", "localhost", "127.0.0.1:9000", "127.1", "256.0.0.1", "1.2.3.4.5", " 127.0.0.1", "::1%lo", "[::1]",
        ":::", "12345::",
    ])
    func othersAreNoAddresses(input: String) {
        var address = cepoll_address()
        #expect(!cepoll_parse_address(input, &address))
        #expect(address.family == 0)
        #expect(text(address) == nil)
    }

    @Test func addressThatDoesNotFitIsNotShown() {
        var address = cepoll_address()
        #expect(cepoll_parse_address("127.0.0.1", &address))
        var small = [CChar](repeating: 0x55, count: 9)
        #expect(cepoll_address_text(&address, &small, 9) == -1)
        var exact = [CChar](repeating: 0x55, count: 10)
        #expect(cepoll_address_text(&address, &exact, 10) == 9)
    }

    @Test func namesAreResolvedUpToTheCapacity() {
        var found = [cepoll_address](repeating: cepoll_address(), count: 2)
        var reason: UnsafePointer<CChar>?
        #expect(cepoll_resolve("127.0.0.1", 9000, &found, 2, &reason) == 1)
        #expect(text(found[0]) == "127.0.0.1")
        #expect(found[0].port == 9000)
        #expect(cepoll_resolve("127.0.0.1", 9000, &found, 0, &reason) == 0)
        #expect(cepoll_resolve("no such host.invalid", 9000, &found, 2, &reason) == -1)
        #expect(reason.map { String(cString: $0) }?.isEmpty == false)
    }

    private func text(_ address: cepoll_address) -> String? {
        var address = address
        var buffer = [CChar](repeating: 0, count: 64)
        let length = cepoll_address_text(&address, &buffer, 64)
        guard length >= 0 else { return nil }
        return String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func tcpListener(_ address: inout cepoll_address) -> SharedDescriptor? {
        let listener = cepoll_listen_tcp(&address, 33)
        if listener < 0 {
            #expect(
                address.family == 6
                    && (currentErrno == .addressNotAvailable || currentErrno == .addressFamilyNotSupported)
            )
            return nil
        }
        return SharedDescriptor(adopting: listener)
    }

    /// A client on loopback, and its port.
    private func connectTCP(family: UInt8, port: UInt16) throws -> (SharedDescriptor, UInt16) {
        let isV4 = family == 4
        let client = SharedDescriptor(
            adopting: try check(socket(isV4 ? AF_INET : AF_INET6, CInt(SOCK_STREAM.rawValue), 0))
        )
        var storage = sockaddr_storage()
        var length = socklen_t(isV4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size)
        return try withUnsafeMutableBytes(of: &storage) { raw in
            let base = try #require(raw.baseAddress)
            if isV4 {
                let address = base.bindMemory(to: sockaddr_in.self, capacity: 1)
                address.pointee.sin_family = sa_family_t(AF_INET)
                address.pointee.sin_port = port.bigEndian
                address.pointee.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            } else {
                let address = base.bindMemory(to: sockaddr_in6.self, capacity: 1)
                address.pointee.sin6_family = sa_family_t(AF_INET6)
                address.pointee.sin6_port = port.bigEndian
                raw[23] = 1  // the last byte of sin6_addr
            }
            let address = base.assumingMemoryBound(to: sockaddr.self)
            try check(connect(client.rawValue, address, length))
            try check(getsockname(client.rawValue, address, &length))
            return (client, UInt16(raw[2]) << 8 | UInt16(raw[3]))
        }
    }
}

/// A thread that collects the modes in which a file is seen.
final class ModeWatcher: Sendable {
    private let path: String
    private let seen = Mutex<Set<UInt32>>([])
    private let isOver = Atomic(false)
    private let hasEnded = Atomic(false)

    init(path: String) {
        self.path = path
        Thread { [self] in
            var status = stat()
            while !isOver.load(ordering: .sequentiallyConsistent) {
                if stat(path, &status) == 0 { seen.withLock { _ = $0.insert(status.st_mode & 0o7777) } }
            }
            hasEnded.store(true, ordering: .sequentiallyConsistent)
        }.start()
    }

    func stop() throws -> Set<UInt32> {
        isOver.store(true, ordering: .sequentiallyConsistent)
        try wait(for: "the watching thread to end") { hasEnded.load(ordering: .sequentiallyConsistent) }
        return seen.withLock { $0 }
    }
}
