/// Reads, checks and completes a configuration.
///
/// - Parameters:
///   - path: The top file, opened as given.
///   - options: Command line and build.
///   - host: Answers every question about the world.
/// - Returns: The configuration, or nil and the reasons, with php-fpm's messages in php-fpm's order.
public func load(
    _ path: ByteString, options: LoadOptions, host: some ConfigurationHost
) -> LoadOutcome {
    LoadOutcome(configuration: nil, diagnostics: [])
}
