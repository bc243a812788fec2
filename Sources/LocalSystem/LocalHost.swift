public import Configuration
internal import Glibc

/// A configuration's questions that every program answers in the same way: files, environment and users of this machine.
///
/// Who conforms adds what differs: PHP's settings and constants, and what becomes of logs.
public protocol LocalHost: ConfigurationHost {}

extension LocalHost {
    /// Reads a whole file.
    ///
    /// - Throws: `SystemError` with the errno of `open(2)` or `read(2)`.
    public func readFile(_ path: ByteString) throws(SystemError) -> [UInt8] {
        try contents(of: path)
    }

    /// Expands a pattern, sorted by bytes and not by the locale.
    public func expandPattern(_ pattern: ByteString) -> PatternExpansion {
        var result = glob_t()
        defer { globfree(&result) }
        let code = glob(pattern.cString, GLOB_ERR | GLOB_MARK | GLOB_NOSORT, nil, &result)
        if code == GLOB_NOMATCH { return .noMatch }
        guard code == 0, let paths = result.gl_pathv else { return .failed(code: code) }
        let matches = (0..<Int(result.gl_pathc)).compactMap { paths[$0].map(byteString) }
        return .matches(matches.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) })
    }

    /// Whether a directory is there.
    public func isDirectory(_ path: ByteString) -> Bool {
        var info = stat()
        return stat(path.cString, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
    }

    /// A variable of this process.
    public func environmentVariable(_ name: ByteString) -> ByteString? {
        getenv(name.cString).map(byteString)
    }

    /// A user of that name.
    public func user(named name: ByteString) -> Lookup<UserEntry> {
        errno = 0
        return entry(getpwnam(name.cString))
    }

    /// A user of that number.
    public func user(withID id: UInt32) -> Lookup<UserEntry> {
        errno = 0
        return entry(getpwuid(id))
    }

    /// A group of that name.
    public func group(named name: ByteString) -> Lookup<UInt32> {
        errno = 0
        guard let entry = getgrnam(name.cString) else { return .missing(code: errno) }
        return .found(entry.pointee.gr_gid)
    }

    /// The C library's words for an errno.
    public func errorText(_ code: Int32) -> ByteString { strerror(code).map(byteString) ?? ByteString() }
}

/// Reads a whole file, or its first bytes if it is longer than about `limit`.
///
/// - Throws: `SystemError` with the errno of `open(2)` or `read(2)`.
public func contents(of path: ByteString, atMost limit: Int = .max) throws(SystemError) -> [UInt8] {
    let descriptor = open(path.cString, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw SystemError(code: errno) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count < limit {
        let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else { throw SystemError(code: errno) }
        if count == 0 { break }
        bytes += chunk[0..<count]
    }
    return bytes
}

private func entry(_ found: UnsafeMutablePointer<passwd>?) -> Lookup<UserEntry> {
    guard let found else { return .missing(code: errno) }
    return .found(
        UserEntry(
            userID: found.pointee.pw_uid,
            groupID: found.pointee.pw_gid,
            name: found.pointee.pw_name.map(byteString) ?? ByteString(),
            home: found.pointee.pw_dir.map(byteString) ?? ByteString()
        )
    )
}

private func byteString(_ text: UnsafeMutablePointer<CChar>) -> ByteString {
    ByteString(UnsafeRawBufferPointer(start: text, count: strlen(text)))
}
