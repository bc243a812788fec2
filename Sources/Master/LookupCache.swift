internal import Configuration

/// Asks `host` for each user and group only once: thousands of pools belong to few of them.
///
/// For one start or reload, after which the answers may be others.
final class LookupCache<Host: ConfigurationHost>: ConfigurationHost {
    private let host: Host
    private var usersByName: [ByteString: Lookup<UserEntry>] = [:]
    private var usersByID: [UInt32: Lookup<UserEntry>] = [:]
    private var groupsByName: [ByteString: Lookup<UInt32>] = [:]

    init(_ host: Host) { self.host = host }

    func user(named name: ByteString) -> Lookup<UserEntry> {
        if let known = usersByName[name] { return known }
        let answer = host.user(named: name)
        usersByName[name] = answer
        return answer
    }

    func user(withID id: UInt32) -> Lookup<UserEntry> {
        if let known = usersByID[id] { return known }
        let answer = host.user(withID: id)
        usersByID[id] = answer
        return answer
    }

    func group(named name: ByteString) -> Lookup<UInt32> {
        if let known = groupsByName[name] { return known }
        let answer = host.group(named: name)
        groupsByName[name] = answer
        return answer
    }

    func readFile(_ path: ByteString) throws(SystemError) -> [UInt8] { try host.readFile(path) }
    func expandPattern(_ pattern: ByteString) -> PatternExpansion { host.expandPattern(pattern) }
    func isDirectory(_ path: ByteString) -> Bool { host.isDirectory(path) }
    func environmentVariable(_ name: ByteString) -> ByteString? { host.environmentVariable(name) }
    func iniSetting(_ name: ByteString) -> ByteString? { host.iniSetting(name) }
    func constant(_ name: ByteString) -> ByteString? { host.constant(name) }
    func iniError() -> ByteString? { host.iniError() }
    func errorText(_ code: Int32) -> ByteString { host.errorText(code) }
    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError) {
        try host.openLog(path, as: role)
    }
}

@available(*, unavailable)
extension LookupCache: Sendable {}
