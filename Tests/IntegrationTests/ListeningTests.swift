import Foundation
import TestSupport
import Testing

/// Addresses of all kinds, who may connect, and addresses that cannot be had.
@Suite(.daemons)
struct ListeningTests {
    private static func pool(listen: String, _ more: String = "") -> String {
        "[www]\nuser = www-data\nlisten = \(listen)\npm = static\npm.max_children = 2\n\(more)\n"
    }

    private func expectHello(_ daemon: Daemon, at endpoint: Endpoint) throws {
        let connection = try FastCGIConnection(endpoint)
        try connection.send(daemon.makeRequest("/hello.php"))
        let response = try connection.readResponse()
        #expect(response.text == "hello, world\n")
        #expect(response.headerLines == ["Content-type: text/html; charset=UTF-8"])
        #expect(response.protocolStatus == 0)
        #expect(response.applicationStatus == 0)
        #expect(try connection.readToEnd().isEmpty)
    }

    @Test func unixSocket() throws {
        let daemon = try Daemon.start(Self.pool(listen: "{{SOCKET}}"))
        try expectHello(daemon, at: try daemon.endpoint())
    }

    @Test func ipv4() throws {
        let daemon = try Daemon.start(Self.pool(listen: "127.0.0.1:{{PORT}}"))
        try expectHello(daemon, at: .tcp("127.0.0.1", try daemon.port()))
    }

    @Test func ipv6() throws {
        let daemon = try Daemon.start(Self.pool(listen: "[::1]:{{PORT}}"))
        try expectHello(daemon, at: .tcp("::1", try daemon.port()))
        #expect(throws: TestFailure.self) { try FastCGIConnection(.tcp("127.0.0.1", daemon.port())) }
    }

    @Test func hostName() throws {
        let daemon = try Daemon.start(Self.pool(listen: "localhost:{{PORT}}"))
        daemon.allowLog(/Found multiple addresses for localhost/)
        let port = try daemon.port()
        let answering = ["127.0.0.1", "::1"].filter { (try? FastCGIConnection(.tcp($0, port))) != nil }
        let address = try #require(answering.first)
        #expect(answering.count == 1)
        try expectHello(daemon, at: .tcp(address, port))
    }

    @Test(arguments: ["{{PORT}}", "[::]:{{PORT}}"]) func allAddresses(listen: String) throws {
        let daemon = try Daemon.start(Self.pool(listen: listen))
        let port = try daemon.port()
        for address in ["127.0.0.1", "127.0.0.2", "::1"] {
            try expectHello(daemon, at: .tcp(address, port))
        }
    }

    @Test(.needsRoot) func socketPermissions() throws {
        let more = "listen.owner = www-data\nlisten.group = nogroup\nlisten.mode = 0604"
        let daemon = try Daemon.start(Self.pool(listen: "{{SOCKET}}", more))
        let attributes = try FileManager.default.attributesOfItem(
            atPath: try #require(daemon.socketPaths.first)
        )
        #expect(attributes[.ownerAccountName] as? String == "www-data")
        #expect(attributes[.groupOwnerAccountName] as? String == "nogroup")
        #expect(attributes[.posixPermissions] as? Int == 0o604)
    }

    @Test(.needsRoot) func socketPermissionsByDefault() throws {
        let daemon = try Daemon.start(Self.pool(listen: "{{SOCKET}}", "listen.owner = www-data"))
        let attributes = try FileManager.default.attributesOfItem(
            atPath: try #require(daemon.socketPaths.first)
        )
        #expect(attributes[.ownerAccountName] as? String == "www-data")
        #expect(attributes[.groupOwnerAccountName] as? String == "www-data")
        #expect(attributes[.posixPermissions] as? Int == 0o660)
    }

    @Test(.needsRoot) func numericOwner() throws {
        let daemon = try Daemon.start(
            Self.pool(listen: "{{SOCKET}}", "listen.owner = 1234\nlisten.group = 1235")
        )
        let attributes = try FileManager.default.attributesOfItem(
            atPath: try #require(daemon.socketPaths.first)
        )
        #expect(attributes[.ownerAccountID] as? Int == 1234)
        #expect(attributes[.groupOwnerAccountID] as? Int == 1235)
    }

    @Test(.needsRoot) func accessControlList() throws {
        let more = "listen.acl_users = nobody,www-data\nlisten.acl_groups = nogroup\nlisten.mode = 0600"
        let daemon = try Daemon.start(Self.pool(listen: "{{SOCKET}}", more))
        let list = try run(["getfacl", "-p", "-c", try #require(daemon.socketPaths.first)])
        let entries = list.output.split(separator: "\n").map(String.init)
        #expect(
            entries == [
                "user::rw-", "user:www-data:rw-", "user:nobody:rw-", "group::---", "group:nogroup:rw-",
                "mask::rw-", "other::---",
            ]
        )
    }

    @Test func allowedClients() throws {
        let daemon = try Daemon.start(
            Self.pool(
                listen: "[::]:{{PORT}}",
                "listen.allowed_clients = 127.0.0.1\ncatch_workers_output = yes"
            )
        )
        daemon.allowLog(/Connection disallowed: IP address '::1' has been dropped/)
        let port = try daemon.port()
        try expectHello(daemon, at: .tcp("127.0.0.1", port))
        let refused = try FastCGIConnection(.tcp("::1", port))
        try? refused.send(daemon.makeRequest("/hello.php"))
        #expect(try refused.readToEnd().isEmpty)
        try daemon.log.waitAnywhere(for: /Connection disallowed: IP address '::1' has been dropped/)
    }

    @Test(arguments: ["not-an-address", ""]) func noValidAllowedClient(list: String) throws {
        let daemon = try Daemon.start(
            Self.pool(
                listen: "127.0.0.1:{{PORT}}",
                "listen.allowed_clients = \(list)\ncatch_workers_output = yes"
            )
        )
        daemon.allowLog(/Wrong IP address|There are no allowed addresses|Connection disallowed/)
        let refused = try daemon.connect()
        try? refused.send(daemon.makeRequest("/hello.php"))
        #expect(try refused.readToEnd().isEmpty)
        try daemon.log.waitAnywhere(for: /There are no allowed addresses/)
    }

    @Test(.fpmdOnly("says nothing about it")) func backlogThatTheSystemCuts() throws {
        let most = try #require(
            Int(readText("/proc/sys/net/core/somaxconn").trimmingCharacters(in: .whitespacesAndNewlines))
        )
        let daemon = try Daemon.start(Self.pool(listen: "{{SOCKET}}", "listen.backlog = \(most)"))
        let warning = try Regex(
            "WARNING: \\[pool www\\] listen.backlog = \(most + 1) is cut to \(most): raise"
        )
        #expect(daemon.log.count(of: warning) == 0)
        daemon.allowLog(warning)
        try daemon.rewriteConfiguration(Self.pool(listen: "{{SOCKET}}", "listen.backlog = \(most + 1)"))
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(warning)
        try daemon.waitForLog(/ready to handle connections/)
    }

    @Test func staleSocketIsReplaced() throws {
        let first = try Daemon.start(Self.pool(listen: "{{SOCKET}}"))
        first.expectEnd(.signal(SIGKILL))
        let path = try #require(first.socketPaths.first)
        let orphans = ProcessSnapshot.descendants(of: first.master)
        try first.stop(SIGKILL)
        for orphan in orphans { kill(orphan.pid, SIGKILL) }
        #expect(FileManager.default.fileExists(atPath: path))
        let second = try Daemon.start(Self.pool(listen: path))
        try expectHello(second, at: .unix(path))
        try second.stop()
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func socketOfAnotherInstance() throws {
        let first = try Daemon.start(Self.pool(listen: "{{SOCKET}}"))
        let path = try #require(first.socketPaths.first)
        let second = try Daemon.startInVain(Self.pool(listen: path))
        #expect(second.log.count(of: /ERROR: .*Another FPM instance seems to already listen on/) == 1)
        #expect(second.log.count(of: /ERROR: FPM initialization failed/) == 1)
        try expectHello(first, at: .unix(path))
    }

    @Test func portInUse() throws {
        let first = try Daemon.start(Self.pool(listen: "127.0.0.1:{{PORT}}"))
        let address = "127.0.0.1:\(try first.port())"
        let second = try Daemon.startInVain(Self.pool(listen: address))
        #expect(
            second.log.lines.contains {
                $0.contains(
                    "ERROR: unable to bind listening socket for address '\(address)': Address already in use (98)"
                )
            }
        )
        #expect(second.log.count(of: /ERROR: FPM initialization failed/) == 1)
        try expectHello(first, at: .tcp("127.0.0.1", try first.port()))
    }

    @Test func sameAddressTwice() throws {
        let refused = try Daemon.startInVain(
            Self.pool(listen: "{{SOCKET}}")
                + "[other]\nuser = www-data\nlisten = {{SOCKET}}\npm = static\npm.max_children = 1\n"
        )
        #expect(
            refused.log.count(of: /unable to set listen address as it's already used in another pool/) == 1
        )
    }

    @Test func severalPools() throws {
        let daemon = try Daemon.start(
            """
            [static]
            user = www-data
            listen = {{SOCKET:static}}
            pm = static
            pm.max_children = 1
            [dynamic]
            user = www-data
            listen = {{SOCKET:dynamic}}
            pm = dynamic
            pm.max_children = 3
            pm.start_servers = 2
            pm.min_spare_servers = 1
            pm.max_spare_servers = 2
            [ondemand]
            user = www-data
            listen = 127.0.0.1:{{PORT:ondemand}}
            pm = ondemand
            pm.max_children = 2
            """
        )
        for pool in ["static", "dynamic", "ondemand"] {
            #expect(try daemon.get("/hello.php", from: pool).text == "hello, world\n")
        }
        #expect(daemon.workers(pool: "static").count == 1)
        #expect(daemon.workers(pool: "ondemand").count == 1)
    }

    @Test func masterTitleNamesTheConfiguration() throws {
        let daemon = try Daemon.start(Self.pool(listen: "{{SOCKET}}"))
        let master = try #require(ProcessSnapshot(pid: daemon.master))
        #expect(master.title == "php-fpm: master process (\(daemon.configurationPath))")
        #expect(try daemon.waitForWorkers(2, pool: "www").count == 2)
    }
}
