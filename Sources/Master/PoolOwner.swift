internal import Channel
internal import Configuration
internal import Logging
internal import Reactor
internal import Syscalls

/// What a pool needs of the master.
protocol PoolOwner: AnyObject {
    var reactor: Reactor { get }
    var log: Log { get }
    var program: EngineProgram { get }
    /// Soft RLIMIT_NOFILE as the master found it, for its children.
    var inheritedFileLimit: UInt64 { get }
    /// A netlink socket that tells about sockets; nil where there is none.
    var socketDiagnosis: CInt? { get }
    /// Whether workers are started at all (not while stopping).
    var mayStartWorkers: Bool { get }
    /// Closes a descriptor of unknown kind without waiting for that.
    func closeElsewhere(_ descriptor: CInt)
    /// Runs `task` in a process of its own, which is killed if it takes long; false if there can be none.
    func runElsewhere(_ task: () -> Void) -> Bool
    /// Whether a php.ini that PHP cannot read to its end is a reason to give the reload up.
    func refuses(syntaxError: ByteString) -> Bool
    /// What a pool's zygote must know.
    func plan(for pool: Pool) -> ZygotePlan
    /// Most parked connections a pool may have.
    var parkingQuota: Int { get }
    /// What all pools' requests take.
    var requestMemory: RequestMemory { get }
    /// Numbers of descriptors from here on are a reserve.
    var descriptorCeiling: CInt { get }
    /// A pool has something to do each second, until it has neither process nor connection.
    func poolIsActive(_ pool: Pool)
    /// The zygote of an ondemand pool has no worker, or is wanted again.
    func zygoteIsIdle(_ pool: Pool)
    func zygoteIsWanted(_ pool: Pool)
    func processMaxReached()
    /// The kernel does not let the service signal a child of another user: the log says so, once.
    func mayNotSignal(_ process: ProcessID, _ signal: Signal)
    /// A zygote says that a child is its pool's worker; false if the kernel has said otherwise, or the zygote has said so
    /// of another of its workers.
    func claim(_ process: ProcessID, for role: ChildRole) -> Bool
    /// Whether a claimed number is still that of a child that has not spoken itself.
    func isUnnamedChild(_ process: ProcessID) -> Bool
    /// Remembers whose a child is, by the kernel's word; false if it is known as another's.
    @discardableResult
    func register(_ process: ProcessID, as role: ChildRole) -> Bool
    /// The end of a child that was reaped before anybody named it.
    func claimExit(of process: ProcessID) -> ProcessExit?
    /// A worker has gone that nobody has named, or there never was one; its zygote has gone, too.
    ///
    /// Or it is there, and leaves as its channel has been closed.
    func unnamedWorkerIsLost(by pool: Pool, isAlive: Bool)
    /// A pool's first worker has become ready, or its zygote if it needs no worker.
    func poolBecameReady(_ pool: Pool)
    /// A pool that has never been ready cannot start.
    func poolFailed(_ pool: Pool, _ reason: ByteString)
    /// Something happened after which there may be nothing left of a pool that drains.
    func poolMayBeGone(_ pool: Pool)
    /// A worker of a serving pool ended by SIGSEGV or SIGBUS.
    func workerCrashed()
    /// The pool's zygote is to be launched, at once or when others have started.
    func whenZygoteMayStart(_ pool: Pool)
    /// It has been launched, and leaves its place to the next.
    func zygoteLeavesStartPlace()
    func zygoteFinishedStarting()
    /// One is starting that the image of the program before this one has started.
    func adoptedZygoteStarts()
}

/// Whose a child process is.
enum ChildRole {
    case zygote(Pool)
    case worker(Pool, slot: Int, serial: Int64)
    /// Does one thing that may block, and ends.
    case helper
    /// The new image of the program, asked whether it would take over.
    case upgradeCheck
}
