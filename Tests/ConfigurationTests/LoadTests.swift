import Testing

@testable import Configuration

@Suite struct LoadTests {
    @Test func reportsEverythingOfARefusalInOrder() {
        let host = FakeHost("[global]\nproces.max = 3\n")
        let outcome = host.load()
        #expect(outcome.configuration == nil)
        #expect(
            texts(outcome) == [
                "ERROR: [main.conf:2] unknown entry 'proces.max'",
                "ERROR: failed to load configuration file 'main.conf'",
                "ERROR: FPM initialization failed",
            ]
        )
        #expect(outcome.diagnostics[0].hint == "did you mean 'process.max'?")
    }

    @Test func namesAFileThatCannotBeRead() {
        let outcome = Configuration.load("none.conf", options: LoadOptions(), host: FakeHost())
        #expect(
            texts(outcome).first == "ERROR: failed to open configuration file 'none.conf': error 2 (2)"
        )
        let blank = Configuration.load("", options: LoadOptions(), host: FakeHost())
        #expect(texts(blank).first == "ERROR: configuration filename is empty")
    }

    @Test func saysWhichLinesComeAfterTheErrorLogWasOpened() {
        let host = FakeHost("include = /none\n[www]\nuser = www\n")
        let outcome = host.load()
        #expect(host.openedLogs == ["/var/log/php-fpm.log"])
        #expect(
            outcome.diagnostics.map(\.isAfterErrorLogOpened) == [false, true, true, true]
        )
        #expect(outcome.diagnostics.first?.level == .warning)
    }

    @Test func marksSyntaxErrorsAsRaw() {
        let outcome = FakeHost("a = (1\n").load()
        #expect(outcome.diagnostics.map(\.isRaw) == [true, false, false])
    }

    @Test func opensLogsInPHPFPMsOrder() {
        let host = FakeHost(
            """
            [global]
            error_log = /e
            [a]
            user = www
            listen = 1
            pm = static
            pm.max_children = 1
            access.log = /a
            slowlog = /s
            request_slowlog_timeout = 1
            [b]
            user = www
            listen = 2
            pm = static
            pm.max_children = 1
            access.log = b
            """
        )
        #expect(host.load().configuration != nil)
        #expect(host.openedLogs == ["/e", "/s", "/a", "/usr/b"])
    }

    @Test(arguments: [
        ("/e", "failed to open error_log (/e): error 13 (13)"),
        ("/s", "Unable to create or open slowlog(/s): error 13 (13)"),
        ("/a", "failed to open access log (/a): error 13 (13)"),
    ])
    func refusesALogThatCannotBeOpened(_ path: String, _ message: String) {
        let host = FakeHost(
            "[global]\nerror_log = /e\n\(plainPool)access.log = /a\nslowlog = /s\nrequest_slowlog_timeout = 1\n"
        )
        host.unwritable[ByteString(path)] = 13
        let outcome = host.load()
        #expect(outcome.configuration == nil)
        #expect(texts(outcome).first == "ERROR: \(message)")
    }

    @Test func selectsSyslogWithoutAFile() {
        let host = FakeHost("[global]\nerror_log = syslog\nsyslog.ident = web\n" + plainPool)
        #expect(host.load().configuration?.global.logsToSyslog == true)
        #expect(host.openedLogs == ["web"])
    }

    @Test func reportsAFailedPattern() {
        let host = FakeHost("\n\ninclude = /etc/x/*.conf\n")
        host.patterns["/etc/x/*.conf"] = .failed(code: 2)
        #expect(
            texts(host.load()).first
                == "ERROR: Unable to globalize '/etc/x/*.conf' (ret=2) from main.conf at line 3."
        )
    }

    @Test func countsLinesOfTheIncludingFileAfterAnInclude() {
        let host = FakeHost("[global]\ninclude = /long\nnosuch = 1\n")
        host.files["/long"] = "\n\n\n\n\n"
        #expect(texts(host.load()).first == "ERROR: [main.conf:3] unknown entry 'nosuch'")
    }

    @Test func refusesAPoolNamedAfterItsOwnMarker() {
        let outcome = FakeHost("[a$pool]\n").load()
        #expect(outcome.configuration == nil)
        #expect(
            texts(outcome).first == "ERROR: [main.conf:1] the pool name 'a$pool' must not contain '$pool'"
        )
    }

    @Test func keepsPHPSettingsInOrderOfApplication() throws {
        let host = FakeHost(
            plainPool + "php_admin_flag[b] = on\nphp_value[a] = 1\nphp_value[a] = 2\nphp_flag[c] = off\n"
        )
        let pool = try #require(host.load().configuration?.pools.first)
        #expect(
            pool.phpSettings == [
                PHPSetting(name: "c", value: "0", isAdmin: false),
                PHPSetting(name: "a", value: "2", isAdmin: false),
                PHPSetting(name: "a", value: "1", isAdmin: false),
                PHPSetting(name: "b", value: "1", isAdmin: true),
            ]
        )
    }

    @Test func asksForConstantsOnlyWhereOneCanBe() {
        let host = FakeHost(
            plainPool + "php_value[x] = E_ALL\nenv[a] = \"E_ALL\"\nenv[b] = E_ALL.x\nchdir =\n"
        )
        #expect(host.load().configuration != nil)
        #expect(host.constantsAskedFor == ["E_ALL"])
    }

    @Test func prefersThePHPSettingOverTheVariable() throws {
        let host = FakeHost(plainPool + "env[A] = ${memory_limit}\nenv[B] = ${HOME}\n")
        host.settings["memory_limit"] = "7M"
        host.environment = ["memory_limit": "no", "HOME": "/h"]
        let pool = try #require(host.load().configuration?.pools.first)
        #expect(pool.environment.map(\.value) == ["/h", "7M"])
    }

    @Test func resolvesMasterVariables() {
        let host = FakeHost()
        host.environment["A"] = "found"
        #expect(EnvironmentEntry(name: "X", value: "$A").resolved(by: host) == "found")
        #expect(EnvironmentEntry(name: "X", value: "$B").resolved(by: host) == "")
        #expect(EnvironmentEntry(name: "X", value: "x$A").resolved(by: host) == "x$A")
    }

    @Test func keepsTheStatusListenerWithItsOwner() throws {
        let host = FakeHost(plainPool + "prefix = /p\npm.status_listen = status.sock\n")
        host.directories = ["/p"]
        let configuration = try #require(host.load().configuration)
        #expect(configuration.pools.count == 1)
        #expect(configuration.pools[0].statusListen == .unix(path: "/usr/status.sock"))
        #expect(configuration.pools[0].statusPath == "/")
    }
}
