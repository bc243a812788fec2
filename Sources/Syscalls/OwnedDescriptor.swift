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

/// `recv(2)` without blocking.
public func receive(_ socket: CInt, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Transfer {
    do {
        let count = try retryingOnInterrupt {
            recv(socket, buffer.baseAddress, buffer.count, CInt(MSG_DONTWAIT))
        }
        return count == 0 && !buffer.isEmpty ? .endOfStream : .bytes(count)
    } catch .wouldBlock { return .wouldBlock }
}

/// What the next `receive` would find, without taking anything of it: `.bytes(1)` if there is any.
public func peek(_ socket: CInt) throws(Errno) -> Transfer {
    var byte: UInt8 = 0
    let flags = CInt(MSG_DONTWAIT) | CInt(MSG_PEEK)
    do {
        let count = try retryingOnInterrupt { recv(socket, &byte, 1, flags) }
        return count == 0 ? .endOfStream : .bytes(count)
    } catch .wouldBlock { return .wouldBlock }
}

/// Whether something has come that nobody has received.
public func hasUnread(_ socket: CInt) -> Bool {
    guard case .bytes? = try? peek(socket) else { return false }
    return true
}

/// `send(2)` without blocking and without SIGPIPE.
public func send(_ socket: CInt, _ bytes: UnsafeRawBufferPointer) throws(Errno) -> Transfer {
    let flags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)
    do {
        return .bytes(try retryingOnInterrupt { Glibc.send(socket, bytes.baseAddress, bytes.count, flags) })
    } catch .wouldBlock { return .wouldBlock }
}
