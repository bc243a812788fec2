internal import Channel
internal import Configuration
internal import DequeModule
internal import FastCGI
internal import Glibc
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// The connections of one pool that no worker has and that have no complete request: parked ones (silent, idle
/// between requests, or sending a request slowly).
///
///     parked ── a request has arrived ──► admitted ──► the pool's ``RequestQueue``
///        │                                   └── answered here, while the pool is saturated
///        └── closed, silent for too long, malformed ──► closed
///
/// Bounded for each pool, so that one pool's clients cost the others nothing: a number of connections (its quota), a
/// number of bytes; beyond either the pool's own oldest connection is closed.
///
/// It owns the connections with their watches and deadlines; each is in ``parked`` under its descriptor's number until it
/// is released, and then goes on to its next owner or closes.
final class WaitingConnections {
    /// Bytes of requests that a pool may have here and in its queue, unless `request_buffer` is large: beyond that nothing
    /// more is read into memory.
    static let ordinaryMemory = 32 << 20
    /// What any request may have here; more is kept only of those whose parameters are complete, and while there is
    /// memory.
    private static let ordinarySize = 128 << 10
    /// Most that is received at once.
    private static let piece = 64 << 10
    /// A connection that sends nothing at all is closed after this time, as php-fpm does.
    private static let silentPatience = Duration.seconds(5)
    /// The parameters of a request must be complete this long after its first byte, and each further ``paced`` bytes of
    /// its body this long after those before.
    private static let assemblyPatience = Duration.seconds(60)
    private static let paced = 16 << 10
    /// After a response the client is given this long to stop sending.
    private static let lingerPatience = Duration.seconds(2)

    private enum Purpose { case silent, idle, assembling, lingering }

    private final class Parked {
        let descriptor: Connection
        var purpose: Purpose
        let flags: Message.Flags
        let acceptedTime: UInt64
        var assembly: RequestAssembly
        var registration: Reactor.Registration?
        var deadline: Reactor.Deadline?
        /// Its place in the order; numbers of descriptors are used again and again.
        var serial: UInt64 = 0

        init(
            _ descriptor: Connection,
            purpose: Purpose,
            flags: Message.Flags,
            acceptedTime: UInt64,
            bytes: [UInt8]
        ) {
            self.descriptor = descriptor
            self.purpose = purpose
            self.flags = flags
            self.acceptedTime = acceptedTime
            assembly = RequestAssembly(bytes)
        }

        var bytes: [UInt8] { assembly.bytes }

        /// Forgets the end of the request before, which may follow its answer: kept, the connection is idle after it.
        func dropLeftOver() {
            guard flags.contains(.keptAlive), assembly.isBetweenRequests else { return }
            assembly = RequestAssembly([])
            purpose = .idle
            deadline = nil
        }

        // The watch ends before the descriptor is closed: another process may keep the open file alive.
        deinit { registration = nil }
    }

    private let reactor: Reactor
    private let queue: RequestQueue
    private var parked: [CInt: Parked] = [:]
    /// As they came, also some that are gone: live are those whose serial number is still that of the descriptor's.
    private var order = Deque<(number: CInt, serial: UInt64)>()
    private var nextSerial: UInt64 = 0
    private var assembledBytes = 0 { didSet { memory.add(assembledBytes - oldValue) } }
    /// `request_buffer`: a request that arrives slowly is assembled up to here; then a worker gets what there is.
    private let requestBuffer: Int
    /// Of all pools.
    private let memory: RequestMemory
    /// Bytes of requests, over all connections of the pool, here and in its queue.
    private var memoryLimit: Int { max(Self.ordinaryMemory, 8 * requestBuffer) }
    private var table = ParameterTable()
    /// Called when something waits for a worker that did not before.
    var onDispatch: () -> Void = {}
    /// Called with a complete request; false when it has been dealt with, and is not to wait for a worker.
    var admits: (WaitingRequest) -> Bool = { _ in true }
    /// How many descriptors of the pool's share others have.
    var otherDescriptors: () -> Int = { 0 }
    /// Called when a connection was closed because there are too many.
    var onOverflow: () -> Void = {}
    /// Nobody will serve the next request of a kept connection.
    var closesIdle = false {
        didSet {
            guard closesIdle else { return }
            for (number, connection) in parked where connection.purpose == .idle { release(number) }
        }
    }
    /// Most connections under watch.
    var quota: Int

    init(
        reactor: Reactor,
        queue: RequestQueue,
        quota: Int,
        requestBuffer: Int = 128 << 10,
        memory: RequestMemory = RequestMemory()
    ) {
        self.requestBuffer = requestBuffer
        self.memory = memory
        self.reactor = reactor
        self.queue = queue
        self.quota = quota
    }

    deinit { memory.add(-assembledBytes) }

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
    func park(_ descriptor: Connection, flags: Message.Flags, acceptedTime: UInt64, bytes: [UInt8]) {
        let purpose: Purpose = !bytes.isEmpty ? .assembling : flags.contains(.keptAlive) ? .idle : .silent
        let connection = Parked(
            descriptor,
            purpose: purpose,
            flags: flags,
            acceptedTime: acceptedTime,
            bytes: bytes
        )
        if purpose == .assembling {
            guard !isForWorkers(connection) else { return dispatch(connection, arrival: acceptedTime) }
            connection.dropLeftOver()
        }
        if !(closesIdle && connection.purpose == .idle) { watch(connection) }
    }

    /// Takes a new connection that the master has accepted: straight to the workers, who check its address.
    func enqueue(_ descriptor: Connection) {
        queue.append(
            WaitingRequest(
                connection: descriptor,
                flags: [],
                arrival: MonotonicTime.now.nanoseconds,
                bytes: []
            )
        )
        onDispatch()
    }

    /// Takes a new connection that the master has accepted and checked while the pool is saturated: what it has sent
    /// already is read now.
    func arrive(_ descriptor: Connection) {
        receiveFirst(
            of: Parked(
                descriptor,
                purpose: .silent,
                flags: .peerChecked,
                acceptedTime: MonotonicTime.now.nanoseconds,
                bytes: []
            )
        )
    }

    /// Takes back a connection that went to the workers unread, and has been checked.
    func arrive(_ waiting: WaitingRequest) {
        receiveFirst(
            of: Parked(
                waiting.connection,
                purpose: .silent,
                flags: waiting.flags.subtracting(.queued).union(.peerChecked),
                acceptedTime: waiting.arrival,
                bytes: []
            )
        )
    }

    private func receiveFirst(of connection: Parked) {
        guard hasMemory else {
            // A client that has sent nothing has no request that could wait unread.
            guard connection.descriptor.hasUnread else { return watch(connection) }
            return dispatch(connection, arrival: connection.acceptedTime)
        }
        switch receive(into: connection) {
        case .closed: return
        case .nothing, .leftOver: watch(connection)
        case .incomplete:
            connection.purpose = .assembling
            watch(connection)
        case .complete: dispatch(connection, arrival: connection.acceptedTime)
        }
    }

    /// Takes a connection whose response is complete: what the client still sends is thrown away until it closes.
    func linger(_ descriptor: Connection) {
        watch(Parked(descriptor, purpose: .lingering, flags: [], acceptedTime: 0, bytes: []))
    }

    private func watch(_ connection: Parked) {
        _ = makeRoom()
        let number = connection.descriptor.rawValue
        guard
            let registration = try? reactor.watch(
                number,
                for: [.readable, .peerClosed],
                handler: { [weak self] state in withBoundedWaiting { self?.becameReadable(number, state) } }
            )
        else { return }
        connection.registration = registration
        setDeadline(of: connection)
        parked[number] = connection
        assembledBytes += connection.bytes.count
        nextSerial += 1
        connection.serial = nextSerial
        order.append((number, nextSerial))
        limitBytes()
        if order.count > 2 * parked.count + 64 { order.removeAll { parked[$0.number]?.serial != $0.serial } }
    }

    /// Closes the one that has been parked longest when there are as many as there may be.
    ///
    /// - Returns: Whether there is room for one more.
    private func makeRoom() -> Bool {
        guard parked.count + queue.count + otherDescriptors() >= quota else { return true }
        guard !parked.isEmpty else { return false }
        closeOldest()
        onOverflow()
        return true
    }

    private func limitBytes() {
        while assembledBytes > memoryLimit, parked.count > 1 { closeOldest() }
    }

    private var hasMemory: Bool { queue.byteCount + assembledBytes < memoryLimit }

    private func setDeadline(of connection: Parked) {
        let number = connection.descriptor.rawValue
        let patience: Duration
        switch connection.purpose {
        case .idle: return
        case .silent: patience = Self.silentPatience
        case .assembling: patience = Self.assemblyPatience
        case .lingering: patience = Self.lingerPatience
        }
        connection.deadline = reactor.after(patience) { [weak self] in self?.release(number) }
    }

    // MARK: - Readable

    private func becameReadable(_ number: CInt, _ state: Reactor.Readiness) {
        guard let connection = parked[number] else { return }
        let hasCome =
            switch connection.purpose {
            case .lingering: discardInput(of: connection)
            case .silent, .idle, .assembling: receive(connection)
            }
        // What is in a socket's error queue is never read, and reported all the time.
        if !hasCome, !state.isDisjoint(with: .hangup) { release(number) }
    }

    /// False: nothing has come.
    private func discardInput(of connection: Parked) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            switch try? connection.descriptor.receive(into: buffer) {
            case .bytes: return true
            case .wouldBlock: return false
            case .endOfStream, nil:
                release(connection.descriptor.rawValue)
                return true
            }
        }
    }

    /// Takes what has come; a complete request goes to the workers, with its bytes.
    ///
    /// False: nothing has come.
    private func receive(_ connection: Parked) -> Bool {
        let number = connection.descriptor.rawValue
        // No more memory for requests: it waits unread.
        if connection.bytes.isEmpty, !hasMemory {
            let next = try? peek(number)
            if case .wouldBlock? = next { return false }
            release(number)
            if case .bytes? = next { dispatch(connection, arrival: MonotonicTime.now.nanoseconds) }
            return true
        }
        let before = connection.bytes.count
        let progress = receive(into: connection)
        assembledBytes += connection.bytes.count - before
        switch progress {
        case .closed: release(number)
        case .nothing: return false
        case .leftOver: if closesIdle { release(number) }
        case .complete:
            release(number)
            dispatch(connection, arrival: MonotonicTime.now.nanoseconds)
        case .incomplete:
            if connection.purpose != .assembling || connection.assembly.reachesMilestone(Self.paced) {
                connection.purpose = .assembling
                setDeadline(of: connection)
            }
            limitBytes()
        }
        return true
    }

    /// `leftOver`: the end of the request before.
    private enum Progress { case nothing, leftOver, incomplete, complete, closed }

    private func receive(into connection: Parked) -> Progress {
        withUnsafeTemporaryAllocation(byteCount: Self.piece, alignment: 8) { buffer in
            switch try? connection.descriptor.receive(into: buffer) {
            case .endOfStream, nil: return .closed
            case .wouldBlock: return .nothing
            case .bytes(let count):
                connection.assembly.append(UnsafeRawBufferPointer(rebasing: buffer[0..<count]))
                if isForWorkers(connection) { return .complete }
                connection.dropLeftOver()
                return connection.bytes.isEmpty ? .leftOver : .incomplete
            }
        }
    }

    /// Whether a request is to wait here no longer: a worker can make something of it, or it is as much as is kept here.
    private func isForWorkers(_ connection: Parked) -> Bool {
        guard connection.bytes.count < requestBuffer else { return true }
        return connection.assembly.isComplete(&table) || !mayGrow(connection)
    }

    /// Whether more of an incomplete request is to be received here.
    private func mayGrow(_ connection: Parked) -> Bool {
        if connection.bytes.count < Self.ordinarySize { return true }
        return connection.assembly.hasHead && memory.hasRoom(for: Self.piece)
            && queue.byteCount + assembledBytes + Self.piece < memoryLimit
    }

    // MARK: - Going out

    private func dispatch(_ connection: Parked, arrival: UInt64) {
        let request = WaitingRequest(
            connection: connection.descriptor,
            flags: connection.flags,
            arrival: arrival,
            bytes: connection.bytes
        )
        guard admits(request) else { return }
        guard makeRoom() else { return onOverflow() }
        // What was being assembled when the queue had its bytes is not lost for that: as much may follow again.
        guard queue.byteCount + request.bytes.count <= 2 * memoryLimit else { return }
        queue.append(request)
        onDispatch()
    }

    // MARK: - Handing over

    private var inOrder: [Parked] {
        order.compactMap { place in parked[place.number].flatMap { $0.serial == place.serial ? $0 : nil } }
    }

    /// All of them, in order, for the image of the program that takes over.
    var handedOver: [TakeoverState.Connection] {
        inOrder.map { connection in
            var state = TakeoverState.Connection()
            state.descriptor = Int(connection.descriptor.rawValue)
            state.flags = Int(connection.flags.rawValue)
            state.acceptedTime = Int(clamping: connection.acceptedTime)
            state.bytes = ByteString(connection.bytes)
            state.purpose =
                switch connection.purpose {
                case .silent: .silent
                case .idle: .idle
                case .assembling: .assembling
                case .lingering: .lingering
                }
            return state
        }
    }

    // MARK: - Closing

    /// The connection is not parked any more: it closes, unless somebody has it.
    private func release(_ number: CInt) {
        guard let connection = parked.removeValue(forKey: number) else { return }
        assembledBytes -= connection.bytes.count
        connection.registration = nil
        connection.deadline = nil
    }

    /// Closes the connection that has been parked longest.
    private func closeOldest() {
        while let (number, serial) = order.popFirst() {
            guard parked[number]?.serial == serial else { continue }
            return release(number)
        }
    }

    /// Gives away those that have sent nothing yet.
    func giveSilent(to take: (Connection) -> Void) {
        for connection in inOrder where connection.purpose == .silent {
            release(connection.descriptor.rawValue)
            take(connection.descriptor)
        }
    }

    /// Gives everything to the pool's next generation.
    func move(to successor: WaitingConnections) {
        for connection in inOrder {
            release(connection.descriptor.rawValue)
            successor.watch(connection)
        }
        order.removeAll()
        assembledBytes = 0
        queue.move(to: successor.queue)
        if successor.queue.total > 0 { successor.onDispatch() }
    }
}

@available(*, unavailable)
extension WaitingConnections: Sendable {}
