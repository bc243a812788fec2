public import Channel
public import Configuration
internal import Logging
internal import Syscalls

/// What the command line has prepared for the master.
public struct MasterOptions {
    /// The engine program.
    public var program: EngineProgram
    /// Reads the configuration again for a reload, logging nothing.
    public var reload: () -> LoadOutcome
    /// Reads one pool's part of the configuration again, beside the one in force; what comes back has that pool only.
    public var reloadPool: (ByteString, ServiceConfiguration) -> LoadOutcome
    /// The arguments of this program, its name first.
    public var arguments: [ByteString]
    /// The file of this program, which a reload may find replaced.
    public var file: ProgramFile
    /// What the image of the program before this one has handed over; nil for a start.
    public var takeover: TakeoverState?
    /// Path of the configuration file, for the process title.
    public var configurationPath: ByteString
    /// How identities are resolved.
    public var loadOptions: LoadOptions
    /// Real user id, for USER and HOME when not root.
    public var realUserID: UInt32
    /// What PHP adds to the headers of pages; asked for when the master answers pages itself.
    public var pageFacts: () -> PageFacts
    /// Called once when the service runs: the configuration is read, the addresses are bound.
    public var onRunning: () -> Void
    /// Called once when connections are served; a daemon's parent waits for it.
    public var onReady: () -> Void

    /// Options with everything the master needs.
    public init(
        program: EngineProgram,
        arguments: [ByteString],
        file: ProgramFile,
        takeover: TakeoverState?,
        configurationPath: ByteString,
        loadOptions: LoadOptions,
        realUserID: UInt32,
        reload: @escaping () -> LoadOutcome,
        reloadPool: @escaping (ByteString, ServiceConfiguration) -> LoadOutcome,
        pageFacts: @escaping () -> PageFacts,
        onRunning: @escaping () -> Void,
        onReady: @escaping () -> Void
    ) {
        self.program = program
        self.arguments = arguments
        self.file = file
        self.takeover = takeover
        self.configurationPath = configurationPath
        self.loadOptions = loadOptions
        self.realUserID = realUserID
        self.reload = reload
        self.reloadPool = reloadPool
        self.pageFacts = pageFacts
        self.onRunning = onRunning
        self.onReady = onReady
    }
}
