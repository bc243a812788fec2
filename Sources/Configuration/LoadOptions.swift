/// What the command line and the build say about how to load a configuration.
public struct LoadOptions: Sendable {
    /// Why the configuration is read.
    public enum Purpose: Hashable, Sendable {
        /// To run with it.
        case start
        /// To go on with it: a refusal ends nothing.
        case reload
        /// `-t`: check only, users and groups too, and say that the test succeeded.
        case test
        /// `-tt`: as ``test``, and list all values.
        case dump
    }

    /// Why the configuration is read.
    public var purpose: Purpose = .start

    /// `-p`: prefix of relative paths; nil when not given.
    public var prefix: ByteString?

    /// `-g`: the pid file, used unless a `pid` directive replaces it.
    public var pidFile: ByteString?

    /// `-D` (true) or `-F` (false) over the `daemonize` directive; nil when neither is given.
    public var daemonize: Bool?

    /// Whether the process runs with user id 0.
    public var isRoot = false

    /// `-R`: pools may run as root.
    public var allowsRoot = false

    /// Compile-time installation prefix, for relative paths without `-p`.
    public var installationPrefix: ByteString = "/usr"

    /// Compile-time local-state directory, for relative `pid` and `error_log` without `-p`.
    public var localStateDirectory: ByteString = "/var"

    /// Creates the options of a plain start; set what differs.
    public init() {}
}

/// What came of loading a configuration.
public struct LoadOutcome: Sendable {
    /// The configuration; nil when it is refused, which the caller ends with exit status 78.
    public var configuration: ServiceConfiguration?

    /// Every line to print, in order, including the closing `FPM initialization failed` of a start that is refused.
    public var diagnostics: [Diagnostic]
}

/// A whole accepted configuration.
public struct ServiceConfiguration: Sendable {
    /// The `[global]` section.
    public var global: GlobalSettings

    /// Pools in order of definition, at least one; a status listener is part of the pool that owns it.
    public var pools: [PoolSettings]

    /// Creates a configuration from checked parts.
    public init(global: GlobalSettings, pools: [PoolSettings]) {
        self.global = global
        self.pools = pools
    }
}
