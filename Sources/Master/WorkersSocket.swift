internal import CEpoll
internal import Channel
internal import DequeModule
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// The socket from which all workers of a pool receive requests, and what is known of those that are in it.
///
/// It owns both ends, from the first zygote on, and the watch that tells when workers have taken something. What is
/// in the socket is in the order in which it was sent.
///
/// While the socket is *metered* the sender puts no more into it than ``ahead`` allows (``isFull``), and the number and
/// the arrivals of what is in it are known as of the last look. The master is then woken when half of it has been taken.
/// The kernel says so if the socket's send buffer is no larger than what is in it (cepoll_send_buffer): the socket is
/// *tight*. To send, it is made large again.
final class WorkersSocket {
    /// What the send buffer is unless the socket is tight, in bytes.
    static let sendBuffer = 1 << 20

    private let reactor: Reactor
    /// The master's end, and the end that the workers share; nil before the first zygote.
    private var writer: MessageSocket?
    private var reader: MessageSocket?
    private(set) var isMetered = false
    /// The send buffer has the size of what was in it.
    private var isTight = false
    /// Sent, less what came back; held against ``taken``.
    private var sent: Int64 = 0
    /// How many are in it, while metered: as many or fewer, until the next look.
    private var lastCount = 0
    /// When those in it arrived, while metered.
    private var arrivals = Deque<UInt64>()
    private var watch: Reactor.Registration?
    /// The next attempt, when a request could not be sent for want of memory.
    private var retry: Reactor.Deadline?

    /// Whether each taking is told of while it is metered, not only when half has been taken.
    var tellsEach = false
    /// How many requests may be in it while it is metered.
    var ahead = 2
    /// How many requests workers have taken from it, by their own count.
    var taken: () -> Int64 = { 0 }
    /// There may be room for what could not be sent, or workers have taken something while it was metered.
    var onRoom: () -> Void = {}
    /// Workers have taken something while it was metered; called after ``onRoom``.
    var onTaken: () -> Void = {}
    /// A worker has shut the socket for all of them: nothing goes through it any more.
    var onShut: () -> Void = {}

    init(reactor: Reactor) { self.reactor = reactor }

    /// There will be workers, who take requests from `writer`, whose other end is `reader`.
    func attach(_ writer: MessageSocket, reader: MessageSocket) {
        self.writer = writer
        self.reader = reader
        // The image of the program before this one may have left it tight, and workers have counted for that one, too.
        sent = taken()
        isTight = true
        loosen()
        if isMetered { watchTaking() }
    }

    /// There are two ends.
    var isAttached: Bool { writer != nil }

    /// Both ends, the master's first.
    var ends: (CInt, CInt)? {
        guard let writer, let reader else { return nil }
        return (writer.descriptor, reader.descriptor)
    }

    // MARK: - What is in it

    /// How many are in it; while metered as of the last look, which follows each taking.
    var count: Int { isMetered ? lastCount : countNow() }

    /// When the one that has waited longest in it arrived; nil if there is none, or it is not metered.
    var oldestArrival: UInt64? { arrivals.first }

    /// Whether no more is to be sent, as of the last look.
    var isFull: Bool { isMetered && lastCount >= ahead }

    /// Counts what is in it, if that is not done each time anyway.
    func look() { if isMetered { lastCount = countNow() } }

    /// Looks before requests are sent, of which so many wait, if it was full and nothing would tell that it is not.
    func lookBeforeSending(_ waiting: Int) {
        // While it is tight and more wait, that something has been taken will be told.
        if isFull, !(isTight && waiting > 1) { look() }
    }

    /// The kernel says whether the socket is empty; how many are in it is the workers' count, and held against that.
    private func countNow() -> Int {
        guard let writer, cepoll_unsent(writer.descriptor) > 0 else {
            sent = taken()
            arrivals.removeAll(keepingCapacity: true)
            return 0
        }
        let number = Int(clamping: min(4096, max(1, sent &- taken())))
        if arrivals.count > number { arrivals.removeFirst(arrivals.count - number) }
        return number
    }

    // MARK: - Metering

    /// From now on only a few requests are in it at a time.
    ///
    /// - Returns: What was in it.
    func beginMetering() -> [WaitingRequest] {
        isMetered = true
        watch = nil
        let back = takeBack()
        watchTaking()
        return back
    }

    /// From now on it takes what there is room for.
    func endMetering() {
        isMetered = false
        watch = nil
        loosen()
        arrivals.removeAll()
    }

    /// From now on the master is woken when half of what is in it has been taken, if it is metered.
    func tighten() {
        guard isMetered, !isTight, !tellsEach, let writer, watch != nil else { return }
        let unsent = cepoll_unsent(writer.descriptor)
        guard unsent > 0 else { return }
        isTight = true
        // The kernel counts up to two bytes more than there are.
        cepoll_send_buffer(writer.descriptor, unsent + 8)
    }

    /// There is room for more.
    private func loosen() {
        guard isTight, let writer else { return }
        isTight = false
        cepoll_send_buffer(writer.descriptor, CInt(Self.sendBuffer))
    }

    // MARK: - In and out

    /// What came of sending.
    enum Sending {
        case sent
        /// There is no room or no memory, which ``onRoom`` says when it has passed; or the socket has been shut.
        case notNow
        /// There is no memory for so large a request, or no descriptor for the file in which it travels.
        case tooLarge(Errno)
    }

    /// Puts a request behind those that are in it.
    func send(_ request: WaitingRequest) -> Sending {
        guard let writer else { return .notNow }
        loosen()
        let transfer: Transfer
        do throws(Errno) {
            transfer = try request.send(to: writer, isQueued: isMetered)
        } catch {
            guard request.bytes.count <= MessageSocket.maximumPayload else { return .tooLarge(error) }
            tryLater()
            return .notNow
        }
        switch transfer {
        case .bytes: break
        case .wouldBlock:
            watchRoom()
            return .notNow
        case .endOfStream:
            isShut()
            return .notNow
        }
        sent &+= 1
        if isMetered {
            lastCount += 1
            arrivals.append(request.arrival)
        }
        return .sent
    }

    /// Empties it.
    ///
    /// - Returns: What was in it, in order.
    func takeBack() -> [WaitingRequest] {
        guard let reader else { return [] }
        let capacity = Message.length + MessageSocket.maximumPayload
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        defer { buffer.deallocate() }
        var back: [WaitingRequest] = []
        receiving: while let arrival = try? reader.receive(into: buffer) {
            switch arrival {
            case .wouldBlock, .closed: break receiving
            case .malformed(let descriptors), .descriptorsLost(let descriptors):
                for descriptor in descriptors { closeDescriptor(descriptor) }
                sent &-= 1
            case .message(let message, let payload, let descriptors, _):
                sent &-= 1
                let payload = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[0..<payload])
                if let request = WaitingRequest(message, payload, descriptors) { back.append(request) }
            }
        }
        // What was in it when it was attached had not been counted.
        sent = max(sent, taken())
        lastCount = 0
        arrivals.removeAll()
        return back
    }

    // MARK: - Watching

    /// Edge-triggered: each request that a worker takes wakes the master, unless the socket is tight.
    private func watchTaking() {
        guard let writer else { return }
        watch = try? reactor.watch(writer.descriptor, for: [.writable, .edgeTriggered]) {
            [weak self] readiness in
            self?.becameWritable(readiness)
            self?.onTaken()
        }
    }

    private func watchRoom() {
        guard !isMetered, watch == nil, let writer else { return }
        watch = try? reactor.watch(writer.descriptor, for: .writable) { [weak self] readiness in
            self?.becameWritable(readiness)
        }
    }

    private func becameWritable(_ readiness: Reactor.Readiness) {
        guard readiness.isDisjoint(with: .hangup) else { return isShut() }
        onRoom()
    }

    /// Nothing waits for room: the kernel would report all the time that there is some.
    func endWaitingForRoom() { if !isMetered { watch = nil } }

    /// Nothing more is to be sent: no room, and no taking, is told of.
    func stopWatching() { watch = nil }

    /// The kernel would report it all the time.
    private func isShut() {
        watch = nil
        onShut()
    }

    private func tryLater() {
        endWaitingForRoom()
        retry = reactor.after(.milliseconds(100)) { [weak self] in
            guard let self else { return }
            retry = nil
            onRoom()
        }
    }
}

@available(*, unavailable)
extension WorkersSocket: Sendable {}
