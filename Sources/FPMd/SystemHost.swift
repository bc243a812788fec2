internal import CEpoll
internal import CSystemd
internal import Configuration
internal import Glibc
internal import Logging
internal import Master
internal import Syscalls

/// Answers the configuration's questions about this machine.
///
/// PHP constants and php.ini settings are the engine's to know: it is asked (once for each name) only if a
/// configuration uses one.
final class SystemHost: ConfigurationHost {
    private let engine: EngineQuery
    private let log: Log
    private let opensLogs: Bool
    private var answers: [ByteString: ByteString?] = [:]

    /// Answers for a start or a reload.
    ///
    /// - Parameters:
    ///   - engine: Knows PHP's constants and settings.
    ///   - log: Where opened logs go.
    ///   - opensLogs: Whether logs are opened where the evaluation reaches them, and used; a reload only
    ///   checks that they can be.
    init(engine: EngineQuery, log: Log, opensLogs: Bool) {
        self.engine = engine
        self.log = log
        self.opensLogs = opensLogs
    }

    func readFile(_ path: ByteString) throws(SystemError) -> [UInt8] {
        let descriptor = open(path.description, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError(code: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError(code: errno) }
            if count == 0 { return bytes }
            bytes += chunk[0..<count]
        }
    }

    func expandPattern(_ pattern: ByteString) -> PatternExpansion {
        var result = glob_t()
        defer { globfree(&result) }
        let code = glob(pattern.description, GLOB_ERR | GLOB_MARK | GLOB_NOSORT, nil, &result)
        if code == GLOB_NOMATCH { return .noMatch }
        guard code == 0, let paths = result.gl_pathv else { return .failed(code: code) }
        var matches: [ByteString] = []
        for index in 0..<Int(result.gl_pathc) {
            guard let path = paths[index] else { continue }
            matches.append(ByteString(UnsafeRawBufferPointer(start: path, count: strlen(path))))
        }
        return .matches(matches.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) })
    }

    func isDirectory(_ path: ByteString) -> Bool {
        var info = stat()
        return stat(path.description, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
    }

    func environmentVariable(_ name: ByteString) -> ByteString? {
        getenv(name.description).map { ByteString(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
    }

    func iniSetting(_ name: ByteString) -> ByteString? { ask("i:" + name) }

    func constant(_ name: ByteString) -> ByteString? { ask("c:" + name) }

    private func ask(_ question: ByteString) -> ByteString? {
        if let known = answers[question] { return known }
        let answer = engine.resolve(question)
        answers[question] = answer
        return answer
    }

    func user(named name: ByteString) -> Lookup<UserEntry> {
        errno = 0
        guard let entry = getpwnam(name.description) else { return .missing(code: errno) }
        return .found(Self.entry(entry.pointee))
    }

    func user(withID id: UInt32) -> Lookup<UserEntry> {
        errno = 0
        guard let entry = getpwuid(id) else { return .missing(code: errno) }
        return .found(Self.entry(entry.pointee))
    }

    func group(named name: ByteString) -> Lookup<UInt32> {
        errno = 0
        guard let entry = getgrnam(name.description) else { return .missing(code: errno) }
        return .found(entry.pointee.gr_gid)
    }

    private static func entry(_ entry: passwd) -> UserEntry {
        func text(_ pointer: UnsafeMutablePointer<CChar>?) -> ByteString {
            pointer.map { ByteString(UnsafeRawBufferPointer(start: $0, count: strlen($0))) } ?? ByteString()
        }
        return UserEntry(
            userID: entry.pw_uid,
            groupID: entry.pw_gid,
            name: text(entry.pw_name),
            home: text(entry.pw_dir)
        )
    }

    func errorText(_ code: Int32) -> ByteString {
        ByteString(strerror(code).map { String(cString: $0) } ?? "")
    }

    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError) {
        if case .journal = role {
            // Without journald nothing would ever be logged: better said now.
            let descriptor = csystemd_connect(Log.journalPath)
            guard descriptor >= 0 else { throw SystemError(code: errno) }
            close(descriptor)
            return
        }
        let descriptor = cepoll_open_append(path.description)
        guard descriptor >= 0 else { throw SystemError(code: errno) }
        if opensLogs, case .errorLog = role {
            log.use(.file(path: path, descriptor: SharedDescriptor(adopting: descriptor)))
        } else {
            close(descriptor)
        }
    }
}
