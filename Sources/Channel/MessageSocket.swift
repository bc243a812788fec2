internal import CEpoll
public import Syscalls
public import SystemPackage

/// What a message on one of the channels is about.
///
/// One vocabulary for all channels; each end accepts only the kinds that make sense there and takes
/// anything else as a broken peer.
public enum MessageKind: UInt8 {
    // Master to zygote.
    /// Fork a worker for `slot`; descriptors: its channel, its stdout, its stderr.
    case spawn = 1
    // Master to zygote and worker.
    /// Use this access log from now on.
    case accessLog = 2
    // Master to worker.
    /// Do something with the opcache between two requests: `flags` says what, the payload names a file; `serial` comes back.
    case opcache = 3
    /// Look whether to wait at the listener: the worker's page says it.
    case listen = 4
    /// Leave when the present request is over: a signal would end what waits in it early.
    case leave = 5
    // Zygote to master.
    /// PHP has started.
    case zygoteReady = 16
    /// The worker for `slot`, spawn `serial`, is process `value`.
    case spawned = 17
    /// The worker for `slot`, spawn `serial`, could not be forked: errno in `value`.
    case spawnFailed = 18
    // Worker to master.
    /// The worker takes connections from now on; descriptor: the receiving end of the pair in which it leaves the connection
    /// of a request that may last, to be received from when it is dead.
    case workerReady = 32
    /// Watch this connection and send it back when a request begins; bytes already read are the payload, or in a file.
    case park = 33
    /// The worker will leave soon, or must leave if `flags` has ``Message/Flags/mustLeave``: another one is to be ready by
    /// then.
    case retiring = 35
    /// The response is complete: read until the client closes, then close.
    case linger = 34
    /// Send the rest of a response; descriptors: the connection, a sealed file whose bytes from `value` on are that rest.
    case deliver = 36
    /// A request begins, and the master has asked to be told.
    case busy = 37
    /// What came of ``opcache``: JSON in the payload; `value` is 0, or why there is none.
    case opcacheDone = 38
    /// The worker dies in a request, by signal `value` (0: exit), and waits for a moment so that its memory can be read.
    case crashed = 39
    /// The worker holds this idle connection beside others: keep a duplicate, and take it if the worker is busy for long or
    /// dies; `slot` is the place in its page, `serial` the number of the sharing.
    case share = 40
    /// The connection in place `slot`, sharing `serial`, is over or given away: close the duplicate.
    case unshare = 41
    /// In the worker's pair of sockets: the connection of a request that may last.
    case deposited = 42
    // Master to worker, through the pool's queue.
    /// Serve this connection; bytes already read are the payload, or in a file. Through the worker's own channel: hold it, it
    /// is shared in place `slot`, sharing `serial`.
    case serve = 48
}

/// The fixed part of a message.
///
/// Plain numbers: nothing in it is an address or an index that is not checked.
public struct Message: Equatable {
    /// Bytes of the fixed part.
    public static let length = 24

    /// What it is about.
    public var kind: MessageKind
    /// Kind-specific bits.
    public var flags: Flags
    /// Slot of the worker concerned, or the place of a shared connection in its page.
    public var slot: UInt32
    /// Which spawn request a zygote answers, which opcache call a worker does, or the number of a sharing.
    public var serial: Int64
    /// Kind-specific: a pid, an errno, a signal, an offset, or the monotonic nanoseconds when a connection was accepted.
    public var value: UInt64

    /// Kind-specific bits.
    public struct Flags: OptionSet {
        /// The bits.
        public let rawValue: UInt8
        /// From the bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The connection has served a request before and is kept alive.
        public static var keptAlive: Flags { Flags(rawValue: 1) }
        /// The peer's address has been checked against `listen.allowed_clients`.
        public static var peerChecked: Flags { Flags(rawValue: 2) }
        /// The request has waited in the master's queue since the time in the message.
        public static var queued: Flags { Flags(rawValue: 4) }
        /// The worker stays only until it is told to leave.
        public static var mustLeave: Flags { Flags(rawValue: 8) }
        /// The connection is for a worker that is awake: there are more of them than processors.
        public static var gathers: Flags { Flags(rawValue: 64) }
        /// The payload is in a sealed memory file, whose descriptor is the last one (``BytesFile``).
        public static var bytesInFile: Flags { Flags(rawValue: 32) }
        /// The client is still sending: after the response, read until it closes.
        public static var lingers: Flags { Flags(rawValue: 16) }
    }

    /// A message with what is not needed left at zero.
    public init(
        _ kind: MessageKind,
        flags: Flags = [],
        slot: UInt32 = 0,
        serial: Int64 = 0,
        value: UInt64 = 0
    ) {
        self.kind = kind
        self.flags = flags
        self.slot = slot
        self.serial = serial
        self.value = value
    }

    /// Writes the fixed part into memory of at least ``length`` bytes.
    public func store(in memory: UnsafeMutableRawBufferPointer) {
        memory.storeBytes(of: kind.rawValue, toByteOffset: 0, as: UInt8.self)
        memory.storeBytes(of: flags.rawValue, toByteOffset: 1, as: UInt8.self)
        memory.storeBytes(of: 0, toByteOffset: 2, as: UInt16.self)
        memory.storeBytes(of: slot, toByteOffset: 4, as: UInt32.self)
        memory.storeBytes(of: serial, toByteOffset: 8, as: Int64.self)
        memory.storeBytes(of: value, toByteOffset: 16, as: UInt64.self)
    }

    init?(_ memory: UnsafeRawBufferPointer) {
        guard memory.count >= Message.length, let kind = MessageKind(rawValue: memory[0]) else { return nil }
        self.kind = kind
        flags = Flags(rawValue: memory[1])
        slot = memory.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        serial = memory.loadUnaligned(fromByteOffset: 8, as: Int64.self)
        value = memory.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
    }
}

/// One end of a SOCK_SEQPACKET channel: whole messages with descriptors, never blocking unless asked to.
public final class MessageSocket {
    /// Longest payload of a message, in bytes.
    public static let maximumPayload = 160 << 10

    /// The descriptor, for polling; borrow it.
    public let descriptor: CInt
    /// The other end is hostile: what it sends must not make this process wait.
    ///
    /// Sockets that linger would, when their message is cut off, thrown away, or closed unread. Uses SIGALRM.
    public var isBounded = false

    /// Takes ownership of one end.
    public init(adopting descriptor: CInt) {
        precondition(descriptor >= 0, "a descriptor is not negative")
        self.descriptor = descriptor
    }

    deinit {
        if isBounded { cepoll_close_bounded(descriptor) } else { closeDescriptor(descriptor) }
    }

    /// Creates a connected pair.
    ///
    /// - Parameter bufferBytes: Send buffer to ask for on both ends; 0 keeps the system's.
    /// - Returns: The two ends.
    /// - Throws: `Errno` of `socketpair(2)`.
    public static func pair(bufferBytes: Int = 0) throws(Errno) -> (MessageSocket, MessageSocket) {
        var first: CInt = -1
        var second: CInt = -1
        try makePair(&first, &second, bufferBytes)
        return (MessageSocket(adopting: first), MessageSocket(adopting: second))
    }

    private static func makePair(_ first: inout CInt, _ second: inout CInt, _ bufferBytes: Int) throws(Errno)
    {
        var ends: [CInt] = [-1, -1]
        let result = ends.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { cepoll_seqpacket_pair($0, CInt(bufferBytes)) } ?? -1
        }
        if result == -1 { throw currentErrno }
        (first, second) = (ends[0], ends[1])
    }

    /// Makes the kernel name the sender's pid in each message received here.
    public func passCredentials() throws(Errno) {
        if cepoll_pass_credentials(descriptor) == -1 { throw currentErrno }
    }

    /// Sends one message; descriptors are duplicated by the kernel, the caller keeps its own.
    ///
    /// - Returns: `.bytes`, or `.wouldBlock` when the queue is full, or `.endOfStream` when nobody reads.
    /// - Throws: `EMSGSIZE` for a payload that the other end would not take, `EINVAL` for too many descriptors.
    public func send(
        _ message: Message,
        payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        descriptors: [CInt] = []
    ) throws(Errno) -> Transfer {
        guard payload.count <= MessageSocket.maximumPayload else { throw .messageTooLong }
        let total = Message.length + payload.count
        let sent = withUnsafeTemporaryAllocation(byteCount: total, alignment: 8) { memory -> Int in
            message.store(in: memory)
            if let source = payload.baseAddress, let target = memory.baseAddress {
                (target + Message.length).copyMemory(from: source, byteCount: payload.count)
            }
            guard let base = memory.baseAddress else { return -1 }
            return cepoll_send_message(descriptor, base, total, descriptors, descriptors.count)
        }
        if sent >= 0 { return .bytes(sent) }
        switch currentErrno {
        // ETOOMANYREFS: too many descriptors are under way; it passes when some are received.
        case .wouldBlock, .tooManyReferences: return .wouldBlock
        case .brokenPipe, .connectionReset, .socketNotConnected, .connectionRefused: return .endOfStream
        case let error: throw error
        }
    }

    /// What came in.
    public enum Arrival {
        /// A message; `payload` bytes are in the buffer passed in, from its start. The descriptors are the
        /// caller's to close. `sender` is the kernel's word if ``passCredentials()`` was called, else 0.
        case message(Message, payload: Int, descriptors: [CInt], sender: Int32)
        /// Nothing there.
        case wouldBlock
        /// The other end has closed.
        case closed
        /// A message some of whose descriptors this process could not take: it has no more numbers. What came is the
        /// caller's to close.
        case descriptorsLost([CInt])
        /// Not a message of ours: an unknown kind, too short, or cut off. Its descriptors are the caller's to close.
        case malformed([CInt])
    }

    /// Receives one message.
    ///
    /// - Parameters:
    ///   - buffer: Memory for the fixed part and the payload; the payload is moved to its start.
    ///   - wait: Block until something comes.
    /// - Returns: What came in.
    /// - Throws: `Errno` of `recvmsg(2)` other than would-block and reset.
    public func receive(into buffer: UnsafeMutableRawBufferPointer, wait: Bool = false) throws(Errno)
        -> Arrival
    {
        guard let base = buffer.baseAddress else { return .malformed([]) }
        var received = cepoll_received()
        if isBounded { cepoll_bound_waiting(1000) }
        let result = cepoll_receive_message(descriptor, base, buffer.count, wait, &received)
        if isBounded { cepoll_unbound_waiting() }
        guard result == 0 else {
            switch currentErrno {
            case .wouldBlock: return .wouldBlock
            case .connectionReset: return .closed
            case let error: throw error
            }
        }
        if received.length == 0 && received.descriptor_count == 0 { return .closed }
        var descriptors: [CInt] = []
        if received.descriptor_count > 0 {
            withUnsafeBytes(of: &received.descriptors) { raw in
                descriptors = Array(
                    raw.assumingMemoryBound(to: CInt.self).prefix(Int(received.descriptor_count))
                )
            }
        }
        // More than any message of ours has: the sender's fault, not for want of numbers.
        let most = Int(CEPOLL_MAX_DESCRIPTORS)
        let isFlood = descriptors.count > most || (received.descriptors_lost && descriptors.count == most)
        if received.descriptors_lost, !isFlood { return .descriptorsLost(descriptors) }
        guard !isFlood, !received.truncated,
            let message = Message(UnsafeRawBufferPointer(start: base, count: received.length))
        else { return .malformed(descriptors) }
        let payload = received.length - Message.length
        if payload > 0 { base.copyMemory(from: base + Message.length, byteCount: payload) }
        return .message(message, payload: payload, descriptors: descriptors, sender: received.sender)
    }
}

@available(*, unavailable)
extension MessageSocket: Sendable {}
