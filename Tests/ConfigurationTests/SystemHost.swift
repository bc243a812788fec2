import Configuration
import Foundation
import LocalSystem

/// Answers from the real machine, as the daemon's own host does, with PHP's constants as a fixed list.
struct SystemHost: LocalHost {
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

    func environmentVariable(_ name: ByteString) -> ByteString? {
        environment[name] ?? getenv(name.description).map { ByteString(String(cString: $0)) }
    }

    func iniSetting(_ name: ByteString) -> ByteString? { settings[name] }

    func constant(_ name: ByteString) -> ByteString? {
        PHPConstants.value(of: name) ?? (name == "M_PI" ? "3.1415926535898" : nil)
    }

    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError) {
        if case .syslog = role { return }
        let descriptor = open(path.description, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemError(code: errno) }
        close(descriptor)
    }
}
