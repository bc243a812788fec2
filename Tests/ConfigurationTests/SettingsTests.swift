@testable import Configuration
import Testing

@Suite struct SettingsTests {
    @Test(arguments: [
        ("9000", ListenAddress.port(9000)),
        ("0", .invalidPort("0")),
        ("65535", .port(65535)),
        ("65536", .invalidPort("65536")),
        ("127.0.0.1:9000", .host("127.0.0.1", port: 9000)),
        ("[::1]:9000", .host("::1", port: 9000)),
        ("::1:9000", .host("::1", port: 9000)),
        (":9000", .host("", port: 9000)),
        ("localhost:http", .invalidPort("http")),
        ("host:", .invalidPort("")),
        ("/run/php.sock", .unix(path: "/run/php.sock")),
        ("run/php.sock", .unix(path: "run/php.sock")),
        ("9000x", .unix(path: "9000x")),
    ])
    func readsAddresses(_ text: String, _ address: ListenAddress) {
        #expect(ListenAddress(ByteString(text)) == address)
    }

    @Test(
        arguments: [("0600", 0o600), ("660", 0o660), ("rw", 0), ("0608", 0o60), ("", 0)] as [(String, UInt32)]
    )
    func readsModes(_ text: String, _ mode: UInt32) {
        var pool = PoolSettings(name: "www")
        #expect(pool.listenMode == 0o660)
        pool.listenModeText = ByteString(text)
        #expect(pool.listenMode == mode)
    }

    @Test func splitsLists() {
        var pool = PoolSettings(name: "www")
        #expect(pool.allowedClients == nil)
        #expect(pool.limitedExtensions.isEmpty)
        pool.listenAllowedClients = "127.0.0.1,,::1"
        pool.limitExtensionsText = " .php\t.phar "
        #expect(pool.allowedClients == ["127.0.0.1", "", "::1"])
        #expect(pool.limitedExtensions == [".php", ".phar"])
    }

    /// What php-fpm does not have changes nothing in a dump unless it is used.
    @Test func dumpsOwnDirectivesWhereSet() throws {
        let names = [
            "pm.max_queue", "pm.queue_timeout", "request_soft_timeout", "request_buffer", "response_buffer",
        ]
        func dump(_ lines: String) throws -> [String] {
            let configuration = try #require(FakeHost(plainPool + lines).load().configuration)
            return configuration.dumpLines.map(\.description)
        }
        let plain = try dump("")
        #expect(!plain.contains { line in names.contains { line.contains($0) } })
        let set = try dump(
            "pm.max_queue = 100\npm.queue_timeout = 2m\nrequest_soft_timeout = 5\nrequest_buffer = 2M\nresponse_buffer = 64K\n"
        )
        #expect(
            set.filter { !plain.contains($0) } == [
                "\tpm.max_queue = 100", "\tpm.queue_timeout = 120s", "\trequest_soft_timeout = 5s",
                "\trequest_buffer = 2097152", "\tresponse_buffer = 65536",
            ]
        )
    }

    @Test(arguments: [
        ("pm.max_queue = -1", "pm.max_queue(-1) must be 0 or more"),
        ("pm.queue_timeout = -1", "pm.queue_timeout(-1s) must be 0 or more"),
        ("request_soft_timeout = -2s", "request_soft_timeout(-2s) must be 0 or more"),
        ("request_buffer = 65M", "request_buffer(68157440) must not be more than 64M"),
        ("response_buffer = 2G", "response_buffer(2147483648) must not be more than 1G"),
    ])
    func refusesOwnDirectives(_ line: String, _ reason: String) {
        let diagnostics = FakeHost(plainPool + line + "\n").load().diagnostics
        #expect(diagnostics.contains { $0.message == ByteString("[pool www] " + reason) })
    }

    /// php-fpm's ways of reading make 500 s, nothing, or a path below /var of some of them.
    @Test(arguments: [
        ("pm.queue_timeout = 500ms", "pm.queue_timeout", "invalid time value '500ms'"),
        ("pm.queue_timeout = 0.5", "pm.queue_timeout", "invalid time value '0.5'"),
        ("pm.queue_timeout = 1.5m", "pm.queue_timeout", "invalid time value '1.5m'"),
        ("pm.queue_timeout = s", "pm.queue_timeout", "invalid time value 's'"),
        ("pm.queue_timeout =", "pm.queue_timeout", "invalid time value ''"),
        ("request_soft_timeout = 99999999999", "request_soft_timeout", "invalid time value '99999999999'"),
        ("request_soft_timeout = 100000d", "request_soft_timeout", "invalid time value '100000d'"),
        ("pm.max_queue = 99999999999", "pm.max_queue", "invalid number '99999999999'"),
        ("[global]\ncontrol.socket = on", "control.socket", "'1' (1, on, yes or true) is no address"),
        ("[global]\nmetrics.listen = \"yes\"", "metrics.listen", "'yes' (1, on, yes or true) is no address"),
    ])
    func readsOwnDirectivesToTheLetter(_ lines: String, _ name: String, _ reason: String) {
        let outcome = FakeHost(plainPool + lines + "\n").load()
        #expect(outcome.configuration == nil)
        let line = 6 + lines.count { $0 == "\n" }
        let expected = ByteString("[main.conf:\(line)] unable to parse value for entry '\(name)': \(reason)")
        #expect(
            outcome.diagnostics.contains { $0.message.bytes.starts(with: (expected + ": give a").bytes) },
            "\(texts(outcome))"
        )
    }

    @Test(arguments: [("15", 15), ("15s", 15), ("2m", 120), ("1h", 3600), ("1d", 86400), ("0", 0)])
    func readsOwnTimes(_ text: String, _ seconds: Int) throws {
        let configuration = FakeHost(plainPool + "pm.queue_timeout = \(text)\n").load().configuration
        #expect(try #require(configuration).pools[0].queueTimeout == .seconds(seconds))
    }

    @Test func fillsDefaultsIn() throws {
        let configuration = try #require(FakeHost(plainPool).load().configuration)
        let (global, pool) = (configuration.global, configuration.pools[0])
        #expect(global.errorLog == "/var/log/php-fpm.log")
        #expect(global.syslogFacility == 24)
        #expect(global.syslogIdent == "php-fpm")
        #expect(global.effectiveLogLevel == .notice)
        #expect(global.systemdInterval == .seconds(10))
        #expect(global.eventsMechanism == "epoll")
        #expect(pool.listen == .port(9000))
        #expect(pool.processManager == .static)
        #expect(pool.limitedExtensions == [".php", ".phar"])
        #expect(pool.requestSlowLogTraceDepth == 20)
        #expect(pool.accessLogFormat == nil)
        #expect(pool.maxSpawnRate == 32)
    }

    @Test func keepsBytesThatAreNotText() {
        var text: ByteString = "caf"
        text.append(ByteString([0xE9, 0x00, 0xFF]))
        #expect(text.bytes == [0x63, 0x61, 0x66, 0xE9, 0x00, 0xFF])
        #expect("<\(text)>" as ByteString == ByteString([0x3C] + text.bytes + [0x3E]))
    }

    @Test(
        arguments: [
            ("www", nil, 33, 34, "www"), ("www", "staff", 33, 50, "www"), ("33", nil, 33, 34, nil),
            ("99", "7", 99, 7, nil), ("www", "77", 33, 77, "www"),
        ] as [(String, String?, UInt32, UInt32, String?)]
    )
    func resolvesIdentities(
        _ user: String,
        _ group: String?,
        _ userID: UInt32,
        _ groupID: UInt32,
        _ name: String?
    ) throws {
        let (identity, lines) = resolve(user, group)
        #expect(lines.isEmpty)
        #expect(identity?.userID == userID)
        #expect(identity?.groupID == groupID)
        #expect(identity?.userName == name.map { ByteString($0) })
        #expect(identity?.home == (name == nil ? nil : "/srv/www"))
    }

    @Test(
        arguments: [
            ("99", nil, "please specify user and group other than root"),
            ("0", "7", "please specify user and group other than root"),
            ("toor", nil, "please specify user and group other than root"),
            ("www", "wheel", "please specify user and group other than root"),
            ("none", nil, "cannot get uid for user 'none'"),
            ("www", "none", "cannot get gid for group 'none'"),
        ] as [(String, String?, String)]
    )
    func refusesIdentities(_ user: String, _ group: String?, _ message: String) {
        let (identity, lines) = resolve(user, group)
        #expect(identity == nil)
        #expect(lines.map(\.message.description) == ["[pool www] \(message)"])
    }

    @Test func letsRootStayRootOnDemand() {
        let (identity, lines) = resolve(nil, nil) { $0.allowsRoot = true }
        #expect(identity == PoolIdentity())
        #expect(lines.isEmpty)
    }

    @Test func ignoresPrivilegedDirectivesWithoutPrivilege() {
        var pool = PoolSettings(name: "www")
        pool.user = "www"
        pool.group = "staff"
        pool.chroot = "/srv"
        pool.processPriority = 3
        let (identity, lines) = pool.resolveIdentity(options: LoadOptions(), realUserID: 33, host: FakeHost())
        #expect(identity?.userID == nil)
        #expect(identity?.userName == "www")
        #expect(
            lines.map(\.message.description)
                == ["user", "group", "chroot", "process.priority"].map {
                    "[pool www] '\($0)' directive is ignored when FPM is not running as root"
                }
        )
        #expect(lines.allSatisfy { $0.level == .notice })
    }

    private func resolve(
        _ user: String?,
        _ group: String?,
        _ adjust: (inout LoadOptions) -> Void = { _ in }
    ) -> (PoolIdentity?, [Diagnostic]) {
        var options = LoadOptions()
        options.isRoot = true
        adjust(&options)
        var pool = PoolSettings(name: "www")
        pool.user = user.map { ByteString($0) }
        pool.group = group.map { ByteString($0) }
        return pool.resolveIdentity(options: options, realUserID: 0, host: FakeHost())
    }
}
