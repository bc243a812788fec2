internal import CScoreboard
internal import Configuration
internal import Logging
internal import Syscalls

/// What a worker says that it does, fit for the log: it is the client's and the worker's text.
struct RequestText {
    let script: ByteString
    /// `METHOD URI?QUERY`.
    let request: ByteString
    private let method: ByteString
    private let uri: ByteString

    /// Of a copy of a slot.
    init(_ slot: UnsafeMutablePointer<cscoreboard_slot>) {
        script = printable(cscoreboard_script(slot))
        let query = printable(cscoreboard_query(slot))
        method = printable(cscoreboard_method(slot))
        uri = "\(printable(cscoreboard_uri(slot)))\(query.isEmpty ? "" : "?")\(query)"
        request = "\(method) \(uri)"
    }

    /// Of a slot whose worker may be writing it.
    init(of slot: UnsafeMutablePointer<cscoreboard_slot>) {
        var copy = cscoreboard_slot()
        _ = cscoreboard_copy(slot, &copy)
        self.init(&copy)
    }

    /// For lines about the worker that does it.
    func context(pool: ByteString, worker: ProcessID) -> LogContext {
        var context = LogContext.pool(pool, worker: "\(worker)")
        context.add(.method, method)
        context.add(.uri, uri)
        context.add(.script, script)
        return context
    }
}

/// The text with anything that is not printable ASCII as a dot.
func printable(_ text: UnsafePointer<CChar>) -> ByteString {
    var bytes: [UInt8] = []
    var position = 0
    while text[position] != 0 {
        let byte = UInt8(bitPattern: text[position])
        bytes.append((0x20...0x7e).contains(byte) ? byte : UInt8(ascii: "."))
        position += 1
    }
    return ByteString(bytes)
}
