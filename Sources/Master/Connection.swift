internal import CEpoll
internal import Configuration

/// A client's connection in the master.
///
/// Whoever shares the open file could make close(2) wait (SO_LINGER): the master never does.
final class Connection {
    let rawValue: CInt

    init(adopting rawValue: CInt) { self.rawValue = rawValue }

    deinit { cepoll_close_connection(rawValue) }
}

/// The text of a peer's address, `-` for one that has none.
func addressText(_ address: cepoll_address) -> ByteString {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
        guard let base = buffer.baseAddress else { return "-" }
        var copy = address
        let length = cepoll_address_text(&copy, base, buffer.count)
        return length > 0 ? ByteString(UnsafeRawBufferPointer(start: base, count: Int(length))) : "-"
    }
}
