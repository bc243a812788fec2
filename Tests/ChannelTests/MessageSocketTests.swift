import CEpoll
import Channel
import Foundation
import Syscalls
import SystemPackage
import Testing

/// Messages between master, zygote and workers.
@Suite struct MessageSocketTests {
    /// What came in, with the payload copied.
    struct Incoming {
        var message: Message
        var payload: [UInt8]
        var descriptors: [SharedDescriptor]
        var sender: Int32
    }

    func receive(
        _ socket: MessageSocket,
        capacity: Int = Message.length + MessageSocket.maximumPayload
    ) throws -> Incoming? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 1)
        defer { buffer.deallocate() }
        guard
            case .message(let message, let count, let descriptors, let sender) = try socket.receive(
                into: buffer
            )
        else {
            return nil
        }
        return Incoming(
            message: message,
            payload: Array(buffer[..<count]),
            descriptors: descriptors.map { SharedDescriptor(adopting: $0) },
            sender: sender
        )
    }

    /// Anything but a message.
    func outcome(_ socket: MessageSocket, capacity: Int = 4096) throws -> String {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, capacity), alignment: 1)
        defer { buffer.deallocate() }
        return switch try socket.receive(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<capacity])) {
        case .message: "message"
        case .wouldBlock: "would block"
        case .closed: "closed"
        case .malformed(let descriptors):
            closing(descriptors, "malformed")
        case .descriptorsLost(let descriptors):
            closing(descriptors, "descriptors lost")
        }
    }

    func closing(_ descriptors: [CInt], _ outcome: String) -> String {
        for descriptor in descriptors { closeDescriptor(descriptor) }
        return outcome
    }

    /// Waits until nobody holds the other end: a child of another test has copies from its fork to its exec.
    @discardableResult
    func awaitHangup(_ descriptor: CInt) -> Bool {
        Int(cepoll_poll_one(descriptor, 0, 20_000)) & CEPOLL_HUP != 0
    }

    func send(_ bytes: [UInt8], _ socket: MessageSocket) {
        #expect(Glibc.send(socket.descriptor, bytes, bytes.count, 0) == bytes.count)
    }

    static let kinds: [UInt8] = [
        1, 2, 3, 4, 5, 16, 17, 18, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 48,
    ]

    @Test(arguments: kinds) func messageArrivesAsSent(number: UInt8) throws {
        let kind = try #require(MessageKind(rawValue: number))
        let (left, right) = try MessageSocket.pair()
        let message = Message(
            kind,
            flags: [.keptAlive, .peerChecked],
            slot: .max,
            serial: .min,
            value: 0x0123_4567_89ab_cdef
        )
        let payload = Array("GET /".utf8)
        let sent = try payload.withUnsafeBytes { try left.send(message, payload: $0) }
        #expect(sent == .bytes(Message.length + 5))
        let incoming = try #require(try receive(right))
        #expect(incoming.message == message)
        #expect(incoming.payload == payload)
        #expect(incoming.descriptors.isEmpty)
        #expect(incoming.sender == 0)
        #expect(try outcome(right) == "would block")
    }

    @Test func messagesGoBothWays() throws {
        let (left, right) = try MessageSocket.pair()
        #expect(try left.send(Message(.linger)) == .bytes(24))
        #expect(try right.send(Message(.workerReady, slot: 3)) == .bytes(24))
        #expect(try receive(left)?.message == Message(.workerReady, slot: 3))
        #expect(try receive(right)?.message == Message(.linger))
    }

    @Test(arguments: [0, 1, 4095, 65_536, MessageSocket.maximumPayload])
    func payloadIsWhole(size: Int) throws {
        let (left, right) = try MessageSocket.pair(bufferBytes: 1 << 20)
        let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        #expect(
            try payload.withUnsafeBytes { try left.send(Message(.serve), payload: $0) } == .bytes(size + 24)
        )
        #expect(try receive(right)?.payload == payload)
    }

    @Test func longerPayloadIsRefused() throws {
        let (left, right) = try MessageSocket.pair(bufferBytes: 1 << 20)
        let payload = [UInt8](repeating: 0, count: MessageSocket.maximumPayload + 1)
        #expect(throws: Errno.messageTooLong) {
            _ = try payload.withUnsafeBytes { try left.send(Message(.serve), payload: $0) }
        }
        #expect(try outcome(right) == "would block", "nothing was sent")
    }

    @Test(arguments: 0...4) func descriptorsTravel(count: Int) throws {
        let (left, right) = try MessageSocket.pair()
        var ends: [CInt] = [-1, -1]
        try #require(cepoll_blocking_pipe(&ends) == 0)
        let readEnd = SharedDescriptor(adopting: ends[0])
        var writeEnd: SharedDescriptor? = SharedDescriptor(adopting: ends[1])
        _ = try left.send(Message(.spawn), descriptors: [CInt](repeating: ends[1], count: count))
        var incoming = try receive(right)
        #expect(incoming?.descriptors.count == count)
        #expect(writeEnd != nil)
        writeEnd = nil
        if let copy = incoming?.descriptors.last {
            #expect(write(copy.rawValue, "x", 1) == 1)
            var byte: UInt8 = 0
            #expect(read(readEnd.rawValue, &byte, 1) == 1)
        }
        incoming = nil
        #expect(awaitHangup(readEnd.rawValue), "all copies are closed")
    }

    @Test func tooManyDescriptorsAreRefused() throws {
        let (left, _) = try MessageSocket.pair()
        #expect(throws: Errno.invalidArgument) {
            _ = try left.send(Message(.spawn), descriptors: [0, 0, 0, 0, 0])
        }
    }

    @Test func senderIsNamedOnRequest() throws {
        let (left, right) = try MessageSocket.pair()
        try right.passCredentials()
        _ = try left.send(Message(.workerReady))
        #expect(try receive(right)?.sender == getpid())
    }

    /// Descriptors of processes in this process that are about `pid`.
    private func processDescriptors(of pid: Int32) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fdinfo").count { name in
            let text = try? String(contentsOfFile: "/proc/self/fdinfo/\(name)", encoding: .utf8)
            return text?.contains("\nPid:\t\(pid)\n") == true
        }
    }

    /// A worker shares the pool's queue with the master, and can have the kernel install a descriptor of the sender with
    /// each message: not wanted, and closed.
    @Test func descriptorsOfSendersAreClosed() throws {
        let passPIDDescriptor: CInt = 76
        let (left, right) = try MessageSocket.pair()
        var isOn: CInt = 1
        let size = socklen_t(MemoryLayout<CInt>.size)
        // Linux 6.5 knows the option.
        guard setsockopt(right.descriptor, SOL_SOCKET, passPIDDescriptor, &isOn, size) == 0 else { return }
        let given = SharedDescriptor(adopting: open("/dev/null", O_RDONLY | O_CLOEXEC))
        // Nobody else in this process has descriptors of it.
        let before = try processDescriptors(of: getpid())
        for number in 0..<100 {
            let count = number % 5
            _ = try left.send(
                Message(.park, value: UInt64(number)),
                descriptors: [CInt](repeating: given.rawValue, count: count)
            )
            let incoming = try receive(right)
            #expect(incoming?.message.value == UInt64(number))
            #expect(incoming?.descriptors.count == count)
        }
        #expect(try processDescriptors(of: getpid()) == before)
    }

    // MARK: - Peers that are not ours

    @Test(arguments: [
        // Unknown kinds, between the known ones and around them.
        [UInt8](repeating: 0, count: 24), [6] + [UInt8](repeating: 0, count: 23),
        [255] + [UInt8](repeating: 0, count: 23),
        // Too short for the fixed part.
        [1], [UInt8](repeating: 1, count: 23),
    ])
    func nonsenseIsMalformed(bytes: [UInt8]) throws {
        let (left, right) = try MessageSocket.pair()
        send(bytes, left)
        #expect(try outcome(right) == "malformed")
        // The channel goes on for whoever wants that.
        _ = try left.send(Message(.linger))
        #expect(try receive(right)?.message == Message(.linger))
    }

    @Test func unknownFlagsAndAnyNumbersAreKept() throws {
        let (left, right) = try MessageSocket.pair()
        send([34, 0xff, 1, 2] + [UInt8](repeating: 0xff, count: 20), left)
        let message = try #require(try receive(right)?.message)
        #expect(message.kind == .linger)
        #expect(message.flags.rawValue == 0xff)
        #expect((message.slot, message.serial, message.value) == (.max, -1, .max))
    }

    @Test func everyByteDecides() throws {
        let (left, right) = try MessageSocket.pair()
        let known = Set(Self.kinds)
        for number in 0...UInt8.max {
            send([number] + [UInt8](repeating: 0, count: 23), left)
            #expect(try outcome(right) == (known.contains(number) ? "message" : "malformed"))
        }
    }

    @Test(arguments: [0, 1, 23, 24, 28]) func messageThatDoesNotFitIsMalformed(capacity: Int) throws {
        let (left, right) = try MessageSocket.pair()
        var ends: [CInt] = [-1, -1]
        try #require(cepoll_blocking_pipe(&ends) == 0)
        let readEnd = SharedDescriptor(adopting: ends[0])
        let payload = Array("hello".utf8)
        _ = try payload.withUnsafeBytes { try left.send(Message(.park), payload: $0, descriptors: [ends[1]]) }
        closeDescriptor(ends[1])
        #expect(try outcome(right, capacity: capacity) == "malformed")
        #expect(awaitHangup(readEnd.rawValue), "its descriptor is closed")
        #expect(try outcome(right) == "would block", "the message is gone")
    }

    @Test func messageThatFitsExactly() throws {
        let (left, right) = try MessageSocket.pair()
        let payload = Array("hello".utf8)
        _ = try payload.withUnsafeBytes { try left.send(Message(.park), payload: $0) }
        #expect(try receive(right, capacity: 29)?.payload == payload)
    }

    @Test func fullQueueWouldBlock() throws {
        let (left, right) = try MessageSocket.pair()
        var sent = 0
        while try left.send(Message(.serve, value: UInt64(sent))) != .wouldBlock {
            sent += 1
            try #require(sent < 1_000_000)
        }
        #expect(sent > 10)
        // Everything that was taken arrives, in order.
        for number in 0..<sent { #expect(try receive(right)?.message.value == UInt64(number)) }
        #expect(try outcome(right) == "would block")
        #expect(try left.send(Message(.serve)) == .bytes(24))
    }

    /// Descriptors under way count against the limit of open files: with a small one it is reached first.
    @Test func tooManyDescriptorsUnderWayWouldBlock() async {
        await #expect(processExitsWith: .success) {
            guard getuid() != 0 else { return }  // root is exempt
            var limit = rlimit(rlim_cur: 64, rlim_max: 64)
            setrlimit(__rlimit_resource_t(7), &limit)
            let (left, _) = try MessageSocket.pair(bufferBytes: 8 << 20)
            var last = Transfer.bytes(0)
            for _ in 0..<1000 where last != .wouldBlock {
                last = try left.send(Message(.spawn), descriptors: [0, 1, 2])
            }
            #expect(last == .wouldBlock)
        }
    }

    @Test func closedPeerIsSeenAfterItsLastMessage() throws {
        var (left, right): (MessageSocket?, MessageSocket) = try MessageSocket.pair()
        _ = try left?.send(Message(.linger))
        left = nil
        awaitHangup(right.descriptor)
        #expect(try receive(right)?.message == Message(.linger))
        #expect(try outcome(right) == "closed")
        #expect(try outcome(right) == "closed")
        #expect(try right.send(Message(.linger)) == .endOfStream)
    }

    /// Messages that the peer left unread turn the end into a reset.
    @Test func peerThatClosedWithUnreadMessagesIsClosed() throws {
        var (left, right): (MessageSocket?, MessageSocket) = try MessageSocket.pair()
        _ = try right.send(Message(.spawn))
        #expect(left != nil)
        left = nil
        awaitHangup(right.descriptor)
        #expect(try outcome(right) == "closed")
        #expect(try right.send(Message(.linger)) == .endOfStream)
    }

    /// A worker that leaves with an order unread has given its connections back before.
    @Test func messagesBeforeAResetArrive() throws {
        var (left, right): (MessageSocket?, MessageSocket) = try MessageSocket.pair()
        let given = SharedDescriptor(adopting: open("/dev/null", O_RDONLY | O_CLOEXEC))
        _ = try right.send(Message(.accessLog))
        _ = try left?.send(Message(.park), descriptors: [given.rawValue])
        _ = try left?.send(Message(.retiring))
        left = nil
        awaitHangup(right.descriptor)
        let first = try receive(right)
        #expect(first?.message == Message(.park))
        #expect(first?.descriptors.count == 1)
        #expect(try receive(right)?.message == Message(.retiring))
        #expect(try outcome(right) == "closed")
        #expect(try outcome(right) == "closed")
    }

    @Test func emptyMessageCountsAsTheEnd() throws {
        let (left, right) = try MessageSocket.pair()
        send([], left)
        #expect(try outcome(right) == "closed")
    }
}
