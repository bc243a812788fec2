import Foundation
import Glibc
import TestSupport
import Testing

/// The file of a Unix socket that somebody has taken away, or has put something else in its place.
@Suite(.daemons, .fpmdOnly("removes whatever is there, and never looks again"))
struct ListeningFileTests {
    private static let one = "pm = static\npm.max_children = 1"
    private static let api = "\n[api]\nuser = www-data\nlisten = {{SOCKET:api}}\n\(one)\n"

    private func reload(_ daemon: Daemon) throws {
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/NOTICE: Reloading in progress \.\.\.$/)
    }

    private func waitUntilReady(_ daemon: Daemon) throws {
        try daemon.waitForLog(/NOTICE: ready to handle connections$/)
    }

    /// Puts a file with `text` at the path of a socket, which goes on under another name.
    private func replace(_ path: String, with text: String) throws {
        try #require(rename(path, path + ".moved") == 0)
        try text.write(toFile: path, atomically: false, encoding: .utf8)
    }

    /// A socket of this process that listens at the path.
    private func listen(at path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let isBound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(isBound == 0 && Glibc.listen(descriptor, 5) == 0)
        return descriptor
    }

    // MARK: Removing

    @Test(arguments: [SIGQUIT, SIGTERM]) func fileInItsPlaceSurvivesAStop(signal: Int32) throws {
        let daemon = try Daemon.startPool(Self.one)
        let path = try #require(daemon.socketPaths.first)
        try replace(path, with: "data")
        #expect(try daemon.stop(signal) == .code(0))
        #expect(readText(path) == "data")
        unlink(path)
    }

    @Test func socketInItsPlaceSurvivesTheEndOfThePool() throws {
        let www = Daemon.poolSection(Self.one)
        let daemon = try Daemon.start(www + Self.api)
        guard case .unix(let path) = try daemon.endpoint("api") else { return }
        try #require(unlink(path) == 0)
        let other = try listen(at: path)
        defer {
            close(other)
            unlink(path)
        }
        try daemon.rewriteConfiguration(www)
        try reload(daemon)
        try waitUntilReady(daemon)
        _ = try FastCGIConnection(.unix(path))
        #expect(try daemon.stop() == .code(0))
        _ = try FastCGIConnection(.unix(path))
    }

    // MARK: What cannot be bound

    @Test func whatIsNoSocketIsSaid() throws {
        let path = try TestContext.required().makeDirectory("taken") + "/www.sock"
        try "data".write(toFile: path, atomically: false, encoding: .utf8)
        let refused = try Daemon.startInVain("[www]\nuser = www-data\nlisten = \(path)\n\(Self.one)\n")
        #expect(
            refused.log.count(
                of:
                    /ERROR: unable to bind listening socket for address '.*': Address already in use \(98\), see listen of pool www; it is not a socket: remove it, or choose another path$/
            ) == 1
        )
        #expect(readText(path) == "data")
    }

    @Test func hostThatCannotBeResolvedIsNamed() throws {
        let refused = try Daemon.startInVain(
            "[www]\nuser = www-data\nlisten = no-such-host.invalid:9000\n\(Self.one)\n"
        )
        #expect(refused.log.count(of: /ERROR: getaddrinfo: ./) == 1)
        #expect(
            refused.log.count(
                of:
                    /ERROR: the host 'no-such-host.invalid' in listen of pool www cannot be resolved: correct it/
            ) == 1
        )
    }

    @Test func takenMetricsAddressIsNamed() throws {
        let other = try Daemon.start("[www]\nuser = www-data\nlisten = 127.0.0.1:{{PORT}}\n\(Self.one)\n")
        let address = "127.0.0.1:\(try other.port())"
        let refused = try Daemon.startInVain(
            Daemon.poolSection(Self.one),
            Daemon.Options(global: "metrics.listen = \(address)")
        )
        #expect(
            refused.log.count(
                of:
                    /ERROR: see metrics\.listen: stop what listens there, or choose another address$/
            ) == 1
        )
    }

    @Test func tooFewDescriptorsToBind() throws {
        let pools = (1...20).map {
            "[p\($0)]\nuser = www-data\nlisten = {{SOCKET:\($0)}}\n\(Self.one)\n"
        }
        let refused = try Daemon.startInVain(
            pools.joined(),
            Daemon.Options(global: "rlimit_files = 20")
        )
        #expect(
            refused.log.count(
                of:
                    /ERROR: unable to bind .*: Too many open files \(24\), see listen of pool p\d+; raise LimitNOFILE=, and rlimit_files where it is set$/
            ) == 1
        )
    }

    // MARK: Binding anew

    @Test(arguments: [true, false]) func removedFileIsMadeAnewAndNothingThatWaitsIsLost(isWhole: Bool) throws
    {
        let daemon = try Control.start(Self.one)
        let path = try #require(daemon.socketPaths.first)
        let held = try daemon.startHolding("1")
        let waiting = try (1...3).map { _ in try daemon.begin("/hello.php") }
        try #require(unlink(path) == 0)
        if isWhole {
            try reload(daemon)
            try daemon.waitForLog(/NOTICE: \[pool www\] the socket file '\/.*' was gone: it is bound anew$/)
            try waitUntilReady(daemon)
        } else {
            let answer = try daemon.ctl("reload", "www")
            #expect(answer.status == .code(0), "\(answer.errors)")
            #expect(daemon.log.count(of: /was gone: it is bound anew$/) == 1)
        }
        #expect(daemon.log.count(of: /using inherited socket/) == 0)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        try daemon.releaseHeld()
        #expect(try held.readResponse().status == 200)
        for connection in waiting { #expect(try connection.readResponse().text == "hello, world\n") }
        // The next reload keeps the new one.
        try reload(daemon)
        try daemon.waitForLog(/using inherited socket/)
        try waitUntilReady(daemon)
        #expect(try daemon.get("/hello.php").status == 200)
    }

    @Test func reloadThatIsGivenUpTakesTheNewFileBack() throws {
        let daemon = try Daemon.startPool(Self.one)
        daemon.allowLog(/ERROR/)
        let path = try #require(daemon.socketPaths.first)
        try #require(unlink(path) == 0)
        try daemon.rewriteConfiguration(
            Daemon.poolSection(Self.one + "\nphp_admin_value[opcache.preload] = /nonexistent.php")
        )
        try reload(daemon)
        try daemon.waitForLog(/ERROR: reload refused: pool www cannot start/)
        #expect(access(path, F_OK) != 0)
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.one))
        try reload(daemon)
        try waitUntilReady(daemon)
        #expect(try daemon.get("/hello.php").status == 200)
    }

    @Test func whatIsInTheWayIsSaidAndLeftAlone() throws {
        let daemon = try Daemon.startPool(Self.one)
        daemon.allowLog(/WARNING: \[pool www\] the socket file/)
        let path = try #require(daemon.socketPaths.first)
        try replace(path, with: "data")
        try reload(daemon)
        try daemon.waitForLog(
            /WARNING: \[pool www\] the socket file '\/.*' is not this service's any more, nobody can connect: a file that is no socket is there; remove it and reload$/
        )
        try waitUntilReady(daemon)
        #expect(readText(path) == "data")
        try #require(unlink(path) == 0)
        let other = try listen(at: path)
        try reload(daemon)
        try daemon.waitForLog(/nobody can connect: another process listens there; remove it and reload$/)
        try waitUntilReady(daemon)
        // Closed, it is a socket that nobody serves.
        close(other)
        try reload(daemon)
        try daemon.waitForLog(/was gone: it is bound anew$/)
        try waitUntilReady(daemon)
        #expect(try daemon.get("/hello.php").status == 200)
        unlink(path + ".moved")
    }

    @Test func metricsAndStatusListenersAreBoundAnew() throws {
        let daemon = try Daemon.startPool(
            Self.one + "\npm.status_path = /status\npm.status_listen = {{SOCKET:status}}",
            Daemon.Options(global: "metrics.listen = {{DIR}}/metrics.sock")
        )
        guard case .unix(let status) = try daemon.endpoint("status") else { return }
        let metrics = daemon.directory + "/metrics.sock"
        try #require(unlink(status) == 0 && unlink(metrics) == 0)
        try reload(daemon)
        try waitUntilReady(daemon)
        #expect(try daemon.get("/status", from: "status").text.contains("pool:"))
        _ = try FastCGIConnection(.unix(metrics))
        try daemon.stop()
        #expect(access(metrics, F_OK) != 0 && access(status, F_OK) != 0)
    }
}
