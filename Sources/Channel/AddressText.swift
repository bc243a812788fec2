public import CEpoll
public import Configuration

/// The text of an address, as inet_ntop(3) makes it; `-` for a peer that has none.
public func addressText(_ address: cepoll_address) -> ByteString {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
        guard let base = buffer.baseAddress else { return "-" }
        var copy = address
        let length = cepoll_address_text(&copy, base, buffer.count)
        return length > 0 ? ByteString(UnsafeRawBufferPointer(start: base, count: Int(length))) : "-"
    }
}
