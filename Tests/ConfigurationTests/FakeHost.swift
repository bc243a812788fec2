import Configuration

/// A world in memory, which records the logs it was asked to open.
final class FakeHost: ConfigurationHost {
    var files: [ByteString: String] = [:]
    var patterns: [ByteString: PatternExpansion] = [:]
    var directories: Set<ByteString> = []
    var environment: [ByteString: ByteString] = [:]
    var settings: [ByteString: ByteString] = [:]
    var users: [ByteString: UserEntry] = [:]
    var groups: [ByteString: UInt32] = [:]
    var unwritable: [ByteString: Int32] = [:]
    var openedLogs: [String] = []
    var constantsAskedFor: [ByteString] = []

    init(_ text: String = "") {
        files["main.conf"] = text
        users["www"] = UserEntry(userID: 33, groupID: 34, name: "www", home: "/srv/www")
        users["toor"] = UserEntry(userID: 0, groupID: 0, name: "toor", home: "/root")
        groups["staff"] = 50
        groups["wheel"] = 0
    }

    func readFile(_ path: ByteString) throws(SystemError) -> [UInt8] {
        guard let text = files[path] else { throw SystemError(code: 2) }
        return Array(text.utf8)
    }

    func expandPattern(_ pattern: ByteString) -> PatternExpansion {
        patterns[pattern] ?? (files[pattern] == nil ? .noMatch : .matches([pattern]))
    }

    func isDirectory(_ path: ByteString) -> Bool { directories.contains(path) }
    func environmentVariable(_ name: ByteString) -> ByteString? { environment[name] }
    func iniSetting(_ name: ByteString) -> ByteString? { settings[name] }

    func constant(_ name: ByteString) -> ByteString? {
        constantsAskedFor.append(name)
        return name == "E_ALL" ? "32767" : nil
    }

    func user(named name: ByteString) -> Lookup<UserEntry> {
        users[name].map { .found($0) } ?? .missing(code: 0)
    }

    func user(withID id: UInt32) -> Lookup<UserEntry> {
        users.values.first { $0.userID == id }.map { .found($0) } ?? .missing(code: 0)
    }

    func group(named name: ByteString) -> Lookup<UInt32> {
        groups[name].map { .found($0) } ?? .missing(code: 3)
    }

    func errorText(_ code: Int32) -> ByteString { "error \(code)" }

    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError) {
        openedLogs.append("\(path)")
        if let code = unwritable[path] { throw SystemError(code: code) }
    }

    /// Loads `main.conf`.
    func load(_ purpose: LoadOptions.Purpose = .start, _ adjust: (inout LoadOptions) -> Void = { _ in })
        -> LoadOutcome
    {
        var options = LoadOptions()
        options.purpose = purpose
        adjust(&options)
        return Configuration.load("main.conf", options: options, host: self)
    }
}

/// `LEVEL: message` of every line.
func texts(_ outcome: LoadOutcome) -> [String] {
    outcome.diagnostics.map { "\($0.isRaw ? "" : "\($0.level.name): ")\($0.message)" }
}

/// A pool that is accepted as it stands.
let plainPool = "[www]\nuser = www\nlisten = 9000\npm = static\npm.max_children = 2\n"
