internal import FastCGI

/// The records of a whole answer: `bytes` (headers and body) as STDOUT, and END_REQUEST.
func framedResponse(_ bytes: [UInt8], requestID: UInt16) -> [UInt8] {
    let records = bytes.count / RecordLimit.maximumAlignedContent + 1
    let size = bytes.count + records * (RecordLimit.headerLength + 8) + 2 * RecordLimit.endRequestLength
    return [UInt8](unsafeUninitializedCapacity: max(size, ResponseFramer.minimumBuffer)) { buffer, count in
        let memory = UnsafeMutableRawBufferPointer(buffer)
        var framer = ResponseFramer(requestID: requestID)
        let taken = bytes.withUnsafeBytes { framer.append($0, to: .standardOutput, in: memory) }
        precondition(taken == bytes.count, "our bug: the buffer was computed too small")
        framer.endRequest(in: memory)
        count = framer.count
    }
}
