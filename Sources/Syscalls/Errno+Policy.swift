internal import Glibc
public import SystemPackage

/// Runs one system call, again whenever a signal interrupts it.
///
/// - Parameter call: That call and nothing else, so that nothing can change `errno` before it is read.
/// - Returns: What the call returned, never -1.
/// - Throws: The `errno` of the call. `EBADF` and `EFAULT` are our own bugs and trap.
@inline(__always)
public func retryingOnInterrupt<Value: FixedWidthInteger>(_ call: () -> Value) throws(Errno) -> Value {
    while true {
        let value = call()
        if value != -1 { return value }
        let error = Errno(rawValue: errno)
        precondition(error != .badFileDescriptor && error != .badAddress, "our bug: \(error)")
        if error != .interrupted { throw error }
    }
}

/// The calling thread's `errno`, for a shim that has just failed.
public var currentErrno: Errno { Errno(rawValue: errno) }

/// `EADDRINUSE (address already in use)` is for people; php-fpm's lines end in `strerror (number)`.
public func describe(_ error: Errno) -> String {
    let text = strerror(error.rawValue).map { String(cString: $0) } ?? "Unknown error"
    return "\(text) (\(error.rawValue))"
}
