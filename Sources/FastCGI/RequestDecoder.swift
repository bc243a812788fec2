/// Turns the bytes of a connection into request events, whatever way they were cut in transit.
///
/// The caller owns the buffer. It calls ``next(_:)`` with all bytes not consumed so far, drops
/// `Step.consumed` bytes from the front and acts on `Step.event`, until ``Event/needMore``; then it
/// receives more bytes. One value decodes one connection, request after request. Ranges are positions
/// in the bytes passed to that call. Nothing is allocated.
///
/// A record is over with its padding: whoever is told that something is complete can go on with other bytes, or have
/// somebody else do so. So a record that says something by itself is waited for as a whole; the content
/// of PARAMS and STDIN is handed out in pieces as it arrives, the last byte with the padding. A buffer of 16 KiB suffices,
/// unless a client gives an ABORT_REQUEST content.
public struct RequestDecoder: Sendable {
    /// What was found in the bytes.
    public enum Event: Equatable, Sendable {
        /// Nothing more can be said before further bytes arrive.
        case needMore
        /// A request starts. `keepConnection`: the connection stays open after END_REQUEST.
        case begin(requestID: UInt16, role: Role, keepConnection: Bool)
        /// Content of the PARAMS stream, never empty; pass it to ``ParameterTable/append(_:)``.
        case parameters(Range<Int>)
        /// All parameters have been handed out; call ``ParameterTable/finish()``.
        case endOfParameters
        /// Content of the STDIN stream, never empty.
        case body(Range<Int>)
        /// The body is complete, whatever CONTENT_LENGTH says. Bytes that follow are another request's.
        case endOfBody
        /// A GET_VALUES record between requests; answer with ``GetValues/writeResult(for:in:)``.
        case getValues(Range<Int>)
        /// The web server no longer wants the answer. The decoder waits for the next request.
        case abort
        /// A record was passed over: a left-over empty STDIN, or one of another request id.
        case skipped
    }

    /// One event and the number of bytes to drop from the front; those of a range are among them.
    public struct Step: Equatable, Sendable {
        /// Bytes that are done with, 0 or more, also for ``Event/needMore``.
        public var consumed: Int
        /// What they were.
        public var event: Event

        /// Makes a step.
        public init(consumed: Int, event: Event) {
            self.consumed = consumed
            self.event = event
        }
    }

    /// Longest GET_VALUES content accepted, in bytes; the three names of the specification need 52.
    public static let maximumGetValuesContent = 8192

    private enum Phase { case betweenRequests, parameters, body }
    private enum Content { case parameters, body, ignored }

    private let maximumParameterBytes: Int
    private var parameterBytes = 0
    private var phase = Phase.betweenRequests
    private var requestID: UInt16 = 0
    /// Of the record whose header has been consumed: what its content is and how much is still to come.
    private var content = Content.ignored
    private var contentRemaining = 0
    private var paddingRemaining = 0

    /// Starts at the first byte of a connection.
    ///
    /// - Parameter maximumParameterBytes: Limit for the PARAMS stream of one request.
    public init(maximumParameterBytes: Int = 1 << 20) {
        self.maximumParameterBytes = maximumParameterBytes
    }

    /// Whether no request is under way, so that closing or parking the connection loses nothing.
    public var isBetweenRequests: Bool {
        phase == .betweenRequests && isBetweenRecords
    }

    private var isBetweenRecords: Bool { contentRemaining == 0 && paddingRemaining == 0 }

    /// Ends the current request, its body read or not, once it has been answered.
    ///
    /// Needed when the answer is complete before ``Event/endOfBody``; harmless after it. STDIN content that
    /// follows nevertheless is a violation, so that surplus body is never taken for a request.
    ///
    /// - Returns: Whether the connection can be kept. If not (the rest of a record is still to come), close
    ///   it, or drain it by calling ``next(_:)`` until ``Event/endOfBody``.
    public mutating func endRequest() -> Bool {
        guard phase != .parameters, isBetweenRecords else { return false }
        phase = .betweenRequests
        return true
    }

    /// Decodes the next event from the front of `bytes`, the bytes not consumed so far.
    ///
    /// - Throws: ``ProtocolViolation``; the connection is to be closed.
    public mutating func next(_ bytes: Span<UInt8>) throws(ProtocolViolation) -> Step {
        var position = 0
        if contentRemaining > 0 {
            guard content == .ignored else { return takeContent(bytes.count, from: 0) }
            position = min(contentRemaining, bytes.count)
            contentRemaining -= position
        }
        if paddingRemaining > 0 { position += takePadding(bytes.count - position) }
        guard contentRemaining == 0, bytes.count - position >= RecordLimit.headerLength else {
            return Step(consumed: position, event: .needMore)
        }
        let header = RecordHeader(bytes, at: position)
        guard header.version >= 1 else { throw .unsupportedVersion(header.version) }
        switch phase {
        case .betweenRequests: return try firstRecord(header, bytes, at: position)
        case .parameters, .body: return try laterRecord(header, bytes.count, at: position)
        }
    }

    /// Handles a record outside a request: BEGIN_REQUEST, GET_VALUES or a left-over terminator.
    private mutating func firstRecord(
        _ header: RecordHeader,
        _ bytes: Span<UInt8>,
        at position: Int
    ) throws(ProtocolViolation) -> Step {
        let length = Int(header.contentLength)
        let start = position + RecordLimit.headerLength
        switch RecordType(rawValue: header.type) {
        case .beginRequest:
            guard length == 8 else { throw .beginRequestLength(length) }
            let end = start + length + Int(header.paddingLength)
            guard bytes.count >= end else { return Step(consumed: position, event: .needMore) }
            let rawRole = UInt16(bytes[start]) << 8 | UInt16(bytes[start + 1])
            guard let role = Role(rawValue: rawRole) else { throw .unknownRole(rawRole) }
            requestID = header.requestID
            parameterBytes = 0
            phase = .parameters
            let keep = bytes[start + 2] & 1 != 0
            return Step(
                consumed: end,
                event: .begin(requestID: header.requestID, role: role, keepConnection: keep)
            )
        case .getValues:
            guard length <= Self.maximumGetValuesContent else { throw .getValuesTooLong(length) }
            return take(
                header,
                available: bytes.count,
                at: position,
                event: .getValues(start..<(start + length))
            )
        case .standardInput where length == 0:
            return take(header, available: bytes.count, at: position, event: .skipped)
        default:
            throw .unexpectedRecord(type: header.type)
        }
    }

    /// Handles a record inside a request.
    private mutating func laterRecord(
        _ header: RecordHeader,
        _ available: Int,
        at position: Int
    ) throws(ProtocolViolation) -> Step {
        let length = Int(header.contentLength)
        let start = position + RecordLimit.headerLength
        let type = RecordType(rawValue: header.type)
        // There is one request at a time, so a second BEGIN_REQUEST is wrong whatever its id.
        guard type != .beginRequest else { throw .unexpectedRecord(type: header.type) }
        guard header.requestID == requestID else {
            return skip(header, available: available, from: start)
        }
        switch (type, phase) {
        case (.parameters, .parameters):
            guard length > 0 else {
                return take(header, available: available, at: position, event: .endOfParameters, then: .body)
            }
            guard length <= maximumParameterBytes - parameterBytes else {
                throw .parametersTooLong(limit: maximumParameterBytes)
            }
            parameterBytes += length
            return open(header, .parameters, available, from: start)
        case (.standardInput, .parameters):
            // A client that forgot the empty PARAMS: the record stays for the next call.
            phase = .body
            return Step(consumed: position, event: .endOfParameters)
        case (.standardInput, .body):
            guard length > 0 else {
                return take(
                    header,
                    available: available,
                    at: position,
                    event: .endOfBody,
                    then: .betweenRequests
                )
            }
            return open(header, .body, available, from: start)
        case (.abortRequest, _):
            return take(header, available: available, at: position, event: .abort, then: .betweenRequests)
        default:
            throw .unexpectedRecord(type: header.type)
        }
    }

    /// Consumes the header of a record with content to hand out, and what has arrived of that content.
    private mutating func open(_ header: RecordHeader, _ kind: Content, _ available: Int, from start: Int)
        -> Step
    {
        content = kind
        contentRemaining = Int(header.contentLength)
        paddingRemaining = Int(header.paddingLength)
        return takeContent(available, from: start)
    }

    /// Consumes a record as a whole, when all of it has arrived.
    private mutating func take(
        _ header: RecordHeader,
        available: Int,
        at position: Int,
        event: Event,
        then next: Phase? = nil
    ) -> Step {
        let length = Int(header.contentLength) + Int(header.paddingLength)
        let end = position + RecordLimit.headerLength + length
        guard available >= end else { return Step(consumed: position, event: .needMore) }
        phase = next ?? phase
        return Step(consumed: end, event: event)
    }

    /// Consumes the header of a record that does not matter, and what has arrived of the rest.
    private mutating func skip(_ header: RecordHeader, available: Int, from start: Int) -> Step {
        content = .ignored
        let here = min(Int(header.contentLength), available - start)
        contentRemaining = Int(header.contentLength) - here
        paddingRemaining = Int(header.paddingLength)
        let end = start + here
        return Step(
            consumed: end + (contentRemaining == 0 ? takePadding(available - end) : 0),
            event: .skipped
        )
    }

    /// Hands out the content that starts at `start`, its last byte only when the padding has arrived, too.
    private mutating func takeContent(_ available: Int, from start: Int) -> Step {
        let isWhole = available - start >= contentRemaining + paddingRemaining
        let end = start + min(isWhole ? contentRemaining : contentRemaining - 1, available - start)
        guard end > start else { return Step(consumed: start, event: .needMore) }
        contentRemaining -= end - start
        let consumed = isWhole ? end + takePadding(available - end) : end
        let isBody = content == .body
        return Step(consumed: consumed, event: isBody ? .body(start..<end) : .parameters(start..<end))
    }

    private mutating func takePadding(_ available: Int) -> Int {
        let taken = min(paddingRemaining, available)
        paddingRemaining -= taken
        return taken
    }
}
