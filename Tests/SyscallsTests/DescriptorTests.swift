import CEpoll
import Foundation
import Syscalls
import SystemPackage
import Testing

/// Who closes what.
@Suite struct DescriptorTests {
    @Test func ownerCloses() throws {
        let (readEnd, numbers) = try openPipe()
        do {
            let owner = OwnedDescriptor(adopting: numbers)
            #expect(owner.rawValue == numbers)
            #expect(!isAtEnd(readEnd))
        }
        #expect(reachesEnd(readEnd))
    }

    /// A container's standard error is often a socket, which open(2) refuses with ENXIO.
    @Test(arguments: ["/proc/self/fd/", "/dev/fd/"])
    func ownSocketIsALogToo(_ directory: String) throws {
        var pair: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0)
        defer { pair.forEach { close($0) } }
        let log = cepoll_open_append("\(directory)\(pair[0])")
        try #require(log >= 0)
        defer { close(log) }
        #expect(log != pair[0])
        #expect(fcntl(log, F_GETFD) & FD_CLOEXEC != 0)
        #expect(write(log, "line\n", 5) == 5)
        var bytes = [UInt8](repeating: 0, count: 16)
        #expect(read(pair[1], &bytes, bytes.count) == 5)
        for name in ["\(pair[0])x", "", "99999", "../../etc/passwd/x"] {
            #expect(cepoll_open_append(directory + name) == -1)
        }
    }

    @Test func sharedDescriptorIsClosedByTheLastHolder() throws {
        let (readEnd, number) = try openPipe()
        var first: SharedDescriptor? = SharedDescriptor(adopting: number)
        var second = first
        first = nil
        #expect(!isAtEnd(readEnd))
        #expect(second != nil)
        second = nil
        #expect(reachesEnd(readEnd))
        #expect(first == nil && second == nil)
    }

    @Test func closingTwiceTraps() async {
        await #expect(processExitsWith: .failure) {
            let number = open("/dev/null", O_RDONLY)
            closeDescriptor(number)
            closeDescriptor(number)
            exit(0)
        }
    }

    @Test func negativeNumbersTrap() async {
        await #expect(processExitsWith: .failure) {
            _ = OwnedDescriptor(adopting: -1)
            exit(0)
        }
        await #expect(processExitsWith: .failure) {
            _ = SharedDescriptor(adopting: -1)
            exit(0)
        }
    }

    private func openPipe() throws -> (SharedDescriptor, CInt) {
        var ends: [CInt] = [-1, -1]
        try check(cepoll_blocking_pipe(&ends))
        return (SharedDescriptor(adopting: ends[0]), ends[1])
    }
}

/// What system calls that are repeated, or move bytes, come to.
@Suite struct TransferTests {
    @Test func interruptedCallsAreRepeated() throws {
        var calls = 0
        let value: CInt = try retryingOnInterrupt {
            calls += 1
            errno = EINTR
            return calls < 4 ? -1 : 17
        }
        #expect(value == 17)
        #expect(calls == 4)
    }

    @Test func otherErrorsAreThrownAtOnce() {
        var calls = 0
        #expect(throws: Errno.noSuchFileOrDirectory) {
            _ = try retryingOnInterrupt { () -> CInt in
                calls += 1
                errno = ENOENT
                return -1
            }
        }
        #expect(calls == 1)
    }

    @Test func ourOwnBugsTrap() async {
        await #expect(processExitsWith: .failure) {
            _ = try retryingOnInterrupt { () -> CInt in
                errno = EBADF
                return -1
            }
            exit(0)
        }
    }

    @Test func errorsAreDescribedAsInPHPFPMsLines() {
        #expect(describe(.addressInUse) == "Address already in use (98)")
        #expect(describe(Errno(rawValue: 9999)) == "Unknown error 9999 (9999)")
    }

    @Test func readTellsBytesNothingAndEnd() throws {
        var ends: [CInt] = [-1, -1]
        try check(cepoll_pipe(&ends))
        let readEnd = SharedDescriptor(adopting: ends[0])
        var writeEnd: SharedDescriptor? = SharedDescriptor(adopting: ends[1])
        var buffer = [UInt8](repeating: 0, count: 4)
        func readOnce() throws -> Transfer {
            try buffer.withUnsafeMutableBytes { try read(readEnd.rawValue, into: $0) }
        }
        #expect(try readOnce() == .wouldBlock)
        #expect(write(ends[1], "abcdef", 6) == 6)
        #expect(try readOnce() == .bytes(4))
        #expect(buffer == Array("abcd".utf8))
        #expect(try readOnce() == .bytes(2))
        #expect(try readOnce() == .wouldBlock)
        #expect(writeEnd != nil)
        writeEnd = nil
        #expect(
            try read(readEnd.rawValue, into: UnsafeMutableRawBufferPointer(start: nil, count: 0)) == .bytes(0)
        )
        #expect(reachesEnd(readEnd))
        #expect(try readOnce() == .endOfStream)
    }

    @Test func receiveNeverBlocks() throws {
        let (left, right) = try makeStream()
        var buffer = [UInt8](repeating: 0, count: 8)
        func receiveOnce() throws -> Transfer {
            try buffer.withUnsafeMutableBytes { try receive(left.rawValue, into: $0) }
        }
        #expect(try receiveOnce() == .wouldBlock)
        #expect(
            try "hello".utf8CString.withUnsafeBytes {
                try send(right.rawValue, UnsafeRawBufferPointer(rebasing: $0[..<5]))
            } == .bytes(5)
        )
        #expect(try peek(left.rawValue) == .bytes(1))
        #expect(try receiveOnce() == .bytes(5))
        #expect(try receiveOnce() == .wouldBlock)
        #expect(try peek(left.rawValue) == .wouldBlock)
        shutdown(right.rawValue, Int32(SHUT_WR))
        #expect(try peek(left.rawValue) == .endOfStream)
        #expect(try receiveOnce() == .endOfStream)
    }

    @Test func sendFillsTheSocketAndStops() throws {
        let (left, right) = try makeStream()
        let bytes = [UInt8](repeating: 7, count: 64 << 10)
        var sent = 0
        var last = Transfer.bytes(0)
        while case .bytes(let count) = last {
            sent += count
            try #require(sent < 64 << 20)
            last = try bytes.withUnsafeBytes { try send(left.rawValue, $0) }
        }
        #expect(last == .wouldBlock)
        #expect(sent > 0)
        #expect(events(of: right.rawValue) & CEPOLL_IN != 0)
    }

    /// The default action of SIGPIPE would end the process.
    @Test func sendToAClosedPeerIsAnErrorAndNoSignal() async {
        await #expect(processExitsWith: .success) {
            signal(SIGPIPE, SIG_DFL)
            var ends: [CInt] = [-1, -1]
            _ = socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends)
            close(ends[1])
            #expect(throws: Errno.brokenPipe) {
                _ = try [UInt8]("x".utf8).withUnsafeBytes { try send(ends[0], $0) }
            }
        }
    }
}
