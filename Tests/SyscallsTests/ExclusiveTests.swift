import CEpoll
import Foundation
import Syscalls
import Synchronization
import TestSupport
import Testing

/// EPOLLEXCLUSIVE as the design relies on it: of those that sleep, the one that registered first is woken alone.
@Suite struct ExclusiveTests {
    /// A thread that waits on an epoll instance of its own, which watches the listener exclusively.
    final class Sleeper: Sendable {
        let epoll: CInt
        private let thread = Mutex<String?>(nil)
        private let woken = Atomic(false)

        init(listener: CInt, number: UInt64) throws {
            epoll = try check(cepoll_create())
            try check(cepoll_add(epoll, listener, UInt32(CEPOLL_IN), true, number))
        }

        deinit { close(epoll) }

        /// Goes to sleep, and returns once that is so.
        func sleep() throws {
            woken.store(false, ordering: .sequentiallyConsistent)
            thread.withLock { $0 = nil }
            Thread { [self] in
                let name = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
                thread.withLock { $0 = name }
                var ready = cepoll_ready()
                let count = cepoll_wait(epoll, &ready, 1, 60_000_000_000)
                if count == 1 { woken.store(true, ordering: .sequentiallyConsistent) }
            }.start()
            try wait(for: "a thread to sleep in epoll_wait") { isAsleep }
        }

        var isWoken: Bool { woken.load(ordering: .sequentiallyConsistent) }

        /// Whether the kernel has the thread blocked in a wait on this instance: a thread that was woken, but has
        /// not run yet, is shown as running.
        var isAsleep: Bool {
            guard let name = thread.withLock({ $0 }) else { return false }
            let words = readText("/proc/\(name)/syscall").split(separator: " ")
            return words.count > 1 && words[1] == "0x" + String(epoll, radix: 16)
        }
    }

    @Test func firstRegisteredSleeperIsWokenAlone() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/s"
        let listener = SharedDescriptor(adopting: try listen(path))
        let sleepers = try (0..<3).map { try Sleeper(listener: listener.rawValue, number: $0) }
        // The order in which they go to sleep is not that in which they registered.
        for index in [2, 0, 1] { try sleepers[index].sleep() }
        var clients: [SharedDescriptor] = []
        for index in 0..<3 {
            clients.append(try connectUnix(path))
            try wait(for: "sleeper \(index)") { sleepers[index].isWoken }
            for later in sleepers[(index + 1)...] {
                #expect(later.isAsleep, "woken too")
                #expect(!later.isWoken)
            }
        }
        for _ in 0..<3 { close(try check(cepoll_accept(listener.rawValue, nil))) }
        // The first is preferred again as soon as it sleeps again; who registers anew goes to the end.
        try check(cepoll_remove(sleepers[1].epoll, listener.rawValue))
        try check(cepoll_add(sleepers[1].epoll, listener.rawValue, UInt32(CEPOLL_IN), true, 1))
        for index in [1, 2, 0] { try sleepers[index].sleep() }
        for index in [0, 2, 1] {
            clients.append(try connectUnix(path))
            try wait(for: "sleeper \(index)") { sleepers[index].isWoken }
        }
    }

    private func listen(_ path: String) throws -> CInt {
        let listener = try check(socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0))
        try withUnixAddress(path) { try check(bind(listener, $0, $1)) }
        try check(Glibc.listen(listener, 16))
        return listener
    }
}

/// Calls `body` with the socket address of a path.
func withUnixAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Void) throws {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
    try withUnsafePointer(to: &address) { pointer in
        try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            try body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}

/// A client of the Unix socket at `path`.
func connectUnix(_ path: String) throws -> SharedDescriptor {
    let client = SharedDescriptor(adopting: try check(socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)))
    try withUnixAddress(path) { try check(connect(client.rawValue, $0, $1)) }
    return client
}
