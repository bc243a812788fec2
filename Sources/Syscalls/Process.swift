internal import CEpoll
internal import Glibc
public import SystemPackage

/// A process number.
public struct ProcessID: Hashable, CustomStringConvertible {
    /// The kernel's number.
    public let rawValue: Int32

    /// A process number as the kernel gave it.
    public init(_ rawValue: Int32) { self.rawValue = rawValue }

    /// This process.
    public static var current: ProcessID { ProcessID(getpid()) }

    /// The parent of this process.
    public static var parent: ProcessID { ProcessID(getppid()) }

    /// Decimal digits.
    public var description: String { String(rawValue) }
}

/// A signal number.
public struct Signal: Hashable {
    /// The platform's number.
    public let rawValue: CInt

    /// A signal by its number.
    public init(_ rawValue: CInt) { self.rawValue = rawValue }

    /// SIGTERM.
    public static var terminate: Signal { Signal(SIGTERM) }
    /// SIGINT.
    public static var interrupt: Signal { Signal(SIGINT) }
    /// SIGQUIT.
    public static var quit: Signal { Signal(SIGQUIT) }
    /// SIGKILL.
    public static var kill: Signal { Signal(SIGKILL) }
    /// SIGHUP.
    public static var hangup: Signal { Signal(SIGHUP) }
    /// SIGUSR1.
    public static var user1: Signal { Signal(SIGUSR1) }
    /// SIGUSR2.
    public static var user2: Signal { Signal(SIGUSR2) }
    /// SIGSEGV.
    public static var segmentationFault: Signal { Signal(SIGSEGV) }
    /// SIGBUS.
    public static var busError: Signal { Signal(SIGBUS) }
    /// SIGCHLD.
    public static var child: Signal { Signal(SIGCHLD) }

    /// `SIGTERM`; `SIG 99` for a number without a name.
    public var name: String {
        cepoll_signal_abbreviation(rawValue).map { "SIG\(String(cString: $0))" } ?? "SIG \(rawValue)"
    }
}

/// `kill(2)`.
public func sendSignal(_ signal: Signal, to process: ProcessID) throws(Errno) {
    precondition(process.rawValue > 0, "our bug: a process group is never signalled")
    _ = try retryingOnInterrupt { kill(process.rawValue, signal.rawValue) }
}

/// How a child ended.
public struct ProcessExit: Equatable {
    /// Which child.
    public let process: ProcessID
    /// Its end.
    public let reason: Reason

    /// Exit code or signal.
    public enum Reason: Equatable {
        /// `_exit(2)` with this code.
        case code(Int32)
        /// Killed by a signal, perhaps with a core dump.
        case signal(Signal, coreDumped: Bool)
    }

    /// Public for tests and callers that build one from elsewhere.
    public init(process: ProcessID, reason: Reason) {
        self.process = process
        self.reason = reason
    }
}

/// One child that has ended, or nil when none has (or there is no child at all): `waitpid(-1, WNOHANG)`.
public func reapChild() -> ProcessExit? {
    var ended = cepoll_exit()
    guard cepoll_reap(&ended) == 1 else { return nil }
    let reason: ProcessExit.Reason =
        ended.signaled ? .signal(Signal(ended.code), coreDumped: ended.core_dumped) : .code(ended.code)
    return ProcessExit(process: ProcessID(ended.pid), reason: reason)
}

/// Whether `process` is a child of this process, running or not yet reaped.
public func isChild(_ process: ProcessID) -> Bool { cepoll_is_child(process.rawValue) }
