/// Reads what the files of one pool say of it now, and checks it beside the rest of a configuration.
///
/// The files are those that spoke of the pool when all was read: a file that is new, and anything outside the pool's
/// section, is for a load of the whole.
///
/// - Parameters:
///   - name: Name of the pool, which must be in `current`.
///   - current: The configuration in force; its global settings hold.
///   - options: Command line and build.
///   - host: Answers every question about the world.
/// - Returns: `current`'s global settings and that pool alone, or nil and the reasons.
public func loadPool(
    _ name: ByteString,
    of current: ServiceConfiguration,
    options: LoadOptions,
    host: some ConfigurationHost
) -> LoadOutcome {
    var log = DiagnosticLog()
    func refused() -> LoadOutcome { LoadOutcome(configuration: nil, diagnostics: log.lines) }
    guard let place = current.pools.indices.first(where: { current.pools[$0].name == name }) else {
        log.report(.error, "there is no pool '\(name)'")
        return refused()
    }
    let former = current.pools[place]
    var files = FileLoader(host: host, options: options, onlyPool: name)
    for source in former.sources {
        files.currentPool = source.beginsInside ? files.poolIndices[name.loweredASCII] : nil
        guard files.loadFile(source.path) else {
            log = files.diagnostics
            log.report(.error, "failed to load configuration file '\(source.path)'")
            return refused()
        }
    }
    log = files.diagnostics
    guard let index = files.poolIndices[name.loweredASCII], files.pools[index].name == name else {
        log.report(.error, "[pool \(name)] is not in its files any more: reload the service")
        return refused()
    }
    files.pools = [files.pools[index]]
    files.global = current.global
    var evaluation = Evaluation(files, options: options, host: host)
    do throws(Refusal) {
        try evaluation.evaluatePool(beside: current)
    } catch {
        log = evaluation.log
        log.report(.error, "failed to post process the configuration")
        return refused()
    }
    return LoadOutcome(configuration: evaluation.configuration, diagnostics: evaluation.log.lines)
}

extension Evaluation {
    /// Checks the only pool, whose addresses must not be another's in `current`.
    fileprivate mutating func evaluatePool(beside current: ServiceConfiguration) throws(Refusal) {
        var index = 0
        while index < pools.count {
            try evaluatePool(index)
            index += 1
        }
        try checkAddresses()
        let name = pools[0].settings.name
        let addresses = pools.map(\.settings.listenText)
        // By index: there may be thousands, and a copy of each one's settings would cost more than all the rest.
        for other in current.pools.indices where current.pools[other].name != name {
            for address in addresses {
                guard
                    address == current.pools[other].listenText
                        || address == current.pools[other].statusListenerText
                else { continue }
                throw refuse(
                    0,
                    "unable to set listen address as it's already used in another pool '\(current.pools[other].name)'"
                )
            }
        }
        try openAccessLogs()
        try checkAccessFormats()
    }
}

extension ByteString {
    /// The text with ASCII capitals made small.
    var loweredASCII: ByteString { ByteString(bytes.map(\.loweredASCII)) }
}
