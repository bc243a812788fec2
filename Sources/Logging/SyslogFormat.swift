internal import Configuration
internal import Glibc
internal import Syscalls

/// Lines in the form of syslog's local socket: `<PRIORITY>Nov 22 11:44:40 ident[pid]: [LEVEL] text`.
///
/// Written here and not by syslog(3), which waits when the socket's other end does not read.
struct SyslogFormat {
    let ident: ByteString
    /// `LOG_DAEMON` and the like, shifted as syslog(3) has them.
    let facility: Int

    /// One datagram.
    func datagram(_ severity: LogLevel, _ message: ByteString) -> [UInt8] {
        let time = formatLocalTime("%b %e %H:%M:%S", wallClockSeconds())
        let line: ByteString =
            "<\(facility | priority(severity))>\(time) \(ident)[\(getpid())]: [\(severity.name)] \(message)"
        return line.bytes
    }

    private func priority(_ severity: LogLevel) -> Int {
        switch severity {
        case .debug: Int(LOG_DEBUG)
        case .notice: Int(LOG_NOTICE)
        case .warning: Int(LOG_WARNING)
        case .error: Int(LOG_ERR)
        case .alert: Int(LOG_ALERT)
        }
    }

    /// Level and text of a line that was made for a file: `[time] LEVEL: text`; any other is a warning, as worker
    /// output is.
    static func parse(_ line: [UInt8]) -> (LogLevel, ByteString) {
        var text = line[...]
        if text.last == UInt8(ascii: "\n") { text.removeLast() }
        let whole = text
        if text.first == UInt8(ascii: "["), let end = text.firstIndex(of: UInt8(ascii: "]")) {
            text = text[(end + 1)...].drop { $0 == UInt8(ascii: " ") }
        }
        for level in LogLevel.allCases where text.starts(with: Array("\(level.name): ".utf8)) {
            return (level, ByteString(text.dropFirst(level.name.utf8.count + 2)))
        }
        return (.warning, ByteString(whole))
    }
}
