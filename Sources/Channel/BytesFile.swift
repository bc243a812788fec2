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
        let file = try makeEmpty()
        var position = 0
        while position < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
            position += try retryingOnInterrupt { write(file.rawValue, rest.baseAddress, rest.count) }
        }
        try seal(file)
        return file
    }

    /// Makes a file to be written, and sealed then.
    ///
    /// - Throws: `Errno` of memfd_create(2): no memory, or no descriptor.
    public static func makeEmpty() throws(Errno) -> SharedDescriptor {
        SharedDescriptor(adopting: try retryingOnInterrupt { cepoll_sealable_memory("fpmd-request") })
    }

    /// From now on nobody can change the file.
    ///
    /// - Throws: `Errno` of fcntl(2).
    public static func seal(_ file: SharedDescriptor) throws(Errno) {
        if cepoll_seal(file.rawValue) != 0 { throw currentErrno }
    }

    /// How many bytes are in a file; nil if it is no sealed memory file, which reading might wait for.
    public static func size(_ file: CInt) -> Int? {
        let size = cepoll_sealed_size(file)
        return size >= 0 ? Int(size) : nil
    }

    /// What is in a file; nil if it is no sealed memory file, or has more bytes than `most`.
    public static func contents(of file: CInt, atMost most: Int) -> [UInt8]? {
        guard let size = size(file), size <= most else { return nil }
        var isComplete = false
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { target, count in
            isComplete = read(file, into: UnsafeMutableRawBufferPointer(target))
            count = isComplete ? size : 0
        }
        return isComplete ? bytes : nil
    }

    /// Copies a file's bytes from `start` to the end of `target`; false if there are fewer.
    public static func read(
        _ file: CInt,
        into target: UnsafeMutableRawBufferPointer,
        from start: Int = 0
    ) -> Bool {
        var position = 0
        while position < target.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: target[position...])
            let count = pread(file, rest.baseAddress, rest.count, off_t(start + position))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            position += count
        }
        return true
    }
}
