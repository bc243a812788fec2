/// Answers GET_VALUES, a web server's question about capabilities.
public enum GetValues {
    /// Longest answer, in bytes.
    public static let maximumResult = 32

    /// Writes the GET_VALUES_RESULT record for the content of a GET_VALUES record.
    ///
    /// Only `FCGI_MPXS_CONNS` is known, as in php-fpm, and its answer is `0`: one request at a time per
    /// connection. Other names are left out, so that the answer may have no content.
    ///
    /// - Parameters:
    ///   - content: Content of the GET_VALUES record.
    ///   - buffer: At least ``maximumResult`` bytes.
    /// - Returns: Length of the record in bytes.
    /// - Throws: ``ProtocolViolation/truncatedPair`` when a pair goes beyond the content.
    public static func writeResult(
        for content: Span<UInt8>,
        in buffer: UnsafeMutableRawBufferPointer
    ) throws(ProtocolViolation) -> Int {
        precondition(buffer.count >= maximumResult)
        var isAsked = false
        var position = 0
        while position < content.count {
            let pair = PairLayout(content, at: position)
            guard pair.missing == 0 else { throw .truncatedPair }
            let name = position + pair.headerLength
            if content.extracting(name..<(name + pair.nameLength)).holds("FCGI_MPXS_CONNS") { isAsked = true }
            position = name + pair.nameLength + pair.valueLength
        }
        guard isAsked else {
            unsafe RecordHeader(.getValuesResult, requestID: 0, contentLength: 0).store(in: buffer, at: 0)
            return RecordLimit.headerLength
        }
        // One name of 15 bytes, one value of one byte, their lengths: 18 bytes.
        let header = RecordHeader(.getValuesResult, requestID: 0, contentLength: 18, paddingLength: 6)
        unsafe header.store(in: buffer, at: 0)
        unsafe buffer[8] = 15
        unsafe buffer[9] = 1
        let pair: StaticString = "FCGI_MPXS_CONNS0"
        pair.withUTF8Buffer { text in
            unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[10...]).copyMemory(from: .init(text))
        }
        for offset in 26..<32 { unsafe buffer[offset] = 0 }
        return 32
    }
}
