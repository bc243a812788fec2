internal import CEpoll
internal import Glibc
internal import Syscalls

/// What the kernel says a process of ours has used: `/proc/PID/stat` and `statm`, neither of which waits for the process.
struct ProcessFigures {
    /// Milliseconds of processor time, user and system.
    var processorTime: Int64 = 0
    /// Bytes of memory in use, shared pages included.
    var resident: Int64 = 0

    /// Nil when the process is gone.
    init?(_ process: ProcessID) {
        guard let stat = Self.read("/proc/\(process)/stat"), let memory = Self.read("/proc/\(process)/statm"),
            // The name may hold anything: fields are counted after its closing parenthesis.
            let end = stat.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        let fields = stat[(end + 1)...].split(separator: UInt8(ascii: " "))
        let pages = memory.split(separator: UInt8(ascii: " "))
        guard fields.count > 12, pages.count > 1, let user = Self.number(fields[11]),
            let system = Self.number(fields[12]), let resident = Self.number(pages[1])
        else { return nil }
        processorTime = (user + system) * 1000 / max(1, cepoll_ticks_per_second())
        self.resident = resident * Int64(sysconf(CInt(_SC_PAGESIZE)))
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int64? {
        Int64(String(decoding: digits, as: UTF8.self))
    }

    private static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { closeDescriptor(descriptor) }
        return withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { buffer in
            guard case .bytes(let count)? = try? Syscalls.read(descriptor, into: buffer) else { return nil }
            return Array(UnsafeRawBufferPointer(rebasing: buffer[0..<count]))
        }
    }
}
