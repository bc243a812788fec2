import CEpoll
import Foundation
import Testing

/// Giving back what is mapped and not needed.
@Suite struct ResidentMemoryTests {
    /// In a process of its own, with one thread that matters: nobody else maps or writes meanwhile.
    @Test func pagesOfFilesGoAndWrittenOnesStay() async {
        await #expect(processExitsWith: .success) {
            let page = Int(sysconf(CInt(_SC_PAGESIZE)))
            let path = "/tmp/fpmd-resident-\(getpid())"
            let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            unlink(path)
            let content = [UInt8](repeating: 7, count: 4 * page)
            guard write(file, content, content.count) == content.count,
                let mapped = mmap(nil, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0),
                mapped != MAP_FAILED
            else { exit(1) }
            let bytes = UnsafeMutableRawBufferPointer(start: mapped, count: 4 * page)
            // Read, written, read, and read: the second page is this process's own from now on.
            bytes[page] = 42
            #expect((0..<4).allSatisfy { bytes[$0 * page + 1] == 7 })
            var memory = cepoll_memory()
            cepoll_open_memory(&memory)
            #expect(memory.maps >= 0 && memory.pagemap >= 0)
            #expect(cepoll_release_memory(&memory) >= 3 * page)
            #expect(
                Self.residentPages(of: mapped, memory, page) == 1,
                "the page that was written stays, the others are gone"
            )
            #expect(bytes[page] == 42 && bytes[0] == 7 && bytes[3 * page] == 7)
            #expect(Self.residentPages(of: mapped, memory, page) > 1)
            #expect(cepoll_release_memory(&memory) > 0, "again with the same descriptors")
            #expect(bytes[page] == 42 && bytes[2 * page] == 7)
            cepoll_close_memory(&memory)
            #expect(cepoll_release_memory(&memory) == 0)
        }
    }

    /// Pages from where and how many are released; those that stay, of four.
    @Test(
        arguments: [
            (0, 4.0, []), (1, 2.0, [0, 3]), (0.5, 3.0, [0, 3]), (0.5, 1.0, [0, 1, 2, 3]),
            (0, 0.0, [0, 1, 2, 3]),
        ] as [(Double, Double, [Int])]
    )
    func onlyWholePagesInsideAreReleased(_ start: Double, _ length: Double, _ left: [Int]) throws {
        let page = Int(sysconf(CInt(_SC_PAGESIZE)))
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * page, alignment: page)
        defer { memory.deallocate() }
        _ = memory.initializeMemory(as: UInt8.self, repeating: 7)
        cepoll_release_pages(
            try #require(memory.baseAddress) + Int(start * Double(page)),
            Int(length * Double(page))
        )
        for index in 0..<4 {
            let content: UInt8 = left.contains(index) ? 7 : 0
            #expect(memory[index * page..<(index + 1) * page].allSatisfy { $0 == content }, "page \(index)")
        }
    }

    /// How many of the four pages at `start` this process has in its tables: bit 63 of its pagemap.
    private static func residentPages(of start: UnsafeMutableRawPointer, _ memory: cepoll_memory, _ page: Int)
        -> Int
    {
        var entries = [UInt64](repeating: 0, count: 4)
        let length = entries.withUnsafeMutableBytes {
            pread(memory.pagemap, $0.baseAddress, $0.count, off_t(Int(bitPattern: start) / page * 8))
        }
        return length == 32 ? entries.count { $0 >> 63 == 1 } : -1
    }
}
