/// Figures of the service as a whole, and of its master process.
public struct ServiceFigures: Equatable, Sendable {
    /// Version of fpmd.
    public var version: [UInt8]
    /// Whether it serves, and neither starts nor stops.
    public var isReady = false
    /// Reloads that took effect.
    public var reloadsDone: UInt64 = 0
    /// Reloads that were refused.
    public var reloadsRefused: UInt64 = 0
    /// Whether the last reload took effect; true before the first.
    public var lastReloadWorked = true
    /// The master process.
    public var process = MasterProcessFigures()

    /// Figures of a service that has just started.
    public init(version: [UInt8]) { self.version = version }
}

/// What the kernel says about the master process; nil is left out.
public struct MasterProcessFigures: Equatable, Sendable {
    /// User and system time together.
    public var cpuMicroseconds: UInt64?
    /// Bytes.
    public var residentMemory: UInt64?
    /// Bytes.
    public var virtualMemory: UInt64?
    /// File descriptors in use.
    public var openFiles: UInt64?
    /// RLIMIT_NOFILE.
    public var fileLimit: UInt64?
    /// Seconds since the epoch, in hundredths.
    public var startCentiseconds: UInt64?

    /// Nothing known.
    public init() {}
}
