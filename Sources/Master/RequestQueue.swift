internal import CEpoll
internal import Channel
internal import Configuration
internal import DequeModule
internal import Reactor
internal import Syscalls

/// A request that waits for a worker.
struct WaitingRequest {
    let connection: Connection
    var flags: Message.Flags
    /// Monotonic nanoseconds: when the connection was accepted, or the request was complete.
    let arrival: UInt64
    /// What has been received of it.
    let bytes: [UInt8]
}

/// The requests of one pool that wait for a worker, in the order of their arrival; the first of them are in the pool's
/// socket, from which the workers take them.
///
///     append ──► kept here ── room in the socket ──► socket ── a worker takes it ──► gone
///                  │  ▲                                │
///                  │  └─────────── takeBack ───────────┘
///                  └── its client has gone, it has waited too long ──► dropped, handed to `onExpired`
///
/// While the pool moves, everything goes straight into the socket. While the pool is saturated the queue is
/// *metered*: only ``ahead`` requests are in the socket, as many as workers can take before the master has woken up,
/// and for the others the master knows the exact number and age, and whether the client is still there.
///
/// The master is then woken when half of those in the socket have been taken. The kernel says so if the socket's send
/// buffer is no larger than what is in it (cepoll_send_buffer); to send, it is made large again.
final class RequestQueue {
    /// Bytes of requests kept here, beyond which nothing more is to be read into memory.
    static let memoryLimit = 32 << 20
    private final class Entry {
        let request: WaitingRequest
        var registration: Reactor.Registration?

        init(_ request: WaitingRequest) { self.request = request }

        // The watch ends before the connection is closed.
        deinit { registration = nil }
    }

    private let reactor: Reactor
    /// The master's end of the pool's socket, and the end that the workers share; nil before the first zygote.
    private var socket: MessageSocket?
    private var reader: MessageSocket?
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
    /// Bytes of the requests kept here.
    private(set) var byteCount = 0 { didSet { memory.add(byteCount - oldValue) } }
    private let memory: RequestMemory
    private var sent: Int64 = 0
    /// How many are in the socket, while metered: as many or fewer, until the next look.
    private var lastInSocket = 0
    /// When those in the socket arrived, while metered.
    private var sentArrivals = Deque<UInt64>()
    private var socketWatch: Reactor.Registration?
    private var expiry: Reactor.Deadline?
    /// The next attempt, when a request could not be sent for want of memory.
    private var retry: Reactor.Deadline?
    private(set) var isMetered = false
    /// The socket's send buffer has the size of what was in it.
    private var isTight = false
    /// Nothing is sent for a moment.
    private var isSorting = false
    /// What the send buffer is otherwise, in bytes.
    static let sendBuffer = 1 << 20

    /// Whether each taking is told of while the queue is metered, not only when half has been taken.
    var tellsEach = false
    /// How many of them may be in the socket while the queue is metered.
    var ahead = 2
    /// How many requests workers have taken from the socket, by their own count.
    var taken: () -> Int64 = { 0 }
    /// A request has waited too long, and is the receiver's.
    var onExpired: (WaitingRequest) -> Void = { _ in }
    /// Whether a request that the workers have not taken is still for them, now that the queue is metered; if not, it has been
    /// answered or refused.
    var isForWorkers: (WaitingRequest) -> Bool = { _ in true }
    /// The client of a request has gone before a worker took it.
    var onAbandoned: () -> Void = {}
    /// A request went to the workers while the queue was metered, after this time.
    var onPassed: (Duration) -> Void = { _ in }
    /// A worker has shut the socket for all of them: nothing goes through it any more.
    var onShut: () -> Void = {}
    /// Workers have taken something while the queue was metered.
    var onTaken: () -> Void = {}

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
    }

    deinit { memory.add(-byteCount) }

    /// There will be workers, who take requests from `socket`, whose other end is `reader`.
    func attach(_ socket: MessageSocket, reader: MessageSocket) {
        self.socket = socket
        self.reader = reader
        // The image of the program before this one may have left it tight.
        isTight = true
        loosen()
        if isMetered { watchTaking() }
        flush()
    }

    /// How many are in the socket; while metered as of the last look, which follows each taking.
    private var inSocket: Int { isMetered ? lastInSocket : countInSocket() }

    /// The kernel says whether the socket is empty; how many are in it is the workers' count, and held against that.
    private func countInSocket() -> Int {
        guard let socket, cepoll_unsent(socket.descriptor) > 0 else {
            sent = taken()
            sentArrivals.removeAll(keepingCapacity: true)
            return 0
        }
        let number = Int(clamping: min(4096, max(1, sent &- taken())))
        if sentArrivals.count > number { sentArrivals.removeFirst(sentArrivals.count - number) }
        return number
    }

    /// All that wait, here and in the socket.
    var total: Int { count + inSocket }

    /// The same, by a look at the socket.
    func exactTotal() -> Int {
        if isMetered { lastInSocket = countInSocket() }
        return total
    }

    /// When the one that has waited longest arrived; 0 if none waits.
    var oldestArrival: UInt64 {
        sentArrivals.first ?? firstEntry()?.request.arrival ?? 0
    }

    // MARK: - In

    /// Takes a request to the end of the queue.
    func append(_ request: WaitingRequest) {
        let number = firstNumber + entries.count
        let entry = Entry(request)
        entries.append(entry)
        count += 1
        byteCount += request.bytes.count
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
        isMetered = isOn
        socketWatch = nil
        expiry = nil
        if isOn {
            takeBack()
            dropOthers()
            watchClients()
            watchTaking()
        } else {
            loosen()
            for case let entry? in entries { entry.registration = nil }
            firstUnwatched = firstNumber
            sentArrivals.removeAll()
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
            state.flags = Int(request.flags.rawValue)
            state.acceptedTime = Int(clamping: request.arrival)
            state.bytes = ByteString(request.bytes)
            return state
        }
    }

    /// Both ends of the socket, the master's first.
    var socketEnds: (CInt, CInt)? {
        guard let socket, let reader else { return nil }
        return (socket.descriptor, reader.descriptor)
    }

    /// Edge-triggered: each request that a worker takes wakes the master.
    private func watchTaking() {
        guard let socket else { return }
        socketWatch = try? reactor.watch(socket.descriptor, for: [.writable, .edgeTriggered]) {
            [weak self] readiness in
            self?.hasRoom(readiness)
            self?.onTaken()
        }
    }

    // MARK: - Out

    /// Moves requests into the socket as far as there is room for them.
    ///
    /// - Parameter looking: Workers may have taken something.
    func flush(looking: Bool = false) {
        guard let socket, !isSorting else { return }
        sendWaiting(to: socket, looking: looking)
        tighten()
    }

    /// From now on the master is woken when half of what is in the socket has been taken.
    private func tighten() {
        guard isMetered, !isTight, !tellsEach, let socket, socketWatch != nil else { return }
        let unsent = cepoll_unsent(socket.descriptor)
        guard unsent > 0 else { return }
        isTight = true
        // The kernel counts up to two bytes more than there are.
        cepoll_send_buffer(socket.descriptor, unsent + 8)
    }

    /// There is room for more.
    private func loosen() {
        guard isTight, let socket else { return }
        isTight = false
        cepoll_send_buffer(socket.descriptor, CInt(Self.sendBuffer))
    }

    private func sendWaiting(to socket: MessageSocket, looking: Bool) {
        // While it is tight and more wait here, that something has been taken will be told.
        if isMetered, looking || (lastInSocket >= ahead && !(isTight && count > 1)) {
            lastInSocket = countInSocket()
        }
        while let next = firstEntry() {
            if isMetered, lastInSocket >= ahead { return }
            loosen()
            let request = next.request
            var flags = request.flags
            if isMetered { flags.insert(.queued) }
            switch send(request, flags, to: socket) {
            case .bytes: break
            case .wouldBlock: return awaitRoom()
            case .endOfStream: return isShut()
            case nil:
                // There is no memory for it.
                guard request.bytes.count > MessageSocket.maximumPayload else { return tryLater() }
                removeFirst()
                continue
            }
            removeFirst()
            sent &+= 1
            guard isMetered else { continue }
            lastInSocket += 1
            sentArrivals.append(request.arrival)
            onPassed(MonotonicTime.now - MonotonicTime(nanoseconds: request.arrival))
        }
        if !isMetered { socketWatch = nil }
    }

    private func hasRoom(_ readiness: Reactor.Readiness) {
        guard readiness.isDisjoint(with: .hangup) else { return isShut() }
        withBoundedWaiting { flush(looking: true) }
    }

    /// The kernel would report it all the time.
    private func isShut() {
        socketWatch = nil
        onShut()
    }

    /// That there is room is reported all the time.
    private func tryLater() {
        if !isMetered { socketWatch = nil }
        retry = reactor.after(.milliseconds(100)) { [weak self] in
            guard let self else { return }
            retry = nil
            withBoundedWaiting { self.flush(looking: true) }
        }
    }

    private func awaitRoom() {
        guard !isMetered, socketWatch == nil, let socket else { return }
        socketWatch = try? reactor.watch(socket.descriptor, for: .writable) { [weak self] in self?.hasRoom($0)
        }
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

    private func forget(_ entry: Entry) {
        entry.registration = nil
        count -= 1
        byteCount -= entry.request.bytes.count
    }

    /// Takes back what is in the socket, to the front of the queue.
    func takeBack() {
        guard let reader else { return }
        let capacity = Message.length + MessageSocket.maximumPayload
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        defer { buffer.deallocate() }
        var back: [Entry] = []
        receiving: while let arrival = try? reader.receive(into: buffer) {
            switch arrival {
            case .wouldBlock, .closed: break receiving
            case .malformed(let descriptors), .descriptorsLost(let descriptors):
                for descriptor in descriptors { closeDescriptor(descriptor) }
                sent &-= 1
            case .message(let message, let payload, let descriptors, _):
                sent &-= 1
                let payload = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[0..<payload])
                guard let request = request(in: message, payload, descriptors) else { continue }
                back.append(Entry(request))
                count += 1
                byteCount += request.bytes.count
            }
        }
        entries.prepend(contentsOf: back)
        firstNumber -= back.count
        firstUnwatched = firstNumber
        lastInSocket = 0
        sentArrivals.removeAll()
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
            count += 1
            byteCount += entry.request.bytes.count
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
        socketWatch = nil
        while let request = removeFirst() { successor.append(request) }
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
        if let first = sentArrivals.first, isDue(first) {
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
