internal import CEpoll
internal import Channel
internal import FastCGI
internal import Glibc
internal import Syscalls

/// The connection a worker is concerned with, and what has been received from it.
///
/// A worker serves one at a time. It holds one or several idle, and gives them to the master when it is to do something
/// else for long. Owns the descriptor from construction to ``close()`` or a successful hand-over.
final class Client {
    let descriptor: CInt
    /// Monotonic nanoseconds when it was accepted, or when its request began to wait.
    let acceptedTime: UInt64
    /// Its request has waited in the master's queue since ``acceptedTime``.
    var wasQueued = false
    /// It has served a request before.
    var isKeptAlive: Bool
    /// It has served several: there may be more to come.
    var hasReturned = false
    var peer: cepoll_address?
    @exclusivity(unchecked) var decoder = RequestDecoder()
    /// Where it is in the worker's page, while it is held beside others.
    var place: Place?
    /// When its last request began, or when it came into that place.
    var lastRequest = MonotonicTime(nanoseconds: 0)
    /// In the worker's epoll set.
    var isWatched = false
    private(set) var isClosed = false

    /// A place in the worker's page, and which of the connections that were there.
    struct Place {
        var index: UInt32
        var sharing: UInt32
        /// The master has a duplicate of it.
        var isAnnounced = true
    }

    init(descriptor: CInt, acceptedTime: UInt64, isKeptAlive: Bool, peer: cepoll_address? = nil) {
        self.descriptor = descriptor
        self.acceptedTime = acceptedTime
        self.isKeptAlive = isKeptAlive
        self.peer = peer
    }

    /// Ends the connection also for whoever has a duplicate of it.
    func shutDown() {
        if !isClosed { _ = shutdown(descriptor, CInt(SHUT_RDWR)) }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        closeDescriptor(descriptor)
    }

    deinit { close() }
}

/// The worker's receive buffer: bytes of the current connection that have not been used.
struct ReceiveBuffer {
    /// First size, enough for nearly every request with its parameters.
    static let initialCapacity = 32 << 10
    /// Bytes that stay when memory is given back, enough for a small request.
    private static let kept = 4096

    private(set) var memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: initialCapacity,
        alignment: 16
    )
    /// First byte in use.
    private(set) var start = 0
    /// First free byte.
    private(set) var end = 0

    var isEmpty: Bool { start == end }
    var count: Int { end - start }
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[start..<end]) }
    /// All bytes from an absolute position on.
    func bytes(from position: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[position..<end])
    }

    mutating func drop(_ count: Int) {
        start += count
        if start == end { clear() }
    }

    /// Uses up bytes that somebody may still look at until the next reception.
    mutating func advance(_ count: Int) { start += count }

    mutating func clear() {
        start = 0
        end = 0
    }

    /// Puts bytes that somebody else received in front.
    mutating func fill(_ bytes: UnsafeRawBufferPointer) {
        clear()
        reserve(bytes.count)
        memory.copyMemory(from: bytes)
        end = bytes.count
    }

    /// Puts bytes that somebody else received in front, from a sealed memory file; false if they cannot be had.
    mutating func fill(from file: CInt) -> Bool {
        clear()
        guard let size = BytesFile.size(file) else { return false }
        reserve(size)
        guard BytesFile.read(file, into: UnsafeMutableRawBufferPointer(rebasing: memory[0..<size])) else {
            return false
        }
        end = size
        return true
    }

    /// Free space of at least `count` bytes, keeping what is in use; moves it to the front first.
    mutating func reserve(_ count: Int) {
        if memory.count - end >= count { return }
        if start > 0 {
            memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[start..<end]))
            end -= start
            start = 0
        }
        guard memory.count - end < count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(memory.count * 2, end + count),
            alignment: 16
        )
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[0..<end]))
        memory.deallocate()
        memory = larger
    }

    /// Gives memory back that only a large request needed.
    mutating func shrink() {
        guard isEmpty, memory.count > 4 * Self.initialCapacity else { return }
        // What was used up may lie behind the end of the smaller memory.
        clear()
        memory.deallocate()
        memory = .allocate(byteCount: Self.initialCapacity, alignment: 16)
    }

    /// Gives back the pages that only larger requests need, if nothing is in the buffer.
    func releasePages() {
        guard isEmpty, let base = memory.baseAddress else { return }
        cepoll_release_pages(base + Self.kept, memory.count - Self.kept)
    }

    /// Receives what is there, without blocking.
    mutating func receive(from descriptor: CInt) -> Reception {
        if memory.count - end < 4096 { reserve(memory.count) }
        let free = UnsafeMutableRawBufferPointer(rebasing: memory[end...])
        guard let transfer = try? Syscalls.receive(descriptor, into: free) else { return .closed }
        switch transfer {
        case .bytes(let count):
            end += count
            return .received
        case .wouldBlock: return .nothing
        case .endOfStream: return .closed
        }
    }

    enum Reception { case received, nothing, closed }
}

/// Waits until `descriptor` can be read or written; false when `milliseconds` have passed.
func waitUntilReady(_ descriptor: CInt, for events: UInt32, milliseconds: CInt) -> Bool {
    let deadline = MonotonicTime.now + .milliseconds(Int(milliseconds))
    while true {
        let left = ((deadline - MonotonicTime.now).nanoseconds + 999_999) / 1_000_000
        let result = cepoll_poll_one(descriptor, events, CInt(clamping: left))
        if result > 0 { return true }
        if result == 0 && left == 0 { return false }
        if result < 0 && errno != EINTR { return false }
        if cepoll_drain_requested() && milliseconds < 0 { return false }
    }
}
