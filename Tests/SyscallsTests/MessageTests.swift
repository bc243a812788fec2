import CEpoll
import Foundation
import Syscalls
import SystemPackage
import Testing

/// SOCK_SEQPACKET messages with descriptors.
@Suite struct MessageTests {
    /// What came out of a socket; owns the descriptors.
    final class Received {
        var bytes: [UInt8] = []
        var descriptors: [SharedDescriptor] = []
        var sender: pid_t = 0
        var truncated = false
        var descriptorsLost = false

        init(from socket: SharedDescriptor, capacity: Int = 64, wait: Bool = false) throws {
            var buffer = [UInt8](repeating: 0, count: capacity)
            var received = cepoll_received()
            try check(cepoll_receive_message(socket.rawValue, &buffer, capacity, wait, &received))
            bytes = Array(buffer[..<received.length])
            withUnsafeBytes(of: received.descriptors) { raw in
                descriptors = raw.bindMemory(to: CInt.self).prefix(received.descriptor_count)
                    .map { SharedDescriptor(adopting: $0) }
            }
            sender = received.sender
            truncated = received.truncated
            descriptorsLost = received.descriptors_lost
        }
    }

    func send(_ text: String, _ descriptors: [CInt] = [], to socket: SharedDescriptor) throws {
        let bytes = Array(text.utf8)
        #expect(
            try check(
                cepoll_send_message(socket.rawValue, bytes, bytes.count, descriptors, descriptors.count)
            ) == bytes.count
        )
    }

    @Test(arguments: 0...4) func descriptorsArrive(count: Int) throws {
        let (left, right) = try makeChannel()
        let pipes = try (0..<count).map { _ in try makePipe() }
        try send("hello", pipes.map(\.write.rawValue), to: left)
        let received = try Received(from: right)
        #expect(received.bytes == Array("hello".utf8))
        #expect(received.descriptors.count == count)
        #expect(!received.truncated)
        #expect(received.sender == 0, "nobody asked for credentials")
        for (index, (descriptor, pipe)) in zip(received.descriptors, pipes).enumerated() {
            #expect(fcntl(descriptor.rawValue, F_GETFD) & FD_CLOEXEC != 0)
            var byte = UInt8(index)
            #expect(write(descriptor.rawValue, &byte, 1) == 1)
            #expect(read(pipe.read.rawValue, &byte, 1) == 1)
            #expect(byte == UInt8(index), "in order")
        }
    }

    @Test func moreDescriptorsAreNotSent() throws {
        let (left, right) = try makeChannel()
        #expect(
            failure { CInt(cepoll_send_message(left.rawValue, "x", 1, [0, 0, 0, 0, 0], 5)) }
                == .invalidArgument
        )
        #expect(throws: Errno.wouldBlock) { _ = try Received(from: right) }
    }

    @Test func messagesKeepTheirBounds() throws {
        let (left, right) = try makeChannel()
        for text in ["one", "two", "three"] { try send(text, to: left) }
        for text in ["one", "two", "three"] { #expect(try Received(from: right).bytes == Array(text.utf8)) }
        #expect(throws: Errno.wouldBlock) { _ = try Received(from: right) }
    }

    @Test func longMessageIsMarkedAndItsDescriptorsAreOwned() throws {
        let (left, right) = try makeChannel()
        var pipe: (read: SharedDescriptor, write: SharedDescriptor)? = try makePipe()
        let readEnd = try #require(pipe?.read)
        try send("too long", [pipe?.write.rawValue ?? -1], to: left)
        pipe = nil
        var received: Received? = try Received(from: right, capacity: 3)
        #expect(received?.truncated == true)
        #expect(received?.bytes == Array("too".utf8))
        #expect(!isAtEnd(readEnd))
        received = nil
        #expect(reachesEnd(readEnd))
    }

    /// A peer that is not ours may send any number: what there is room for is the receiver's to close, the kernel drops
    /// the rest.
    @Test(arguments: [5, 8, 12, 13, 100], [false, true])
    func surplusDescriptorsAreClosed(count: Int, withCredentials: Bool) throws {
        let (left, right) = try makeChannel()
        if withCredentials { try check(cepoll_pass_credentials(right.rawValue)) }
        var pipe: (read: SharedDescriptor, write: SharedDescriptor)? = try makePipe()
        let readEnd = try #require(pipe?.read)
        try sendMany([CInt](repeating: pipe?.write.rawValue ?? -1, count: count), to: left)
        pipe = nil
        var received: Received? = try Received(from: right)
        #expect(received?.descriptors.count == min(count, withCredentials ? 4 : 12))
        #expect(received?.descriptorsLost == (count > (withCredentials ? 4 : 12)))
        #expect(!isAtEnd(readEnd))
        received = nil
        #expect(reachesEnd(readEnd), "a surplus descriptor is still open")
    }

    /// `sendmsg(2)` by hand, beyond what the shim sends.
    func sendMany(_ descriptors: [CInt], to socket: SharedDescriptor) throws {
        let length = 16 + 4 * descriptors.count
        let control = UnsafeMutableRawBufferPointer.allocate(byteCount: (length + 7) & ~7, alignment: 8)
        defer { control.deallocate() }
        control.initializeMemory(as: UInt8.self, repeating: 0)
        control.storeBytes(of: length, toByteOffset: 0, as: Int.self)
        control.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: CInt.self)
        control.storeBytes(of: 1, toByteOffset: 12, as: CInt.self)  // SCM_RIGHTS
        for (index, descriptor) in descriptors.enumerated() {
            control.storeBytes(of: descriptor, toByteOffset: 16 + 4 * index, as: CInt.self)
        }
        var byte: UInt8 = 1
        try withUnsafeMutablePointer(to: &byte) { pointer in
            var part = iovec(iov_base: pointer, iov_len: 1)
            try withUnsafeMutablePointer(to: &part) { parts in
                var message = msghdr()
                message.msg_iov = parts
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = control.count
                try check(sendmsg(socket.rawValue, &message, 0))
            }
        }
    }

    @Test func credentialsNameTheSender() throws {
        let (left, right) = try makeChannel()
        try check(cepoll_pass_credentials(right.rawValue))
        try send("from here", to: left)
        #expect(try Received(from: right).sender == getpid())
        // Whoever holds the other end is named, not who made it.
        let child = try Spawned(
            ["/bin/sh", "-c", "echo from the child >&3"],
            descriptors: [0, 1, 2, left.rawValue]
        )
        let received = try Received(from: right, wait: true)
        try child.reap()
        #expect(received.bytes == Array("from the child\n".utf8))
        #expect(received.sender == child.pid)
    }

    @Test func credentialsAndDescriptorsComeTogether() throws {
        let (left, right) = try makeChannel()
        try check(cepoll_pass_credentials(right.rawValue))
        let pipe = try makePipe()
        try send("x", [CInt](repeating: pipe.write.rawValue, count: 4), to: left)
        let received = try Received(from: right)
        #expect(received.sender == getpid())
        #expect(received.descriptors.count == 4)
        #expect(!received.truncated)
    }

    @Test func fullQueueDoesNotBlock() throws {
        let (left, right) = try makeChannel()
        var sent = 0
        while cepoll_send_message(left.rawValue, "x", 1, nil, 0) == 1 {
            sent += 1
            try #require(sent < 1_000_000)
        }
        #expect(currentErrno == .wouldBlock)
        #expect(sent > 10)
        _ = try Received(from: right)
        try send("room again", to: left)
    }

    @Test(.enabled(if: getuid() == 0, "needs root")) func queueGrowsWithItsBuffer() throws {
        func capacity(_ bytes: CInt) throws -> Int {
            let (left, right) = try makeChannel(bufferBytes: bytes)
            var sent = 0
            while cepoll_send_message(left.rawValue, "x", 1, nil, 0) == 1, sent < 100_000 { sent += 1 }
            withExtendedLifetime(right) {}
            return sent
        }
        #expect(try capacity(8 << 20) > 4 * capacity(0))
    }

    @Test func closedPeerIsSeen() throws {
        let (left, right) = try makeChannel()
        try send("last", to: left)
        do {
            let gone = left
            try check(shutdown(gone.rawValue, CInt(SHUT_RDWR)))
        }
        #expect(try Received(from: right).bytes == Array("last".utf8))
        #expect(try Received(from: right).bytes == [])
        #expect(failure { CInt(cepoll_send_message(right.rawValue, "x", 1, nil, 0)) } == .brokenPipe)
    }

    @Test func waitingReceiverSleepsUntilAMessageComes() throws {
        let (left, right) = try makeChannel()
        #expect(fcntl(left.rawValue, F_SETFL, 0) == 0, "cat needs reads that wait")
        let child = try Spawned(["/bin/cat"], descriptors: [left.rawValue, left.rawValue, 2])
        try send("echo me", to: right)
        #expect(try Received(from: right, wait: true).bytes == Array("echo me".utf8))
        try check(shutdown(right.rawValue, CInt(SHUT_RDWR)))
        try child.reap()
    }
}
