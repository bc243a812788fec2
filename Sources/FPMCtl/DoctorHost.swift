import Configuration
import Glibc
import LocalSystem

/// Answers the configuration's questions about this machine, for `fpmctl doctor`: nothing is opened for writing.
struct DoctorHost: LocalHost {
    /// Knows PHP's constants and settings; nil where the engine is not installed.
    let engine: Engine?

    func iniSetting(_ name: ByteString) -> ByteString? { engine?.resolve("i:\(name)").map { ByteString($0) } }

    func constant(_ name: ByteString) -> ByteString? { engine?.resolve("c:\(name)").map { ByteString($0) } }

    /// A log is not created here; whether its directory is there is what can be said.
    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError) {
        switch role {
        case .syslog, .journal: return
        case .errorLog, .accessLog, .slowLog: break
        }
        let directory = path.bytes.split(separator: UInt8(ascii: "/")).dropLast()
            .joined(separator: [UInt8(ascii: "/")])
        if access(path.cString, W_OK) == 0 || access(("/" + ByteString(directory)).cString, W_OK) == 0 {
            return
        }
        throw SystemError(code: errno)
    }
}
