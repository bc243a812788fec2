// Feeds arbitrary bytes to the configuration loader as files of a world in memory.

/// The first byte chooses options; the rest is the top file and, after lines `; file: NAME`, further ones.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzConfiguration(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    let choice = input.first ?? 0
    var options = LoadOptions()
    options.purpose = choice & 1 == 0 ? .dump : .start
    options.isRoot = choice & 2 == 0
    options.allowsRoot = choice & 4 != 0
    options.prefix = choice & 8 == 0 ? nil : "/prefix"
    options.daemonize = choice & 16 == 0 ? nil : true

    let host = MemoryHost(input)
    let outcome = load("main.conf", options: options, host: host)
    if let configuration = outcome.configuration {
        check(configuration, options, host)
    } else {
        let hidesErrors = outcome.diagnostics.last.map { $0.level > .error || $0.isRaw } ?? true
        let verdict = outcome.diagnostics.last?.message == "FPM initialization failed"
        precondition(verdict || hidesErrors, "a refusal without its last line")
    }
    return 0
}

/// What every accepted configuration promises to the rest of the program.
private func check(_ configuration: ServiceConfiguration, _ options: LoadOptions, _ host: MemoryHost) {
    precondition(!configuration.pools.isEmpty)
    precondition(configuration.global.logLimit >= 512)
    precondition(configuration.global.processMax >= 0)
    precondition(configuration.global.errorLog != nil)
    precondition(Set(configuration.pools.map(\.listenText)).count == configuration.pools.count)
    for pool in configuration.pools {
        precondition(pool.maxChildren >= 1)
        precondition(pool.listenText.map { !$0.isEmpty } ?? false)
        if case .unix(let path) = pool.listen { precondition(path.isAbsolutePath) }
        switch pool.processManager {
        case .static: break
        case .dynamic:
            precondition(pool.minSpareServers > 0 && pool.minSpareServers <= pool.maxSpareServers)
            precondition((pool.minSpareServers...pool.maxSpareServers).contains(pool.startServers))
            precondition(pool.maxSpareServers <= pool.maxChildren && pool.maxSpawnRate > 0)
        case .ondemand: precondition(pool.processIdleTimeout >= .seconds(1))
        case nil: preconditionFailure("a pool without pm")
        }
        if let path = pool.accessLog, !path.isEmpty { precondition(pool.accessLogFormat != nil) }
        if let path = pool.statusPath, !path.isEmpty { precondition(path.isAbsolutePath) }
        precondition((pool.statusListenText == nil) == (pool.statusListen == nil))
        _ = pool.resolveIdentity(options: options, realUserID: 33, host: host)
        _ = (pool.limitedExtensions, pool.allowedClients, pool.listenMode, pool.phpSettings)
        _ = pool.environment.map { $0.resolved(by: host) }
    }
}

/// Files from the input; answers about everything else depend on the question alone.
private final class MemoryHost: ConfigurationHost {
    private var files: [ByteString: [UInt8]] = [:]
    /// Includes can multiply; a real system would run out of patience, too.
    private var readsLeft = 64

    init(_ input: [UInt8]) {
        let marker = Array("; file: ".utf8)
        var name: ByteString = "main.conf"
        for line in input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            if line.starts(with: marker) {
                name = ByteString(line.dropFirst(marker.count))
            } else {
                files[name, default: []] += line + [UInt8(ascii: "\n")]
            }
        }
    }

    func readFile(_ path: ByteString) throws(SystemError) -> [UInt8] {
        readsLeft -= 1
        guard readsLeft > 0, let content = files[path] else { throw SystemError(code: 2) }
        return content
    }

    func expandPattern(_ pattern: ByteString) -> PatternExpansion {
        if files[pattern] != nil { return .matches([pattern]) }
        guard pattern.bytes.contains(UInt8(ascii: "*")) else { return .noMatch }
        guard pattern.bytes.first != UInt8(ascii: "*") else { return .failed(code: 2) }
        return .matches(
            files.keys.filter { $0 != "main.conf" }.sorted { $0.description < $1.description } + ["d/"]
        )
    }

    func isDirectory(_ path: ByteString) -> Bool { path.count % 7 != 0 }
    func environmentVariable(_ name: ByteString) -> ByteString? {
        name.count % 3 == 0 ? nil : name == "WATCHDOG_USEC" ? "4000000" : name + name
    }
    func iniSetting(_ name: ByteString) -> ByteString? { name.count % 3 == 1 ? "64M" : nil }
    func constant(_ name: ByteString) -> ByteString? { name == "E_ALL" ? "32767" : nil }

    func user(named name: ByteString) -> Lookup<UserEntry> {
        guard name.count % 5 != 0 else { return .missing(code: 0) }
        return .found(UserEntry(userID: UInt32(name.count % 4), groupID: 7, name: name, home: "/h"))
    }

    func user(withID id: UInt32) -> Lookup<UserEntry> { user(named: "\(id)") }
    func group(named name: ByteString) -> Lookup<UInt32> {
        name.count % 5 == 0 ? .missing(code: 2) : .found(UInt32(name.count % 4))
    }

    func errorText(_ code: Int32) -> ByteString { "error \(code)" }

    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError) {
        if path.isEmpty { throw SystemError(code: 2) }
    }
}
