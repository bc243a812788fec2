internal import CEpoll
internal import Channel
internal import DequeModule
internal import FastCGI
internal import Glibc
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// The connections of one pool that no worker has: parked ones (silent, idle between requests, or sending a
/// request slowly) and those that wait for a worker.
///
///     parked ── a request has arrived ──► waiting ── room in the queue ──► the pool's queue (workers take it)
///        └── closed, silent for too long, malformed ──► closed
///
/// Bounded for each pool, so that one pool's clients cost the others nothing: a number of connections (its quota), a
/// number of bytes; beyond either the pool's own oldest connection is closed.
final class WaitingConnections {
    /// A request that arrives slowly is assembled up to here; then a worker gets what there is.
    private static let assemblyLimit = 128 << 10
    /// Bytes of requests that arrive slowly, over all connections of the pool.
    private static let memoryLimit = 32 << 20
    /// A connection that sends nothing at all is closed after this time, as php-fpm does.
    private static let silentPatience = Duration.seconds(5)
    /// A request must be complete this long after its first byte.
    private static let assemblyPatience = Duration.seconds(60)
    /// After a response the client is given this long to stop sending.
    private static let lingerPatience = Duration.seconds(2)

    private enum Purpose { case silent, idle, assembling, lingering }

    private final class Parked {
        let descriptor: Connection
        var purpose: Purpose
        let flags: Message.Flags
        let acceptedTime: UInt64
        var bytes: [UInt8]
        /// How far `bytes` have been looked through.
        var decoder = RequestDecoder()
        var scanned = 0
        /// What is to come of the body, once that is known.
        var bodyLeft: Int?
        var registration: Reactor.Registration?
        var deadline: Reactor.Deadline?

        init(descriptor: CInt, purpose: Purpose, flags: Message.Flags, acceptedTime: UInt64, bytes: [UInt8]) {
            self.descriptor = Connection(adopting: descriptor)
            self.purpose = purpose
            self.flags = flags
            self.acceptedTime = acceptedTime
            self.bytes = bytes
        }

        // The watch ends before the descriptor is closed: another process may keep the open file alive.
        deinit { registration = nil }
    }

    private struct Waiting {
        let descriptor: Connection
        let flags: Message.Flags
        let acceptedTime: UInt64
        let bytes: [UInt8]
    }

    private let reactor: Reactor
    /// The master's end of the pool's queue; workers share the other one. Nil before the pool's first zygote.
    private var queue: MessageSocket?
    private var parked: [CInt: Parked] = [:]
    private var order = Deque<CInt>()
    private var waiting = Deque<Waiting>()
    private var queueWatch: Reactor.Registration?
    private var assembledBytes = 0
    private var table = ParameterTable()
    /// Called when something waits for a worker that did not before.
    var onDispatch: () -> Void = {}
    /// Called when a connection was closed because there are too many.
    var onOverflow: () -> Void = {}
    /// Most connections under watch.
    var quota: Int

    init(reactor: Reactor, quota: Int) {
        self.reactor = reactor
        self.quota = quota
    }

    /// There will be workers, who take connections from `queue`.
    func attach(_ queue: MessageSocket) {
        self.queue = queue
        flush()
    }

    /// How many workers have taken from the queue, by their own count.
    var taken: () -> Int64 = { 0 }
    private var sentToQueue: Int64 = 0

    /// Connections that wait for a worker, here or in the queue.
    ///
    /// The kernel says whether the queue is empty; how many are in it is the workers' count, and held against
    /// that.
    var waitingTotal: Int {
        guard let queue, cepoll_unsent(queue.descriptor) > 0 else {
            sentToQueue = taken()
            return waiting.count
        }
        return waiting.count + Int(clamping: min(4096, max(1, sentToQueue &- taken())))
    }

    /// Connections that wait for a worker in the master's memory.
    var waitingCount: Int { waiting.count }
    /// Connections under watch.
    var parkedCount: Int { parked.count }

    // MARK: - Coming in

    /// Takes a connection that a worker gave back, or one that was just accepted.
    ///
    /// - Parameters:
    ///   - descriptor: Owned from now on.
    ///   - flags: What the worker knows of it.
    ///   - acceptedTime: Monotonic nanoseconds.
    ///   - bytes: What has been received of its request.
    func park(_ descriptor: CInt, flags: Message.Flags, acceptedTime: UInt64, bytes: [UInt8]) {
        let purpose: Purpose = !bytes.isEmpty ? .assembling : flags.contains(.keptAlive) ? .idle : .silent
        let connection = Parked(
            descriptor: descriptor,
            purpose: purpose,
            flags: flags,
            acceptedTime: acceptedTime,
            bytes: bytes
        )
        guard purpose == .assembling, isComplete(connection) else { return watch(connection) }
        dispatch(
            Waiting(descriptor: connection.descriptor, flags: flags, acceptedTime: acceptedTime, bytes: bytes)
        )
    }

    /// Takes a new connection that the master has accepted: straight to the workers, who check its address.
    func enqueue(_ descriptor: CInt) {
        dispatch(
            Waiting(
                descriptor: Connection(adopting: descriptor),
                flags: [],
                acceptedTime: MonotonicTime.now.nanoseconds,
                bytes: []
            )
        )
    }

    /// Takes a connection whose response is complete: what the client still sends is thrown away until it closes.
    func linger(_ descriptor: CInt) {
        watch(Parked(descriptor: descriptor, purpose: .lingering, flags: [], acceptedTime: 0, bytes: []))
    }

    private func watch(_ connection: Parked) {
        if parked.count >= quota {
            closeOldest()
            onOverflow()
        }
        let number = connection.descriptor.rawValue
        guard
            let registration = try? reactor.watch(
                number,
                for: [.readable, .peerClosed],
                handler: { [weak self] _ in self?.becameReadable(number) }
            )
        else { return }
        connection.registration = registration
        setDeadline(of: connection)
        parked[number] = connection
        assembledBytes += connection.bytes.count
        order.append(number)
        if order.count > 2 * parked.count + 64 { order.removeAll { parked[$0] == nil } }
    }

    private func setDeadline(of connection: Parked) {
        let number = connection.descriptor.rawValue
        let patience: Duration
        switch connection.purpose {
        case .idle: return
        case .silent: patience = Self.silentPatience
        case .assembling: patience = Self.assemblyPatience
        case .lingering: patience = Self.lingerPatience
        }
        connection.deadline = reactor.after(patience) { [weak self] in self?.drop(number) }
    }

    // MARK: - Readable

    private func becameReadable(_ number: CInt) {
        guard let connection = parked[number] else { return }
        switch connection.purpose {
        case .lingering: discardInput(of: connection)
        case .silent, .idle, .assembling: receive(connection)
        }
    }

    private func discardInput(of connection: Parked) {
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            guard let transfer = try? Syscalls.receive(connection.descriptor.rawValue, into: buffer) else {
                return drop(connection.descriptor.rawValue)
            }
            if case .endOfStream = transfer { drop(connection.descriptor.rawValue) }
        }
    }

    /// Takes what has come; a complete request goes to the workers, with its bytes.
    private func receive(_ connection: Parked) {
        let number = connection.descriptor.rawValue
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 8) { buffer in
            let room = min(buffer.count, Self.assemblyLimit - connection.bytes.count)
            let window = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<room])
            guard let transfer = try? Syscalls.receive(number, into: window) else { return drop(number) }
            switch transfer {
            case .endOfStream: drop(number)
            case .wouldBlock: return
            case .bytes(let count):
                connection.bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: window[0..<count]))
                assembledBytes += count
                if isComplete(connection) {
                    release(number)
                    dispatch(
                        Waiting(
                            descriptor: connection.descriptor,
                            flags: connection.flags,
                            acceptedTime: MonotonicTime.now.nanoseconds,
                            bytes: connection.bytes
                        )
                    )
                    return
                }
                if connection.purpose != .assembling {
                    connection.purpose = .assembling
                    setDeadline(of: connection)
                }
                while assembledBytes > Self.memoryLimit, parked.count > 1 { closeOldest() }
            }
        }
    }

    /// Whether a worker can make something of the bytes: all that PHP will read, an error, or as much as is
    /// kept here.
    ///
    /// Each byte is looked at once, however small the pieces are in which they come.
    private func isComplete(_ connection: Parked) -> Bool {
        guard connection.bytes.count < Self.assemblyLimit else { return true }
        while true {
            if let left = connection.bodyLeft, left <= 0 { return true }
            guard
                let step = try? connection.decoder.next(
                    connection.bytes.span.extracting(connection.scanned...)
                )
            else {
                return true
            }
            switch step.event {
            case .endOfBody, .abort, .getValues: return true
            case .endOfParameters:
                guard let announced = announcedBody(connection.bytes) else { return true }
                connection.bodyLeft = announced
            case .body(let range): connection.bodyLeft = (connection.bodyLeft ?? 0) - range.count
            case .needMore, .begin, .parameters, .skipped: break
            }
            connection.scanned += step.consumed
            if step.event == .needMore { return false }
        }
    }

    /// CONTENT_LENGTH of a request whose parameters are complete; nil if they are malformed.
    private func announcedBody(_ bytes: [UInt8]) -> Int? {
        var decoder = RequestDecoder()
        var position = 0
        table.reset()
        while let step = try? decoder.next(bytes.span.extracting(position...)) {
            switch step.event {
            case .parameters(let range):
                let piece = bytes.span.extracting(position...).extracting(range)
                guard (try? table.append(piece)) != nil else { return nil }
            case .endOfParameters:
                return (try? table.finish()) == nil ? nil : table.number(of: "CONTENT_LENGTH")
            case .needMore: return nil
            default: break
            }
            position += step.consumed
        }
        return nil
    }

    // MARK: - Going out

    private func dispatch(_ connection: Waiting) {
        waiting.append(connection)
        assembledBytes += connection.bytes.count
        flush()
        onDispatch()
    }

    /// Moves waiting connections into the pool's queue as far as it takes them.
    func flush() {
        guard let queue else { return }
        while let next = waiting.first {
            let message = Message(.serve, flags: next.flags, value: next.acceptedTime)
            let sent = next.bytes.withUnsafeBytes { bytes in
                try? queue.send(message, payload: bytes, descriptors: [next.descriptor.rawValue])
            }
            guard case .bytes? = sent else {
                if case .wouldBlock? = sent { watchQueue() }
                return
            }
            waiting.removeFirst()
            assembledBytes -= next.bytes.count
            sentToQueue &+= 1
        }
        queueWatch = nil
    }

    private func watchQueue() {
        guard queueWatch == nil, let queue else { return }
        queueWatch = try? reactor.watch(queue.descriptor, for: .writable) { [weak self] _ in self?.flush() }
    }

    // MARK: - Closing

    private func release(_ number: CInt) {
        guard let connection = parked.removeValue(forKey: number) else { return }
        assembledBytes -= connection.bytes.count
        connection.registration = nil
        connection.deadline = nil
    }

    private func drop(_ number: CInt) { release(number) }

    /// Closes the connection that has been parked longest.
    private func closeOldest() {
        while let number = order.popFirst() {
            guard parked[number] != nil else { continue }
            return release(number)
        }
    }

    /// Gives everything to the pool's next generation.
    func move(to successor: WaitingConnections) {
        for number in order {
            guard let connection = parked[number] else { continue }
            release(number)
            successor.watch(connection)
        }
        order.removeAll()
        queueWatch = nil
        for connection in waiting { successor.assembledBytes += connection.bytes.count }
        successor.waiting.append(contentsOf: waiting)
        waiting.removeAll()
        assembledBytes = 0
        successor.flush()
        if successor.waitingTotal > 0 { successor.onDispatch() }
    }

    /// Takes back what is in the queue, for a successor or another attempt: `queue` is its reading end.
    func reclaim(from reader: MessageSocket) {
        let capacity = Message.length + MessageSocket.maximumPayload
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        defer { buffer.deallocate() }
        while case .message(let message, let payload, let descriptors, _)? = try? reader.receive(into: buffer)
        {
            for surplus in descriptors.dropFirst() { closeDescriptor(surplus) }
            guard let descriptor = descriptors.first else { continue }
            let bytes = Array(UnsafeRawBufferPointer(rebasing: buffer[0..<payload]))
            assembledBytes += bytes.count
            waiting.append(
                Waiting(
                    descriptor: Connection(adopting: descriptor),
                    flags: message.flags,
                    acceptedTime: message.value,
                    bytes: bytes
                )
            )
        }
    }
}

/// A client's connection in the master.
///
/// Whoever shares the open file could make close(2) wait (SO_LINGER): the master never does.
final class Connection {
    let rawValue: CInt

    init(adopting rawValue: CInt) { self.rawValue = rawValue }

    deinit { cepoll_close_connection(rawValue) }
}

@available(*, unavailable)
extension WaitingConnections: Sendable {}
