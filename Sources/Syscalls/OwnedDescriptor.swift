internal import Glibc
public import SystemPackage

/// Owns one open descriptor and closes it once.
public struct OwnedDescriptor: ~Copyable {
    /// The number, valid as long as this value lives; borrow it, do not close it.
    public let rawValue: CInt

    /// Takes ownership of an open descriptor; traps on a negative number.
    public init(adopting rawValue: CInt) {
        precondition(rawValue >= 0, "a descriptor is not negative")
        self.rawValue = rawValue
    }

    deinit { closeDescriptor(rawValue) }
}

/// An owned descriptor that several places may hold: closed when the last one lets go.
public final class SharedDescriptor {
    /// The number; borrow it, do not close it.
    public let rawValue: CInt

    /// Takes ownership of an open descriptor; traps on a negative number.
    public init(adopting rawValue: CInt) {
        precondition(rawValue >= 0, "a descriptor is not negative")
        self.rawValue = rawValue
    }

    deinit { closeDescriptor(rawValue) }
}

@available(*, unavailable)
extension SharedDescriptor: Sendable {}

/// `close(2)`: never retried, since the number is free even after EINTR; EBADF traps.
public func closeDescriptor(_ descriptor: CInt) {
    if close(descriptor) == -1 { precondition(errno != EBADF, "our bug: closed twice") }
}

/// What a non-blocking read or write came to.
public enum Transfer: Equatable {
    /// So many bytes were moved.
    case bytes(Int)
    /// Nothing could be moved now.
    case wouldBlock
    /// The other end has closed.
    case endOfStream
}

/// `read(2)` into a buffer.
public func read(_ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Transfer {
    do {
        let count = try retryingOnInterrupt { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
        return count == 0 && !buffer.isEmpty ? .endOfStream : .bytes(count)
    } catch .wouldBlock { return .wouldBlock }
}

/// `recv(2)` without blocking; `peek` leaves the bytes in the socket.
public func receive(
    _ socket: CInt,
    into buffer: UnsafeMutableRawBufferPointer,
    peek: Bool = false
) throws(Errno) -> Transfer {
    let flags = CInt(MSG_DONTWAIT) | (peek ? CInt(MSG_PEEK) : 0)
    do {
        let count = try retryingOnInterrupt { recv(socket, buffer.baseAddress, buffer.count, flags) }
        return count == 0 && !buffer.isEmpty ? .endOfStream : .bytes(count)
    } catch .wouldBlock { return .wouldBlock }
}

/// `send(2)` without blocking and without SIGPIPE.
public func send(_ socket: CInt, _ bytes: UnsafeRawBufferPointer) throws(Errno) -> Transfer {
    let flags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)
    do {
        return .bytes(try retryingOnInterrupt { Glibc.send(socket, bytes.baseAddress, bytes.count, flags) })
    } catch .wouldBlock { return .wouldBlock }
}
