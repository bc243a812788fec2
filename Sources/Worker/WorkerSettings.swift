internal import CEpoll
public import Channel
internal import Configuration
internal import FastCGI
internal import Glibc
public import Scoreboard
public import Syscalls

/// What all workers of a pool generation share; built by the zygote before it forks, inherited by each.
public struct WorkerSettings {
    /// The pool's plan as the master sent it.
    public let plan: ZygotePlan
    /// The pool's shared pages.
    public let scoreboard: Scoreboard
    /// The pool's listener; non-blocking, shared with the master and all workers.
    public let listener: CInt
    /// Receiving end of the pool's queue; shared with all workers.
    public let queue: MessageSocket
    /// The access log, opened by the master; nil for none.
    public let accessLog: SharedDescriptor?
    /// Elements of `listen.allowed_clients` that are addresses; nil allows every peer.
    let allowedPeers: AllowedPeers?
    let accessFormat: AccessLogFormat?
    let statusPath: PathMatch
    let pingPath: PathMatch

    /// Prepares what does not change from worker to worker.
    public init(
        plan: ZygotePlan,
        scoreboard: Scoreboard,
        listener: CInt,
        queue: MessageSocket,
        accessLog: SharedDescriptor?
    ) {
        self.plan = plan
        self.scoreboard = scoreboard
        self.listener = listener
        self.queue = queue
        self.accessLog = accessLog
        allowedPeers = plan.isTCP ? plan.allowedClients.map { AllowedPeers($0) } : nil
        accessFormat = accessLog == nil ? nil : plan.accessFormat.flatMap { try? AccessLogFormat($0) }
        statusPath = PathMatch(plan.statusPath?.bytes ?? [])
        pingPath = PathMatch(plan.pingPath?.bytes ?? [])
    }

    /// What is wrong with `listen.allowed_clients`, in php-fpm's words; each worker says it once, as php-fpm does.
    var allowedPeersProblems: [ByteString] { allowedPeers?.problems ?? [] }
}
