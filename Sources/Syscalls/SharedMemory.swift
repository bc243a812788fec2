internal import CEpoll
internal import Glibc
public import SystemPackage

/// Memory shared between processes through a sealed, fixed-size anonymous file.
///
/// The seals keep any process that holds the descriptor from shrinking it, which would fault the others.
public final class SharedMemory {
    /// The first byte; valid as long as this object lives.
    public let base: UnsafeMutableRawPointer
    /// Bytes.
    public let size: Int
    /// The file, for handing it to another process; nil after mapping somebody else's.
    public let descriptor: SharedDescriptor

    /// Creates `size` zeroed bytes (rounded up to a page by the kernel).
    public convenience init(name: String, size: Int) throws(Errno) {
        let file = SharedDescriptor(adopting: try retryingOnInterrupt { cepoll_sealed_memory(name, size) })
        try self.init(mapping: file, size: size)
    }

    /// Maps a file made by another process; `size` must not exceed it.
    public init(mapping descriptor: SharedDescriptor, size: Int) throws(Errno) {
        guard let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.rawValue, 0),
            address != MAP_FAILED
        else { throw currentErrno }
        self.base = address
        self.size = size
        self.descriptor = descriptor
    }

    deinit { munmap(base, size) }
}

@available(*, unavailable)
extension SharedMemory: Sendable {}
