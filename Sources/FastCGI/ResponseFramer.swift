/// Frames one response at a time into memory of the caller: STDOUT and STDERR records in order of production,
/// then END_REQUEST.
///
/// Every record is padded to a multiple of eight; no empty record is ever written.
///
/// The caller owns `buffer`, sends its first ``count`` bytes when it is full or the request ends, and then
/// calls ``bufferSent()``. Room for END_REQUEST is always held back, so that a small response, its end
/// included, leaves in one write. All calls between two sends get the same buffer.
public struct ResponseFramer: Sendable {
    /// Which output a piece belongs to.
    public enum Stream: Sendable {
        case standardOutput
        case standardError

        var recordType: RecordType {
            switch self {
            case .standardOutput: .standardOutput
            case .standardError: .standardError
            }
        }
    }

    /// The record whose length is not known yet.
    private struct OpenRecord {
        var stream: Stream
        var start: Int
    }

    /// Smallest buffer that can make progress, in bytes.
    public static let minimumBuffer = 64

    /// Bytes held back behind an open record: its padding and END_REQUEST.
    public static let reserve = 7 + RecordLimit.endRequestLength

    /// Request that is answered; change it between responses only.
    public var requestID: UInt16
    /// Bytes of the buffer in use.
    ///
    /// Before they are sent call ``closeRecord(in:)``.
    public private(set) var count = 0
    private var open: OpenRecord?
    /// The record closed last and where its content ends: more of the same stream can still join it.
    private var closed: (record: OpenRecord, contentEnd: Int)?

    /// Starts with an empty buffer.
    public init(requestID: UInt16) {
        self.requestID = requestID
    }

    /// Copies as much of `bytes` as fits into records of `stream`; a change of stream closes the open record.
    ///
    /// - Returns: How many bytes were taken; fewer than given means that the buffer must be sent first.
    public mutating func append(
        _ bytes: UnsafeRawBufferPointer,
        to stream: Stream,
        in buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        precondition(buffer.count >= Self.minimumBuffer)
        var taken = 0
        while taken < bytes.count {
            if let open, open.stream != stream || content(of: open) == RecordLimit.maximumAlignedContent {
                unsafe closeRecord(in: buffer)
            }
            joinClosed(stream)
            let headerLength = open == nil ? RecordLimit.headerLength : 0
            let space = buffer.count - count - headerLength - Self.reserve
            guard space > 0 else { break }
            let record = open ?? OpenRecord(stream: stream, start: count)
            open = record
            count += headerLength
            let room = min(space, RecordLimit.maximumAlignedContent - content(of: record))
            let piece = min(room, bytes.count - taken)
            unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[count..<(count + piece)])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[taken..<(taken + piece)]))
            count += piece
            taken += piece
        }
        return taken
    }

    /// Copies as much of `bytes` as fits into records of `stream`.
    ///
    /// - Returns: How many bytes were taken; fewer than given means that the buffer must be sent first.
    public mutating func append(
        _ bytes: Span<UInt8>,
        to stream: Stream,
        in buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        unsafe bytes.withUnsafeBytes { bytes in unsafe append(bytes, to: stream, in: buffer) }
    }

    /// Opens a record of `stream`, or goes on with the open one, for a caller that writes content in place.
    ///
    /// - Returns: Positions in `buffer` where content may be written, from its front; empty when the buffer
    ///   must be sent first. Tell how far it was used with ``extendRecord(to:)``.
    public mutating func openRecord(_ stream: Stream, in buffer: UnsafeMutableRawBufferPointer) -> Range<Int>
    {
        precondition(buffer.count >= Self.minimumBuffer)
        if let open, open.stream != stream || content(of: open) == RecordLimit.maximumAlignedContent {
            unsafe closeRecord(in: buffer)
        }
        let headerLength = open == nil ? RecordLimit.headerLength : 0
        let space = buffer.count - count - headerLength - Self.reserve
        guard space > 0 else { return count..<count }
        let record = open ?? OpenRecord(stream: stream, start: count)
        open = record
        count += headerLength
        return count..<(count + min(space, RecordLimit.maximumAlignedContent - content(of: record)))
    }

    /// Takes over the content that was written in place up to `position`.
    public mutating func extendRecord(to position: Int) {
        guard let open else { return }
        precondition(
            position >= count
                && position - open.start - RecordLimit.headerLength <= RecordLimit.maximumContent
        )
        count = position
    }

    /// Completes the open record, if any: length and padding.
    ///
    /// Call it before sending.
    public mutating func closeRecord(in buffer: UnsafeMutableRawBufferPointer) {
        guard let open else { return }
        self.open = nil
        let length = content(of: open)
        defer { if length > 0 { closed = (open, open.start + RecordLimit.headerLength + length) } }
        guard length > 0 else {
            // Opened, and nothing written: an empty record would mean the end of the stream.
            count = open.start
            return
        }
        let padding = RecordHeader.padding(for: length)
        let header = RecordHeader(
            open.stream.recordType,
            requestID: requestID,
            contentLength: UInt16(length),
            paddingLength: UInt8(padding)
        )
        unsafe header.store(in: buffer, at: open.start)
        for offset in count..<(count + padding) { unsafe buffer[offset] = 0 }
        count += padding
    }

    /// Closes the open record and appends END_REQUEST with application status 0.
    ///
    /// There is always room.
    public mutating func endRequest(
        _ status: ProtocolStatus = .requestComplete,
        in buffer: UnsafeMutableRawBufferPointer
    ) {
        unsafe closeRecord(in: buffer)
        precondition(buffer.count - count >= RecordLimit.endRequestLength)
        unsafe RecordHeader(.endRequest, requestID: requestID, contentLength: 8).store(in: buffer, at: count)
        for offset in (count + 8)..<(count + 16) { unsafe buffer[offset] = 0 }
        unsafe buffer[count + 12] = status.rawValue
        count += RecordLimit.endRequestLength
    }

    /// Writes the header of a STDOUT record with ``RecordLimit/maximumAlignedContent`` bytes that the caller sends from
    /// elsewhere: any number of them, after the buffer's.
    public func storeWholeHeader(in header: UnsafeMutableRawBufferPointer) {
        unsafe RecordHeader(
            .standardOutput,
            requestID: requestID,
            contentLength: UInt16(RecordLimit.maximumAlignedContent)
        ).store(in: header, at: 0)
    }

    /// Starts over at the front of the buffer: its ``count`` bytes, with no record open, have been sent.
    public mutating func bufferSent() {
        precondition(open == nil, "an open record was sent")
        count = 0
        closed = nil
    }

    /// Opens the last record again if it is of this stream, has room, and nothing follows it: messages of one request
    /// then leave in one record, which web servers log as one.
    private mutating func joinClosed(_ stream: Stream) {
        guard open == nil, let (record, end) = closed, record.stream == stream else { return }
        let length = end - record.start - RecordLimit.headerLength
        guard count == end + RecordHeader.padding(for: length), length < RecordLimit.maximumAlignedContent
        else { return }
        open = record
        count = end
        closed = nil
    }

    private func content(of record: OpenRecord) -> Int {
        count - record.start - RecordLimit.headerLength
    }
}
