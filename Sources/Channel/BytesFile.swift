internal import CEpoll
internal import Glibc
public import Syscalls
public import SystemPackage

/// Bytes of a request that are too many for a message: in a sealed memory file, whose descriptor goes with it.
public enum BytesFile {
    /// Puts bytes into a new file that nobody can change any more.
    ///
    /// - Throws: `Errno` of memfd_create(2), write(2) or fcntl(2): no memory, or no descriptor.
    public static func make(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> SharedDescriptor {
        let file = SharedDescriptor(
            adopting: try retryingOnInterrupt { cepoll_sealable_memory("fpmd-request") }
        )
        var position = 0
        while position < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
            position += try retryingOnInterrupt { write(file.rawValue, rest.baseAddress, rest.count) }
        }
        if cepoll_seal(file.rawValue) != 0 { throw currentErrno }
        return file
    }

    /// How many bytes are in a file; nil if it is no sealed memory file, which reading might wait for.
    public static func size(_ file: CInt) -> Int? {
        let size = cepoll_sealed_size(file)
        return size >= 0 ? Int(size) : nil
    }

    /// Copies a file's bytes from its start to the end of `target`; false if there are fewer.
    public static func read(_ file: CInt, into target: UnsafeMutableRawBufferPointer) -> Bool {
        var position = 0
        while position < target.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: target[position...])
            let count = pread(file, rest.baseAddress, rest.count, off_t(position))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            position += count
        }
        return true
    }
}
