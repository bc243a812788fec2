import CEpoll
import Foundation
import Syscalls
import SystemPackage
import Testing

/// Memory that a hostile holder cannot take away.
@Suite struct SharedMemoryTests {
    @Test func startsZeroedAndIsShared() throws {
        let mine = try SharedMemory(name: "test", size: 8192)
        #expect(mine.size == 8192)
        withExtendedLifetime(mine) {
            #expect(UnsafeRawBufferPointer(start: mine.base, count: 8192).allSatisfy { $0 == 0 })
        }
        let theirs = try SharedMemory(mapping: mine.descriptor, size: 8192)
        #expect(theirs.base != mine.base)
        withExtendedLifetime((mine, theirs)) {
            mine.base.storeBytes(of: 0xfeed, toByteOffset: 8184, as: UInt64.self)
            #expect(theirs.base.load(fromByteOffset: 8184, as: UInt64.self) == 0xfeed)
        }
    }

    @Test func sizeIsSealed() throws {
        let memory = try SharedMemory(name: "test", size: 8192)
        let number = memory.descriptor.rawValue
        for size in [0, 4096, 16384] {
            #expect(failure { ftruncate(number, off_t(size)) } == .notPermitted)
        }
        var status = stat()
        #expect(fstat(number, &status) == 0)
        #expect(status.st_size == 8192)
        // F_ADD_SEALS, F_SEAL_WRITE: the seals themselves are sealed.
        #expect(failure { fcntl(number, 1033, 8) } == .notPermitted)
        // F_GET_SEALS: SEAL, SHRINK, GROW.
        #expect(fcntl(number, 1034) == 1 | 2 | 4)
        #expect(fcntl(number, F_GETFD) & FD_CLOEXEC != 0)
    }

    @Test func memoryOutlivesTheCreatorsMapping() throws {
        var creator: SharedMemory? = try SharedMemory(name: "test", size: 4096)
        let descriptor = try #require(creator?.descriptor)
        creator?.base.storeBytes(of: 42, as: UInt8.self)
        creator = nil
        let other = try SharedMemory(mapping: descriptor, size: 4096)
        #expect(withExtendedLifetime(other) { other.base.load(as: UInt8.self) } == 42)
    }

    @Test func nothingToMapIsAnError() {
        #expect(throws: Errno.invalidArgument) { _ = try SharedMemory(name: "test", size: 0) }
        #expect(throws: Errno.self) {
            let null = SharedDescriptor(adopting: open("/dev/null", O_RDWR | O_CLOEXEC))
            _ = try SharedMemory(mapping: null, size: 4096)
        }
    }
}
