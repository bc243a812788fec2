internal import Channel
internal import Reactor
internal import Syscalls

/// The master's knowledge of one worker.
final class WorkerRecord {
    /// Where the worker is in its life.
    enum State {
        /// The zygote has been asked to fork it.
        case requested
        /// It has been forked, and is not ready.
        case starting(ProcessID)
        /// It takes connections.
        case ready(ProcessID)
        /// It has been told to leave.
        case leaving(ProcessID)
    }

    let slot: Int
    /// Number of the spawn request: an answer to an earlier user of the slot does not match.
    let serial: Int64
    let isRespawn: Bool
    /// The master's end of its channel.
    let channel: MessageSocket
    /// What it writes, if that is caught.
    let output: WorkerOutput?
    /// Where it leaves the connection of a request that may last.
    var deposit: WorkerDeposit?
    var state = State.requested
    var startTime = MonotonicTime.now
    var registration: Reactor.Registration?
    /// It has said that it will leave.
    var isRetiring = false
    /// Another one was started in its place: its end is no reason for a further one.
    var isReplaced = false
    /// It has been told to leave for good, and nobody takes its place; if it is surplus still, SIGKILL is next.
    var wasAskedToLeave = false
    /// SIGTERM has been sent because of `request_terminate_timeout`.
    var ranOutOfTime = false
    /// Its zygote died without saying whether it was forked: whether there is a process, its channel shows.
    var isUnnamed = false
    /// It has been reaped: its number may be another process's.
    var hasEnded = false
    /// It has broken the protocol: nothing it sends counts any more.
    var isDistrusted = false
    /// It has said that it dies.
    var hasCrashed = false
    /// How many ticks of the master it has not been ready for.
    var ticksUnready = 0

    init(slot: Int, serial: Int64, isRespawn: Bool, channel: MessageSocket, output: WorkerOutput?) {
        self.slot = slot
        self.serial = serial
        self.isRespawn = isRespawn
        self.channel = channel
        self.output = output
    }

    deinit { registration = nil }

    /// Its process, once it has one.
    var process: ProcessID? {
        switch state {
        case .requested: nil
        case .starting(let pid), .ready(let pid), .leaving(let pid): pid
        }
    }

    /// Its process by the kernel's word; before the worker has spoken there is only its zygote's.
    var namedProcess: ProcessID? {
        switch state {
        case .requested, .starting: nil
        case .ready(let pid), .leaving(let pid): pid
        }
    }

    var isReady: Bool {
        if case .ready = state { true } else { false }
    }

    var isLeaving: Bool {
        if case .leaving = state { true } else { false }
    }
}
