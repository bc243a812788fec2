internal import Channel
internal import Configuration
internal import DequeModule
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// The requests of one pool that wait for a worker, in the order of their arrival; the first of them are in the
/// ``WorkersSocket``, from which the workers take them.
///
///     append ──► kept here ── room in the socket ──► socket ── a worker takes it ──► gone
///                  │  ▲                                │
///                  │  └─────────── takeBack ───────────┘
///                  └── its client has gone, it has waited too long ──► dropped, handed to `onExpired`
///                  └── too large for what memory or descriptors there are ──► handed to `onUnsendable`
///
/// While the pool moves, everything goes straight into the socket. While the pool is saturated the queue is
/// *metered*: only a few requests are in the socket, as many as workers can take before the master has woken up,
/// and for the others the master knows the exact number and age, and whether the client is still there.
///
/// It owns the requests that are kept here, with the watches of their clients, and the socket. All that is in the socket
/// came before what is kept here.
final class RequestQueue {
    private final class Entry {
        var request: WaitingRequest
        var registration: Reactor.Registration?

        init(_ request: WaitingRequest) { self.request = request }

        // The watch ends before the connection is closed.
        deinit { registration = nil }
    }

    private let reactor: Reactor
    /// What the workers receive from.
    let socket: WorkersSocket
    private let isTCP: Bool
    /// A request that has waited for so long is not served any more; zero: no limit.
    private let timeout: Duration
    /// A client that has waited for so long is watched, so that its request is dropped when it goes.
    ///
    /// The workers look at every one before they serve it: this is for the depth of the queue, and its memory.
    private let clientPatience: Duration

    /// Places of those that have gone are empty until they come to the front.
    private var entries = Deque<Entry?>()
    /// Number of the first of ``entries``; each entry keeps its number.
    private var firstNumber = 0
    /// Clients of those before this number are watched, while metered.
    private var firstUnwatched = 0
    /// Requests kept here.
    private(set) var count = 0
    /// How many have been taken to the end of the queue.
    private(set) var appended = 0
    /// Bytes of the requests kept here.
    private(set) var byteCount = 0 { didSet { memory.add(byteCount - oldValue) } }
    private let memory: RequestMemory
    private var expiry: Reactor.Deadline?
    /// Nothing is sent for a moment.
    private var isSorting = false

    /// A request has waited too long, and is the receiver's.
    var onExpired: (WaitingRequest) -> Void = { _ in }
    /// A request cannot be sent to the workers, for want of memory or descriptors, and is the receiver's.
    var onUnsendable: (WaitingRequest, Errno) -> Void = { _, _ in }
    /// Whether a request that the workers have not taken is still for them, now that the queue is metered; if not, it has been
    /// answered or refused.
    var isForWorkers: (WaitingRequest) -> Bool = { _ in true }
    /// The client of a request has gone before a worker took it.
    var onAbandoned: () -> Void = {}
    /// A request that was here while the queue was metered has gone to the workers, after this time; once for each.
    var onPassed: (Duration) -> Void = { _ in }

    init(
        reactor: Reactor,
        isTCP: Bool,
        timeout: Duration,
        clientPatience: Duration = .zero,
        memory: RequestMemory = RequestMemory()
    ) {
        self.clientPatience = clientPatience
        self.memory = memory
        self.reactor = reactor
        self.isTCP = isTCP
        self.timeout = timeout
        socket = WorkersSocket(reactor: reactor)
        socket.onRoom = { [weak self] in withBoundedWaiting { self?.flush(looking: true) } }
    }

    deinit { memory.add(-byteCount) }

    /// There will be workers, who take requests from `writer`, whose other end is `reader`.
    func attach(_ writer: MessageSocket, reader: MessageSocket) {
        socket.attach(writer, reader: reader)
        flush()
    }

    private var isMetered: Bool { socket.isMetered }

    /// All that wait, here and in the socket.
    var total: Int { count + socket.count }

    /// The same, by a look at the socket.
    func exactTotal() -> Int {
        socket.look()
        return total
    }

    /// When the one that has waited longest arrived; 0 if none waits.
    var oldestArrival: UInt64 {
        socket.oldestArrival ?? firstEntry()?.request.arrival ?? 0
    }

    // MARK: - In

    /// Takes a request to the end of the queue.
    func append(_ request: WaitingRequest) {
        appended += 1
        let number = firstNumber + entries.count
        let entry = Entry(request)
        entries.append(entry)
        add(entry)
        flush()
        if isMetered, clientPatience == .zero, number >= firstNumber { watchClient(of: entry, number) }
        scheduleExpiry()
    }

    /// A look at everything, from time to time while metered.
    func review() {
        flush(looking: true)
        watchClients()
    }

    /// Whether only a few requests are in the socket at a time; begins by taking back what is there.
    func meter(_ isOn: Bool) {
        guard isOn != isMetered else { return }
        expiry = nil
        if isOn {
            putInFront(socket.beginMetering())
            dropOthers()
            watchClients()
        } else {
            socket.endMetering()
            for case let entry? in entries {
                entry.registration = nil
                // Also of those that wait on for room.
                entry.request.flags.insert(.queued)
            }
            firstUnwatched = firstNumber
        }
        flush()
        scheduleExpiry()
    }

    /// Those kept here, in order, for the image of the program that takes over; what is in the socket stays there.
    var handedOver: [TakeoverState.Connection] {
        entries.compactMap { $0?.request }.map { request in
            var state = TakeoverState.Connection()
            state.descriptor = Int(request.connection.rawValue)
            state.purpose = .waiting
            let flags = isMetered ? request.flags.union(.queued) : request.flags
            state.flags = Int(flags.rawValue)
            state.acceptedTime = Int(clamping: request.arrival)
            state.bytes = ByteString(request.bytes)
            return state
        }
    }

    /// Both ends of the socket, the master's first.
    var socketEnds: (CInt, CInt)? { socket.ends }

    // MARK: - Out

    /// Moves requests into the socket as far as there is room for them.
    ///
    /// - Parameter looking: Workers may have taken something.
    func flush(looking: Bool = false) {
        guard socket.isAttached, !isSorting else { return }
        if looking { socket.look() } else { socket.lookBeforeSending(count) }
        sendWaiting()
        socket.tighten()
    }

    private func sendWaiting() {
        while let next = firstEntry() {
            if socket.isFull { return }
            switch socket.send(next.request) {
            case .sent:
                removeFirst()
                guard isMetered || next.request.flags.contains(.queued), !next.request.isCounted else {
                    continue
                }
                onPassed(MonotonicTime.now - MonotonicTime(nanoseconds: next.request.arrival))
            case .tooLarge(let error):
                removeFirst()
                onUnsendable(next.request, error)
            case .notNow: return
            }
        }
        socket.endWaitingForRoom()
    }

    private func firstEntry() -> Entry? {
        while let place = entries.first {
            if let entry = place { return entry }
            entries.removeFirst()
            firstNumber += 1
        }
        return nil
    }

    @discardableResult
    private func removeFirst() -> WaitingRequest? {
        guard let entry = firstEntry() else { return nil }
        entries.removeFirst()
        firstNumber += 1
        forget(entry)
        return entry.request
    }

    /// Counts one that is in ``entries`` from now on.
    private func add(_ entry: Entry) {
        count += 1
        byteCount += entry.request.bytes.count
    }

    private func forget(_ entry: Entry) {
        entry.registration = nil
        count -= 1
        byteCount -= entry.request.bytes.count
    }

    /// Takes back what is in the socket, to the front of the queue.
    func takeBack() { putInFront(socket.takeBack()) }

    private func putInFront(_ requests: [WaitingRequest]) {
        for request in requests.reversed() {
            let entry = Entry(request)
            entries.prepend(entry)
            firstNumber -= 1
            add(entry)
        }
        firstUnwatched = firstNumber
    }

    /// An answer may bring the connection's next request here: the one that is answered has gone before, and the others stay
    /// where they are.
    private func dropOthers() {
        isSorting = true
        defer { isSorting = false }
        for number in firstNumber..<firstNumber + entries.count {
            guard let entry = entry(number), drop(number), isForWorkers(entry.request) else { continue }
            // Nothing has happened meanwhile.
            entries[number - firstNumber] = entry
            add(entry)
        }
    }

    private func entry(_ number: Int) -> Entry? {
        let index = number - firstNumber
        return entries.indices.contains(index) ? entries[index] : nil
    }

    /// Takes one out of the queue; false if it is not in it any more.
    @discardableResult
    private func drop(_ number: Int) -> Bool {
        guard let entry = entry(number) else { return false }
        entries[number - firstNumber] = nil
        forget(entry)
        return true
    }

    /// Gives everything that waits here to another queue, behind what it has.
    func move(to successor: RequestQueue) {
        meter(false)
        socket.stopWatching()
        while let request = removeFirst() { successor.append(request) }
    }

    /// Gives away those that wait here and of which nothing has been received.
    func giveUnread(to take: (Connection) -> Void) {
        for number in firstNumber..<firstNumber + entries.count {
            guard let request = entry(number)?.request, request.bytes.isEmpty,
                !request.flags.contains(.keptAlive), drop(number)
            else { continue }
            take(request.connection)
        }
    }

    // MARK: - Those that do not wait any longer

    /// Watches the clients that have waited long enough.
    private func watchClients() {
        let now = MonotonicTime.now
        firstUnwatched = max(firstUnwatched, firstNumber)
        while isMetered, firstUnwatched - firstNumber < entries.count {
            if let entry = entries[firstUnwatched - firstNumber] {
                let arrival = MonotonicTime(nanoseconds: entry.request.arrival)
                guard arrival + clientPatience <= now else { return }
                watchClient(of: entry, firstUnwatched)
            }
            firstUnwatched += 1
        }
    }

    /// Most clients that give up close their connection: what they asked for must not cost a worker.
    private func watchClient(of entry: Entry, _ number: Int) {
        guard entry.registration == nil else { return }
        let interest: Reactor.Readiness = isTCP ? .peerClosed : []
        let socket = entry.request.connection.rawValue
        entry.registration = try? reactor.watch(socket, for: interest) { [weak self] _ in
            self?.clientHasGone(number)
        }
    }

    private func clientHasGone(_ number: Int) { if drop(number) { onAbandoned() } }

    private func scheduleExpiry() {
        guard isMetered, timeout > .zero, expiry == nil else { return }
        let oldest = oldestArrival
        guard oldest > 0 else { return }
        expiry = reactor.at(MonotonicTime(nanoseconds: oldest) + timeout) { [weak self] in self?.expire() }
    }

    private func expire() {
        expiry = nil
        let now = MonotonicTime.now
        func isDue(_ arrival: UInt64) -> Bool { MonotonicTime(nanoseconds: arrival) + timeout <= now }
        if let first = socket.oldestArrival, isDue(first) {
            takeBack()
            watchClients()
        }
        while let first = firstEntry(), isDue(first.request.arrival) {
            if let request = removeFirst() { onExpired(request) }
        }
        flush()
        scheduleExpiry()
    }
}

@available(*, unavailable)
extension RequestQueue: Sendable {}
