internal import Configuration
internal import Syscalls
internal import SystemPackage

/// `1 request waits`, `2 requests wait`, `0 requests wait`: a number with the words for it.
func counted(_ count: Int, _ one: String, _ others: String) -> String {
    "\(count) \(count == 1 ? one : others)"
}

/// `12.345678`.
func secondsText(_ duration: Duration) -> ByteString {
    let micros = duration.nanoseconds / 1000
    let fraction = String(micros % 1_000_000)
    return ByteString("\(micros / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction)
}

/// `12.3 s`.
func tenthsText(_ duration: Duration) -> String {
    let tenths = duration.nanoseconds / 100_000_000
    return "\(tenths / 10).\(tenths % 10) s"
}

/// `with code 0`, `on signal 9 (SIGKILL)`, `on signal 11 (SIGSEGV - core dumped)`.
func describeExit(_ exit: ProcessExit) -> String {
    switch exit.reason {
    case .code(let code): "with code \(code)"
    case .signal(let signal, let dumped):
        "on signal \(signal.rawValue) (\(signal.name)\(dumped ? " - core dumped" : ""))"
    }
}

/// What to do when there are no more descriptors; nil for other errors.
func fileLimitRemedy(_ error: Errno) -> ByteString? {
    error == .tooManyOpenFiles ? "raise LimitNOFILE=, and rlimit_files where it is set" : nil
}

extension ByteString.StringInterpolation {
    /// A process number in a message.
    mutating func appendInterpolation(_ process: ProcessID) { appendInterpolation(process.description) }
}
