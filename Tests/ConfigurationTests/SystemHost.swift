import Configuration
import Foundation

/// Answers from the real machine, as the daemon's own host does, with PHP's constants as a fixed list.
struct SystemHost: ConfigurationHost {
    /// Variables besides the process's own.
    var environment: [ByteString: ByteString] = [:]
    /// Settings as `-d` would define them.
    var settings: [ByteString: ByteString] = [:]

    func readFile(_ path: ByteString) throws(SystemError) -> [UInt8] {
        let descriptor = open(path.description, O_RDONLY)
        guard descriptor >= 0 else { throw SystemError(code: errno) }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            // php-fpm takes a failing read, as of a directory, for the end of the file.
            guard count > 0 else { return content }
            content += buffer.prefix(count)
        }
    }

    func expandPattern(_ pattern: ByteString) -> PatternExpansion {
        var result = glob_t()
        defer { globfree(&result) }
        let code = glob(pattern.description, GLOB_ERR | GLOB_MARK, nil, &result)
        guard code != GLOB_NOMATCH else { return .noMatch }
        guard code == 0 else { return .failed(code: code) }
        return .matches(
            (0..<Int(result.gl_pathc)).compactMap { index in
                result.gl_pathv[index].map { ByteString(String(cString: $0)) }
            }
        )
    }

    func isDirectory(_ path: ByteString) -> Bool {
        var status = stat()
        return stat(path.description, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    func environmentVariable(_ name: ByteString) -> ByteString? {
        environment[name] ?? getenv(name.description).map { ByteString(String(cString: $0)) }
    }

    func iniSetting(_ name: ByteString) -> ByteString? { settings[name] }

    func constant(_ name: ByteString) -> ByteString? {
        PHPConstants.value(of: name) ?? (name == "M_PI" ? "3.1415926535898" : nil)
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

    func errorText(_ code: Int32) -> ByteString { ByteString(String(cString: strerror(code))) }

    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError) {
        if case .syslog = role { return }
        let descriptor = open(path.description, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemError(code: errno) }
        close(descriptor)
    }

    private static func entry(_ entry: passwd) -> UserEntry {
        UserEntry(
            userID: entry.pw_uid,
            groupID: entry.pw_gid,
            name: ByteString(String(cString: entry.pw_name)),
            home: ByteString(String(cString: entry.pw_dir))
        )
    }
}
