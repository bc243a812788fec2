import Foundation
import Glibc
import TestSupport
import Testing

/// Whether scripts may call any function of the C library.
let hasFFI: Bool = {
    let directories = ["/etc/php/8.2/fpm/conf.d", "/etc/php/8.2/embed/conf.d"]
    return directories.contains { FileManager.default.fileExists(atPath: $0 + "/20-ffi.ini") }
}()

/// Workers whose code has turned against the master: it says so, kills them if it can tell, and serves others as before.
@Suite(
    .daemons,
    .serialized,
    .fpmdOnly("has no channel to its workers"),
    .enabled(if: hasFFI, "PHP has no FFI")
)
struct HostileWorkerTests {
    /// Something that listens and never reads.
    private final class DeafListener {
        let port: UInt16
        private let socket: Int32

        init(_ host: UInt32 = 0x7f00_0001) throws {
            socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = host.bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let descriptor = socket
            let isListening = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, size) == 0 && listen(descriptor, 64) == 0
                        && getsockname(descriptor, $0, &size) == 0
                }
            }
            port = UInt16(bigEndian: address.sin_port)
            try #require(isListening)
        }

        /// What comes on the next connection until it is closed.
        func readNext() throws -> String {
            let descriptor = accept(socket, nil, nil)
            try #require(descriptor >= 0)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            defer { close(descriptor) }
            var limit = timeval(tv_sec: 20, tv_usec: 0)
            setsockopt(
                descriptor,
                SOL_SOCKET,
                SO_RCVTIMEO,
                &limit,
                socklen_t(MemoryLayout<timeval>.size)
            )
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while case let count = recv(descriptor, &buffer, buffer.count, 0), count != 0 {
                try #require(count > 0, "neither an answer nor the end")
                bytes += buffer[..<count]
            }
            return String(decoding: bytes, as: UTF8.self)
        }

        deinit { close(socket) }
    }

    /// A worker need not have checked what it hands on: nor does the master answer who may not connect.
    @Test func clientsThatAreNotAllowedGetNoAnswer() throws {
        let daemon = try Daemon.start(
            "[www]\nuser = www-data\nlisten = 127.0.0.1:{{PORT}}\nlisten.allowed_clients = 127.0.0.1\npm = static\n"
                + "pm.max_children = 1\nping.path = /ping\nphp_admin_value[ffi.enable] = 1\n"
        )
        daemon.allowLog(/Connection disallowed/)
        let other = try DeafListener(0x7f00_0002)
        let request = daemon.makeRequest("/ping").bytes.map { String(format: "%02x", $0) }.joined()
        let connection = try daemon.begin(
            "/hostile.php",
            query: "how=parkUnchecked&port=\(other.port)&dir=\(daemon.scratch)&bytes=\(request)"
        )
        #expect(try daemon.get("/ping").text == "pong", "from the master: the worker is busy")
        try Data().write(to: URL(fileURLWithPath: daemon.scratch + "/park"))
        #expect(try other.readNext() == "")
        try daemon.waitForLog(/Connection disallowed: IP address '127\.0\.0\.2' has been dropped/)
        try daemon.releaseHeld()
        #expect(try connection.finalResponse().text == "parked")
    }

    /// A pool of hostile scripts beside one that is asked all the time.
    private final class Scene {
        let daemon: Daemon
        let load: Load
        private let deaf = try? DeafListener()

        init(workers: Int = 2, _ lines: String = "") throws {
            func pool(_ name: String, _ lines: String) -> String {
                "[\(name)]\nuser = www-data\nlisten = {{SOCKET:\(name)}}\npm = static\n\(lines)\n"
            }
            daemon = try Daemon.start(
                pool("good", "pm.max_children = 2")
                    + pool("bad", "pm.max_children = \(workers)\nphp_admin_value[ffi.enable] = 1\n\(lines)"),
                Daemon.Options(global: Control.directive)
            )
            daemon.allowLog(/\[pool bad\] child \d+.* (exited|cut off) on signal 9/)
            load = Load(
                daemon.makeRequest("/hello.php"),
                to: try daemon.endpoint("good"),
                expecting: "hello, world",
                clients: 1
            )
            try load.waitForGood(20)
        }

        func attack(_ how: String) throws -> FastCGIConnection {
            try daemon.begin(
                "/hostile.php",
                query: "how=\(how)&port=\(deaf?.port ?? 0)&dir=\(daemon.scratch)",
                from: "bad"
            )
        }

        /// An attack by what the master is to close: it looks when nobody else has that open.
        func attackAsleep(_ how: String) throws -> FastCGIConnection {
            kill(daemon.master, SIGSTOP)
            defer { kill(daemon.master, SIGCONT) }
            let connection = try attack(how)
            let given = URL(fileURLWithPath: "\(daemon.scratch)/given")
            try wait(for: "the worker to have given everything") {
                (try? given.checkResourceIsReachable()) == true
            }
            try FileManager.default.removeItem(at: given)
            return connection
        }

        /// The hostile pool serves again.
        func waitForRecovery() throws {
            try wait(for: "the hostile pool to serve") {
                (try? daemon.begin("/hello.php", from: "bad").finalResponse())?.text == "hello, world\n"
            }
        }

        /// The other pool has not noticed anything.
        func expectCalm() throws {
            try load.waitForGood(20)
            let totals = try load.stop()
            #expect(totals.failed == 0, "\(totals)")
            // A close that waits would take five minutes.
            #expect(totals.quantile(1) < .seconds(10), "\(totals.quantile(1))")
            // The other pool's workers need no master: it is asked itself.
            let health = try daemon.ctl("health", "live", "--timeout", "10")
            #expect(health.status == .code(0), "\(health.errors)")
        }
    }

    /// Of these, what gives sockets whose close waits.
    private static let closing = ["noiseWithLinger", "deliverBeyond"]
    /// What breaks the protocol, by what the log calls it.
    private static let breaches: [(reason: String, ways: [String])] = [
        ("sent a malformed message", ["noise", "short", "long", "many", "noiseWithLinger"]),
        (
            "sent a message that is not a worker's",
            [
                "kind.1", "kind.2", "kind.3", "kind.4", "kind.16", "kind.17", "kind.18", "kind.42", "kind.48",
                "readyWithPipe", "unshareWithPipe",
            ]
        ),
        (
            "gave back something that is not a connection",
            [
                "parkNothing", "parkTwo", "parkPipe", "parkFile", "parkDatagram", "parkChannel", "parkPages",
                "parkService", "parkUnconnected", "lingerPipe", "shareNothing", "sharePipe", "shareService",
            ]
        ),
        ("shared a connection in a place that there is not", ["shareBeyond", "shareUncounted"]),
        (
            "gave something that is not the rest of a response",
            ["deliverPipe", "deliverService", "deliverUnsealed", "deliverBeyond", "deliverTooLong"]
        ),
        ("gave something that is not the beginning of a request", ["parkUnsealed"]),
        ("gave something that is not a list of scripts", ["scriptsTooLong"]),
        (
            "gave something that is not a place for connections",
            ["readyWithDeposit"]
        ),
    ]

    @Test func breachesOfTheProtocol() throws {
        let scene = try Scene()
        let daemon = scene.daemon
        daemon.allowLog(/ERROR: \[pool bad\] child \d+ (sent|gave|shared) .*: killed$/)
        try scene.waitForRecovery()
        daemon.markDescriptors()
        for (reason, ways) in Self.breaches {
            for how in ways {
                let count = daemon.log.count(of: /: killed$/)
                let connection = try Self.closing.contains(how) ? scene.attackAsleep(how) : scene.attack(how)
                try wait(for: "the worker's end after \(how)") { daemon.log.count(of: /: killed$/) > count }
                let lines = daemon.log.lines.filter { $0.hasSuffix(": killed") }
                #expect(lines.count == count + 1, "\(how)")
                let line = try #require(lines.last)
                #expect(line.contains(/ERROR: \[pool bad\] child \d+/), "\(how): \(line)")
                #expect(line.hasSuffix(" \(reason): killed"), "\(how): \(line)")
                _ = try? connection.finalResponse()
                try scene.waitForRecovery()
            }
        }
        try daemon.waitForWorkers(4)
        try scene.expectCalm()
    }

    /// What a dead worker has left for the master is anything but the connection of its request.
    @Test func deposits() throws {
        let scene = try Scene()
        let daemon = scene.daemon
        daemon.allowLog(/\[pool bad\] child \d+/)
        daemon.markDescriptors()
        for what in ["pipe", "lingering", "two", "nothing"] {
            let connection = try scene.attack("dieWithDeposit.\(what)")
            let answer = try? connection.finalResponse()
            #expect(answer?.isComplete != true || answer?.status == 500, "\(what): \(answer?.text ?? "")")
            try scene.waitForRecovery()
        }
        try daemon.waitForWorkers(4)
        try scene.expectCalm()
    }

    /// Messages of a worker's kind that are not true: nothing that is counted on them is lost.
    @Test func lies() throws {
        let scene = try Scene()
        let daemon = scene.daemon
        daemon.allowLog(/\[pool bad\] child \d+/)
        daemon.markDescriptors()
        let open = try #require(ProcessSnapshot(pid: daemon.master)?.descriptorCount)
        for (how, text) in [("lies", "lied"), ("crash", "as if"), ("lies", "lied"), ("flood", "flooded")] {
            #expect(try scene.attack(how).finalResponse().text == text)
        }
        try scene.waitForRecovery()
        try daemon.waitForWorkers(4)
        // Connections that were given back are closed when nothing comes for seconds.
        try wait(for: "what was given to be closed") {
            try #require(ProcessSnapshot(pid: daemon.master)?.descriptorCount) <= open
        }
        try scene.expectCalm()
    }

    /// What a worker says of the opcache is shown, however absurd.
    @Test(arguments: ["most", "least"]) func figuresOfTheOpcache(_ which: String) throws {
        let scene = try Scene(workers: 1)
        let daemon = scene.daemon
        let connection = try scene.attack("opcache.\(which)")
        try daemon.waitForScratchFile("hostile")
        let shown = try daemon.ctl("opcache", "status", "bad")
        #expect(shown.status == .code(0), "\(shown.errors)")
        #expect(shown.output.hasPrefix("memory"), "\(shown.output)")
        #expect(try connection.finalResponse().text == "answered")
        try scene.waitForRecovery()
        try scene.expectCalm()
    }

    /// Children that a worker makes in its parent's name end by the hundred: the log is not filled with them.
    @Test func unknownChildren() throws {
        let scene = try Scene()
        let daemon = scene.daemon
        daemon.allowLog(/WARNING: unknown child/)
        let begin = ContinuousClock.now
        // When one of the second hundreds is in the log, all of the first have had their turn.
        for _ in 1...2 {
            let before = daemon.log.count(of: /unknown child/)
            #expect(try scene.attack("siblings").finalResponse(within: .seconds(20)).text == "multiplied")
            try wait(for: "a line") { daemon.log.count(of: /unknown child/) > before }
        }
        let lines = daemon.log.count(of: /unknown child/)
        let seconds = Int((ContinuousClock.now - begin).components.seconds) + 2
        #expect(lines <= 20 * seconds, "\(lines) lines")
        try scene.waitForRecovery()
        try scene.expectCalm()
    }

    /// Everything in the pool's shared pages is false, and changes all the time.
    @Test func scribbledPages() throws {
        let scene = try Scene(workers: 3, "pm.status_path = /status\npm.max_queue = 4")
        let daemon = scene.daemon
        daemon.allowLog(/\[pool bad\]/)

        let scribbler = try scene.attack("pages")
        try daemon.waitForScratchFile("hostile")
        // More than there are workers for, so that the master looks at the pages.
        let others = try (1...8).map { _ in
            try daemon.begin("/status", query: "json&full", from: "bad")
        }
        #expect(try scribbler.finalResponse(within: .seconds(20)).text == "scribbled")
        for connection in others { _ = try? connection.finalResponse(within: .seconds(1)) }
        try scene.expectCalm()
        // What the pool has done to itself ends with a reload.
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        try scene.waitForRecovery()
    }

    /// The queue that the pool's workers share is shut by one of them: the pool's own affair, until it is reloaded.
    @Test func shutQueue() throws {
        let scene = try Scene(workers: 1)
        let daemon = scene.daemon
        daemon.allowLog(/\[pool bad\]/)
        #expect(try scene.attack("queue").finalResponse().text == "shut")
        let connections = try (1...8).map { _ in
            try daemon.begin("/slow.php", query: "seconds=1", from: "bad")
        }
        let before = try #require(ProcessSnapshot(pid: daemon.master)?.processorTime)
        let begin = ContinuousClock.now
        try wait(for: "two seconds") { ContinuousClock.now - begin > .seconds(2) }
        let used = try #require(ProcessSnapshot(pid: daemon.master)?.processorTime) - before
        #expect(used < .seconds(1), "the master was busy for \(used)")
        try scene.expectCalm()
        #expect(
            daemon.log.count(of: /ERROR: \[pool bad\] a worker has shut the queue of the pool/) == 1
        )
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
        try scene.waitForRecovery()
        for connection in connections { connection.close() }
    }
}

extension Daemon {
    fileprivate func waitForScratchFile(_ name: String) throws {
        try wait(for: "file \(name)") { FileManager.default.fileExists(atPath: "\(scratch)/\(name)") }
    }
}
