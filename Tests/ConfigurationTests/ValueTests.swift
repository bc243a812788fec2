import Testing

@testable import Configuration

/// What each type of value accepts, and php-fpm's words for what it does not.
@Suite struct ValueTests {
    @Test(
        arguments: [
            ("30", 30), ("30s", 30), ("5m", 300), ("2h", 7200), ("3d", 259_200), ("10ms", 10), ("1.5m", 60),
            ("abc5", 0),
            ("-5", -5), ("m", 0), ("100000d", 50_065_408),
        ] as [(String, Int)]
    )
    func readsTimes(_ text: String, _ seconds: Int) throws {
        #expect(try ByteString(text).seconds() == .seconds(seconds))
    }

    @Test(arguments: [
        ("0", 0), ("-3", -3), ("", 0), ("-", 0), ("007", 7), ("4294967298", 2), ("99999999999999999999", -1),
        ("2147483648", -2_147_483_648),
    ])
    func readsIntegers(_ text: String, _ number: Int) throws {
        #expect(try ByteString(text).integer() == number)
    }

    @Test(arguments: [
        ("0", 0), ("512", 512), ("1k", 1024), ("64K", 65_536), ("1M", 1_048_576), ("2g", 2_147_483_648),
    ])
    func readsSizes(_ text: String, _ bytes: Int) throws {
        #expect(try ByteString(text).size() == bytes)
    }

    @Test(arguments: ["", "M", "1T", "-1", "1.5M", "99999999999999999999", "999999999999999G", "1 M"])
    func refusesSizes(_ text: String) {
        #expect(throws: ValueProblem.self) { try ByteString(text).size() }
    }

    @Test(arguments: ["1", "yes", "true", "on"]) func readsYes(_ text: String) throws {
        #expect(try ByteString(text).boolean())
    }

    @Test(arguments: ["", "0", "no", "none", "false", "off"]) func readsNo(_ text: String) throws {
        #expect(try !ByteString(text).boolean())
    }

    @Test func readsWords() throws {
        #expect(try ("Warn" as ByteString).logLevel() == .warning)
        #expect(try ("local7" as ByteString).facility() == 184)
        #expect(try ("Unlimited" as ByteString).coreLimit() == -1)
        #expect(try ("ONDEMAND" as ByteString).processManager() == .ondemand)
    }

    @Test(arguments: [
        ("log_buffering", "Yes ", "invalid boolean value"),
        ("log_limit", "1k", "is not a valid number (greater or equal than zero)"),
        ("log_limit", "+1", "is not a valid number (greater or equal than zero)"),
        ("process_control_timeout", "", "invalid time value"),
        ("process_control_timeout", "5M", "unknown suffix used in time value"),
        ("log_level", "loud", "invalid value for 'log_level'"),
        ("syslog.facility", "local8", "invalid value"),
        ("rlimit_core", "-1", "must be greater than zero or 'unlimited'"),
        ("rlimit_core", "all", "is not a valid number (greater or equal than zero)"),
        ("pid", "$pool", "Can't use '$pool' when the pool is not defined"),
    ])
    func refuses(_ name: String, _ value: String, _ text: String) {
        let outcome = FakeHost("[global]\n\(name) = \"\(value)\"\n").load()
        #expect(
            texts(outcome).first == "ERROR: [main.conf:2] unable to parse value for entry '\(name)': \(text)"
        )
    }

    @Test(arguments: [
        (1999, "2"), (15_000, "15"), (12_345, "12.3"), (99_960, "100"), (100_000, "100"), (999_700, "1.0e+3"),
        (6_172_839, "6.17e+3"), (1_000_000, "1.0e+3"), (1_200_000, "1.2e+3"), (20_000_000, "2.0e+4"),
    ])
    func writesThreeDigits(_ milliseconds: Int, _ text: String) {
        #expect(threeDigitSeconds(milliseconds: milliseconds).description == text)
    }

    @Test func replacesEveryPoolMarker() throws {
        let text: ByteString = "$pool/a$poolb/$poo$pool$"
        #expect(try text.replacingPoolName(with: "www") == "www/awwwb/$poowww$")
    }
}
