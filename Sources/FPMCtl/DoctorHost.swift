import Configuration
import Glibc

/// Answers the configuration's questions about this machine, for `fpmctl doctor`: nothing is opened for writing.
struct DoctorHost: ConfigurationHost {
    /// Knows PHP's constants and settings; nil where the engine is not installed.
    let engine: Engine?

    func readFile(_ path: ByteString) throws(SystemError) -> [UInt8] {
        guard let bytes = fileBytes(path.description) else { throw SystemError(code: errno) }
        return bytes
    }

    func expandPattern(_ pattern: ByteString) -> PatternExpansion {
        var result = glob_t()
        defer { globfree(&result) }
        let code = glob(pattern.description, GLOB_ERR | GLOB_MARK | GLOB_NOSORT, nil, &result)
        if code == GLOB_NOMATCH { return .noMatch }
        guard code == 0, let paths = result.gl_pathv else { return .failed(code: code) }
        let matches = (0..<Int(result.gl_pathc)).compactMap {
            paths[$0].map { ByteString(String(cString: $0)) }
        }
        return .matches(matches.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) })
    }

    func isDirectory(_ path: ByteString) -> Bool { fileKind(path.description) == S_IFDIR }

    func environmentVariable(_ name: ByteString) -> ByteString? {
        environment(name.description).map { ByteString($0) }
    }

    func iniSetting(_ name: ByteString) -> ByteString? { engine?.resolve("i:\(name)").map { ByteString($0) } }

    func constant(_ name: ByteString) -> ByteString? { engine?.resolve("c:\(name)").map { ByteString($0) } }

    func user(named name: ByteString) -> Lookup<UserEntry> { entry(getpwnam(name.description)) }

    func user(withID id: UInt32) -> Lookup<UserEntry> { entry(getpwuid(id)) }

    func group(named name: ByteString) -> Lookup<UInt32> {
        guard let found = getgrnam(name.description) else { return .missing(code: 0) }
        return .found(found.pointee.gr_gid)
    }

    func errorText(_ code: Int32) -> ByteString { ByteString(String(cString: strerror(code))) }

    /// A log is not created here; whether its directory is there is what can be said.
    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError) {
        switch role {
        case .syslog, .journal: return
        case .errorLog, .accessLog, .slowLog: break
        }
        let text = path.description
        let directory = text.split(separator: "/").dropLast().joined(separator: "/")
        if access(text, W_OK) == 0 || access("/" + directory, W_OK) == 0 { return }
        throw SystemError(code: errno)
    }

    private func entry(_ found: UnsafeMutablePointer<passwd>?) -> Lookup<UserEntry> {
        guard let found else { return .missing(code: 0) }
        return .found(
            UserEntry(
                userID: found.pointee.pw_uid,
                groupID: found.pointee.pw_gid,
                name: ByteString(String(cString: found.pointee.pw_name)),
                home: ByteString(String(cString: found.pointee.pw_dir))
            )
        )
    }
}

/// The bytes of a file, at most 16 MiB; nil, and errno, when it cannot be read.
func fileBytes(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count < 16 << 20 {
        let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else { return nil }
        if count == 0 { break }
        bytes += chunk[0..<count]
    }
    return bytes
}

/// The text of a small file without its last newline; nil when it cannot be read.
func fileText(_ path: String) -> String? {
    guard let bytes = fileBytes(path) else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
}

/// The kind of what a path names, `S_IFDIR` and so on; nil when there is nothing.
func fileKind(_ path: String) -> mode_t? {
    var info = stat()
    return stat(path, &info) == 0 ? info.st_mode & S_IFMT : nil
}
