internal import CEpoll
internal import CPHP
internal import Glibc
internal import Syscalls

/// Whether this process has more memory of its own than `pm.max_memory` allows: what the kernel would get back if it ended.
///
/// Looked at after each request, so it must be cheap: the resident anonymous pages (one read of `/proc/self/statm`) are at
/// least as many as the private ones, and only when they are too many are the private ones counted
/// (`/proc/self/smaps_rollup`, which walks all page tables); again when they have grown by a sixteenth of the limit.
/// Without `/proc` (in a chroot) what PHP and the C library have allocated is taken instead.
final class PrivateMemory {
    private let limit: Int
    private let pages: SharedDescriptor?
    private let summary: SharedDescriptor?
    private var nextCount = 0

    /// Nil without a limit.
    init?(limit: Int) {
        guard limit > 0 else { return nil }
        self.limit = limit
        pages = Self.open("/proc/self/statm")
        summary = Self.open("/proc/self/smaps_rollup")
    }

    private static func open(_ path: String) -> SharedDescriptor? {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        return descriptor < 0 ? nil : SharedDescriptor(adopting: descriptor)
    }

    /// Whether there is too much.
    func isExceeded() -> Bool {
        guard let pages, let summary else { return Int(clamping: fpmd_php_allocated()) > limit }
        let anonymous = Self.read(pages) { Self.anonymousBytes($0, pageSize: Int(getpagesize())) }
        guard anonymous > limit, anonymous >= nextCount else { return false }
        nextCount = anonymous + limit / 16
        return Self.read(summary) { Self.privateBytes($0) } > limit
    }

    private static func read(_ file: SharedDescriptor, _ parse: (UnsafeRawBufferPointer) -> Int?) -> Int {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            let count = pread(file.rawValue, buffer.baseAddress, buffer.count, 0)
            guard count > 0 else { return 0 }
            return parse(UnsafeRawBufferPointer(rebasing: buffer[0..<count])) ?? 0
        }
    }

    /// Resident pages less those of files and shared memory: the second and third number of `statm`.
    static func anonymousBytes(_ text: UnsafeRawBufferPointer, pageSize: Int) -> Int? {
        let numbers = text.split(separator: UInt8(ascii: " "), maxSplits: 3).prefix(3).map { number($0) }
        guard numbers.count == 3, let resident = numbers[1], let shared = numbers[2] else { return nil }
        return max(0, resident - shared) * pageSize
    }

    /// The sum of the lines `Private_…: N kB` of `smaps_rollup`.
    static func privateBytes(_ text: UnsafeRawBufferPointer) -> Int? {
        var sum = 0
        for line in text.split(separator: UInt8(ascii: "\n")) where line.starts(with: "Private_".utf8) {
            let words = line.split(separator: UInt8(ascii: " "))
            guard words.count == 3, let kilobytes = number(words[1]) else { return nil }
            sum += kilobytes << 10
        }
        return sum
    }

    private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> Int? {
        Int(String(decoding: digits, as: UTF8.self))
    }
}

@available(*, unavailable)
extension PrivateMemory: Sendable {}
