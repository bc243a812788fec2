import Foundation
import TestSupport
import Testing

/// What the master tells systemd, read from the socket that NOTIFY_SOCKET names.
@Suite(.daemons, .fpmdOnly("php-fpm of this distribution says little"))
struct NotificationTests {
    /// systemd's end of the conversation.
    final class Listener {
        let path: String
        private let descriptor: Int32
        private(set) var messages: [String] = []

        init() throws {
            path = try TestContext.required().makeDirectory("notify") + "/s"
            descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let length = socklen_t(MemoryLayout<sockaddr_un>.size)
            let isBound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) == 0 }
            }
            try #require(isBound)
        }

        deinit { close(descriptor) }

        /// Takes what comes until there is such a message, or nothing has come for ten seconds.
        func takeUntil(_ isLast: (String) -> Bool) -> Bool {
            var message = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            while !(messages.suffix(100).contains(where: isLast)) {
                guard poll(&message, 1, 10_000) == 1 else { return false }
                take()
            }
            return true
        }

        /// Takes what has come.
        func take() {
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                guard count > 0 else { return }
                messages.append(String(decoding: buffer[..<count], as: UTF8.self))
            }
        }
    }

    /// The watchdog's time does not stop where a request takes long to finish.
    @Test func watchdogIsAnsweredWhileDraining() throws {
        let systemd = try Listener()
        var options = Daemon.Options(global: "process_control_timeout = 60")
        options.environment = ["NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "2100000"]
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1", options)
        let held = try daemon.startHolding("x")
        daemon.signal(SIGQUIT)
        let start = ContinuousClock.now
        try wait(for: "three signs of life while the service stops") {
            systemd.take()
            guard let stop = systemd.messages.firstIndex(where: { $0.hasPrefix("STOPPING=1") }) else {
                return false
            }
            return systemd.messages[stop...].filter { $0.contains("WATCHDOG=1") }.count >= 3
        }
        #expect(ContinuousClock.now - start < .seconds(9), "not one each ten seconds")
        #expect(systemd.messages.contains { $0.contains("EXTEND_TIMEOUT_USEC=") })
        try daemon.releaseHeld()
        #expect(try held.finalResponse().text == "held x")
        #expect(try daemon.process.wait() == .code(0))
    }

    /// A listener of each pool is handed over before the service is ready; systemd's queue takes a few messages at a time.
    @Test(.needsRoot) func manyListenersLoseNoMessage() throws {
        let count = 4500
        let systemd = try Listener()
        var options = Daemon.Options(global: "systemd_interval = 1")
        options.environment = ["NOTIFY_SOCKET": systemd.path, "FDSTORE": "8192"]
        let pools = (0..<count).map {
            "[p\($0)]\nuser = www-data\nlisten = {{DIR}}/p\($0)\npm = ondemand\npm.max_children = 1\n"
        }
        // Nothing is read until it says in its log that it is ready.
        let daemon = try Daemon.start(
            Daemon.poolSection("pm = ondemand\npm.max_children = 1") + pools.joined(),
            options
        )
        // The first line of figures comes when nothing else is to be said.
        #expect(systemd.takeUntil { $0.hasPrefix("STATUS=Processes active") })
        #expect(systemd.messages.contains { $0.hasPrefix("READY=1") }, "the service is not ready for systemd")
        #expect(systemd.messages.count { $0.hasPrefix("FDSTORE=1") } == count + 1)
        // Stays for systemd, which has the socket.
        unlink(daemon.directory + "/fpm.sock")
    }

    @Test func reloadEndsTheStatusLines() throws {
        let systemd = try Listener()
        let pool = Daemon.poolSection("pm = static\npm.max_children = 1")
        var options = Daemon.Options(global: "systemd_interval = 1")
        options.environment = ["NOTIFY_SOCKET": systemd.path]
        let daemon = try Daemon.start(pool, options)
        func statusLines() -> Int {
            systemd.take()
            return systemd.messages.filter { $0.hasPrefix("STATUS=Processes active") }.count
        }
        try wait(for: "a status line") { statusLines() > 0 }
        try daemon.rewriteConfiguration(pool, global: "systemd_interval = 0")
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: systemd monitor disabled$/)
        let before = statusLines()
        // More than two of the former intervals.
        poll(nil, 0, 2500)
        #expect(statusLines() == before)
    }
}
