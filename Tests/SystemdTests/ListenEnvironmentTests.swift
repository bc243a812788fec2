import Testing

@testable import Configuration
@testable import Master

@Suite("LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES")
struct ListenEnvironmentTests {
    @Test("Descriptors from 3 on, with their names")
    func names() throws {
        let found = try ListenEnvironment(process: "7", count: "2", names: "www:fpmd-listener./a", own: 7)
        #expect(
            found.entries == [
                .init(descriptor: 3, name: "www"), .init(descriptor: 4, name: "fpmd-listener./a"),
            ]
        )
    }

    @Test("Without names they are unknown")
    func withoutNames() throws {
        let found = try ListenEnvironment(process: "7", count: "2", names: nil, own: 7)
        #expect(found.entries.map(\.name) == ["unknown", "unknown"])
    }

    @Test("Nothing set, another process meant, none handed over: none")
    func none() throws {
        #expect(try ListenEnvironment(process: nil, count: nil, names: nil, own: 7).entries.isEmpty)
        #expect(try ListenEnvironment(process: nil, count: nil, names: "www", own: 7).entries.isEmpty)
        #expect(try ListenEnvironment(process: "8", count: "x", names: "a:b:c", own: 7).entries.isEmpty)
        #expect(try ListenEnvironment(process: "7", count: "0", names: "", own: 7).entries.isEmpty)
        #expect(try ListenEnvironment(process: "7", count: "0", names: nil, own: 7).entries.isEmpty)
    }

    @Test(
        "What makes no sense is named",
        arguments: [
            ("x", "1", nil, "LISTEN_PID: expected a process id, found \"x\""),
            ("-7", "1", nil, "LISTEN_PID: expected a process id, found \"-7\""),
            ("", "1", nil, "LISTEN_PID: expected a process id, found \"\""),
            (nil, "1", nil, "LISTEN_PID is not set, but LISTEN_FDS is"),
            ("7", nil, nil, "LISTEN_FDS is not set, but LISTEN_PID is"),
            ("7", "one", nil, "LISTEN_FDS: expected a number of descriptors, found \"one\""),
            ("7", "-1", nil, "LISTEN_FDS: expected a number of descriptors, found \"-1\""),
            ("7", "99999999999999999999", nil, "LISTEN_FDS: expected a number of descriptors"),
            ("7", "65537", nil, "LISTEN_FDS: expected a number of descriptors"),
            ("7", "2", "www", "LISTEN_FDNAMES: expected 2 names as LISTEN_FDS says, found 1"),
            ("7", "1", "a:b", "LISTEN_FDNAMES: expected 1 names as LISTEN_FDS says, found 2"),
            ("7", "0", "a", "LISTEN_FDNAMES: expected 0 names as LISTEN_FDS says, found 1"),
        ] as [(String?, String?, String?, String)]
    )
    func problems(process: String?, count: String?, names: String?, expected: String) {
        let problem = #expect(throws: ListenEnvironment.Problem.self) {
            try ListenEnvironment(
                process: process.map { ByteString($0) },
                count: count.map { ByteString($0) },
                names: names.map { ByteString($0) },
                own: 7
            )
        }
        #expect(problem?.message.description.contains(expected) == true)
    }
}

@Suite("Names in the descriptor store")
struct StoredNameTests {
    @Test("A path stays readable")
    func path() {
        #expect(StoredName.name(for: "/run/php/www.sock") == "fpmd-listener./run/php/www.sock")
        #expect(StoredName.isStored(ByteString(StoredName.name(for: "/run/a"))))
        #expect(!StoredName.isStored("fpmd.socket"))
        #expect(!StoredName.isStored("www"))
    }

    @Test("Every address has another name, and none has what systemd does not take")
    func distinct() {
        let long = ByteString([UInt8](repeating: UInt8(ascii: "a"), count: 300))
        let addresses: [ByteString] = [
            ":::9000", "127.0.0.1:9000", "127.0.0.1_9000", "/run/a b", "/run/a_b", "/run/a\nb", "/run/ä",
            long, long + "b",
        ]
        let names = addresses.map(StoredName.name(for:))
        #expect(Set(names).count == addresses.count)
        for name in names {
            #expect(name.utf8.count <= 255)
            #expect(name.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: ":") })
        }
    }
}
