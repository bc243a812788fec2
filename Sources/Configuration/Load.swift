/// Reads, checks and completes a configuration.
///
/// - Parameters:
///   - path: The top file, opened as given.
///   - options: Command line and build.
///   - host: Answers every question about the world.
/// - Returns: The configuration, or nil and the reasons, with php-fpm's messages in php-fpm's order.
public func load(_ path: ByteString, options: LoadOptions, host: some ConfigurationHost) -> LoadOutcome {
    var log = DiagnosticLog()
    let configuration = accept(path, options: options, host: host, log: &log)
    if configuration == nil, options.purpose != .reload { log.report(.error, "FPM initialization failed") }
    return LoadOutcome(configuration: configuration, diagnostics: log.lines)
}

/// Everything between opening the first file and the verdict.
private func accept(
    _ path: ByteString,
    options: LoadOptions,
    host: some ConfigurationHost,
    log: inout DiagnosticLog
) -> ServiceConfiguration? {
    if let prefix = options.prefix, !prefix.isEmpty, !host.isDirectory(prefix) {
        log.report(.error, "the global prefix '\(prefix)' does not exist or is not a directory")
        return nil
    }
    var files = FileLoader(host: host, options: options)
    let isLoaded = files.loadFile(path)
    log = files.diagnostics
    guard isLoaded else {
        log.report(.error, "failed to load configuration file '\(path)'")
        return nil
    }
    var evaluation = Evaluation(files, options: options, host: host)
    do throws(Refusal) {
        try evaluation.evaluate()
        log = evaluation.log
    } catch {
        log = evaluation.log
        log.report(.error, "failed to post process the configuration")
        return nil
    }
    let configuration = evaluation.configuration
    switch options.purpose {
    case .start, .reload: return configuration
    case .test, .dump: break
    }
    guard testIdentities(of: configuration, host: host, log: &log) else { return nil }
    // What stands behind the error would not be in force; a reload is refused for that.
    if let error = host.iniError() {
        log.reportRaw(error)
        return nil
    }
    if options.purpose == .dump {
        for line in configuration.dumpLines { log.report(.notice, line) }
    }
    log.report(.notice, "configuration file \(path) test is successful\n")
    return configuration
}

/// An error has been reported that ends the load.
struct Refusal: Error {}
