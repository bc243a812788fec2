import CEpoll
import Channel
import Foundation
import Syscalls
import Testing

/// Bytes that are too many for a message.
@Suite struct BytesFileTests {
    private func read(_ file: CInt, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        return bytes.withUnsafeMutableBytes { BytesFile.read(file, into: $0) } ? bytes : nil
    }

    @Test func areReadBack() throws {
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let file = try bytes.withUnsafeBytes { try BytesFile.make($0) }
        #expect(BytesFile.size(file.rawValue) == bytes.count)
        #expect(read(file.rawValue, bytes.count) == bytes)
        #expect(read(file.rawValue, 10) == Array(bytes.prefix(10)))
        #expect(read(file.rawValue, bytes.count + 1) == nil)
        #expect(BytesFile.contents(of: file.rawValue, atMost: bytes.count) == bytes)
        #expect(BytesFile.contents(of: file.rawValue, atMost: bytes.count - 1) == nil)
    }

    /// Whoever made the file cannot change it any more; what could be changed is not taken.
    @Test func areSealed() throws {
        let file = try [UInt8](repeating: 1, count: 10).withUnsafeBytes { try BytesFile.make($0) }
        #expect(write(file.rawValue, [2], 1) == -1)
        #expect(ftruncate(file.rawValue, 0) == -1)
        let open = SharedDescriptor(adopting: cepoll_sealable_memory("test"))
        #expect(BytesFile.size(open.rawValue) == nil)
        #expect(BytesFile.size(STDIN_FILENO) == nil)
    }
}
