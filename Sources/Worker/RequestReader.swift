internal import CEpoll
internal import FastCGI
internal import PoolPolicy
internal import Syscalls

/// A request whose parameters are known.
struct RequestHead {
    var requestID: UInt16
    var role: Role
    var keepsConnection: Bool
}

/// Reads requests of one connection: first the head with as much body as comes along, later the rest of the body
/// as PHP asks for it.
struct RequestReader {
    /// What reading the head came to.
    enum Result {
        /// The parameters are in the table; go on.
        case request(RequestHead)
        /// Nothing of a request has arrived yet.
        case idle
        /// A part has arrived, and no more for some milliseconds: nothing a worker should wait for.
        case stalled
        /// The connection is over: closed, or it broke the protocol.
        case over
    }

    /// How long the first bytes of a new connection are waited for.
    ///
    /// That spares two system calls and, while there is other work, a way through the master. A web server sends within
    /// microseconds, and who stays silent costs but a moment.
    private static let firstBytesMilliseconds: CInt = 1
    /// How long a request that has begun may pause before the connection is given to the master.
    private static let pauseMilliseconds: CInt = 10
    /// How long it is waited for in all; generous, as some of it is time in which others had the processor.
    private static let patience = Duration.milliseconds(50)
    /// A request that is too large to be assembled as a whole: as much as this is received before the script starts.
    private static let beginning = 128 << 10
    /// How long a body may pause while a script waits for it.
    private static let bodyTimeoutMilliseconds: CInt = 60_000

    var buffer = ReceiveBuffer()
    /// Body bytes found in the buffer and not taken yet: absolute positions.
    private var body = 0..<0
    private(set) var bodyIsComplete = true
    private var firstBytes = AdaptiveAttempt()
    /// `request_buffer`: a request that is not complete is assembled up to here; what is larger streams.
    private let limit: Int
    /// Waits for more of a body for so many milliseconds; false when none comes.
    var awaitBody: (Client, CInt) -> Bool = {
        waitUntilReady($0.descriptor, for: UInt32(CEPOLL_IN), milliseconds: $1)
    }
    /// What is left of the patience with the request at hand.
    private var patienceLeft = RequestReader.patience

    /// A reader that assembles up to `limit` bytes, and waits for no client that could be waited for elsewhere; 0: it
    /// waits for every client, and assembles nothing.
    init(limit: Int) { self.limit = limit }

    /// Reads until all parameters are there, and for a small body until that is there too.
    mutating func readHead(of client: Client, into table: inout ParameterTable) -> Result {
        body = 0..<0
        bodyIsComplete = false
        patienceLeft = Self.patience
        // A request that is given away must be given as a whole: nothing is dropped before it is complete.
        var decoder = client.decoder
        var position = buffer.start
        var head: RequestHead?
        while true {
            do throws(ProtocolViolation) {
                let step = try decoder.next(buffer.bytes(from: position).bindMemory(to: UInt8.self).span)
                switch step.event {
                case .needMore:
                    position += step.consumed
                    if head == nil, decoder.isBetweenRequests {
                        buffer.drop(position - buffer.start)
                        position = buffer.start
                        client.decoder = decoder
                    }
                    let offset = position - buffer.start
                    if let result = receive(
                        from: client,
                        isBetweenRequests: head == nil && decoder.isBetweenRequests
                    ) {
                        return result
                    }
                    position = buffer.start + offset
                    continue
                case .begin(let id, let role, let keep):
                    head = RequestHead(requestID: id, role: role, keepsConnection: keep)
                    table.reset(role: role)
                case .parameters(let range):
                    let piece = UnsafeRawBufferPointer(rebasing: buffer.bytes(from: position)[range])
                    try table.append(piece.bindMemory(to: UInt8.self).span)
                case .endOfParameters:
                    try table.finish()
                    guard let head else { return .over }
                    position += step.consumed
                    let offset = position - buffer.start
                    if let obstacle = assembleBody(
                        of: client,
                        decoder,
                        after: offset,
                        announced: table.announcedBody
                    ) {
                        return obstacle
                    }
                    // From here on bytes are used up as they are read.
                    client.decoder = decoder
                    buffer.advance(offset)
                    return .request(head)
                case .getValues(let range):
                    let content = UnsafeRawBufferPointer(rebasing: buffer.bytes(from: position)[range])
                    guard answerGetValues(content, client) else { return .over }
                case .abort:
                    head = nil
                case .body, .endOfBody, .skipped: break
                }
                position += step.consumed
                if head == nil, decoder.isBetweenRequests {
                    buffer.drop(position - buffer.start)
                    position = buffer.start
                    client.decoder = decoder
                }
            } catch { return .over }
        }
    }

    /// Receives more; nil when something came.
    private mutating func receive(from client: Client, isBetweenRequests: Bool) -> Result? {
        switch buffer.receive(from: client.descriptor) {
        case .received: return nil
        case .closed: return .over
        case .nothing:
            if isBetweenRequests && buffer.isEmpty {
                return !client.isKeptAlive && !client.isWatched && awaitFirstBytes(of: client) ? nil : .idle
            }
            // The master assembles no more than this either: what has grown so far is waited for here.
            if buffer.count >= limit {
                let hasCome = waitUntilReady(
                    client.descriptor,
                    for: UInt32(CEPOLL_IN),
                    milliseconds: Self.bodyTimeoutMilliseconds
                )
                return hasCome ? nil : .over
            }
            return waitWithPatience(for: client) ? nil : .stalled
        }
    }

    /// Waits for the next piece while there is patience left; a client that always sends a little uses it up too.
    private mutating func waitWithPatience(for client: Client) -> Bool {
        guard patienceLeft > .zero else { return false }
        let begin = MonotonicTime.now
        let hasCome = waitUntilReady(
            client.descriptor,
            for: UInt32(CEPOLL_IN),
            milliseconds: Self.pauseMilliseconds
        )
        patienceLeft -= MonotonicTime.now - begin
        return hasCome
    }

    /// A web server connects and sends at once, and is met between the two: true when its bytes have come.
    private mutating func awaitFirstBytes(of client: Client) -> Bool {
        guard firstBytes.isWorthwhile() else { return false }
        let haveCome = waitUntilReady(
            client.descriptor,
            for: UInt32(CEPOLL_IN),
            milliseconds: Self.firstBytesMilliseconds
        )
        firstBytes.ended(successfully: haveCome)
        return haveCome
    }

    /// Waits for a body up to `request_buffer`; of a larger one only for the beginning, the rest is left to ``readBody(of:into:)``.
    ///
    /// - Parameters:
    ///   - client: The connection.
    ///   - decoder: Its decoder after the parameters.
    ///   - offset: Where the body's records start, from the start of what is buffered.
    ///   - announced: CONTENT_LENGTH.
    /// - Returns: Nil when PHP can start, else why it cannot.
    private mutating func assembleBody(
        of client: Client,
        _ decoder: RequestDecoder,
        after offset: Int,
        announced: Int
    ) -> Result? {
        let most = announced <= limit - offset ? limit : min(limit, Self.beginning)
        var probe = decoder
        var scanned = offset
        var bodyBytes = 0
        // What PHP will read is there: the end of the stream may come later, or (from a plain client) never.
        while bodyBytes < announced {
            do throws(ProtocolViolation) {
                let step = try probe.next(
                    buffer.bytes(from: buffer.start + scanned).bindMemory(to: UInt8.self).span
                )
                scanned += step.consumed
                switch step.event {
                case .endOfBody, .abort: return nil
                case .body(let range): bodyBytes += range.count
                case .needMore:
                    if buffer.count >= most { return nil }
                    if let result = receive(from: client, isBetweenRequests: false) { return result }
                default: break
                }
            } catch {
                // What follows the parameters is no body: PHP sees an empty one, and the connection ends.
                return nil
            }
        }
        return nil
    }

    private func answerGetValues(_ content: UnsafeRawBufferPointer, _ client: Client) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: GetValues.maximumResult, alignment: 8) { memory in
            guard
                let length = try? GetValues.writeResult(
                    for: content.bindMemory(to: UInt8.self).span,
                    in: memory
                )
            else { return false }
            return sendAll(UnsafeRawBufferPointer(rebasing: memory[0..<length]), to: client.descriptor)
        }
    }

    /// Copies body bytes into `target`.
    ///
    /// - Returns: Bytes copied; 0 at the end of the body; nil when the connection broke.
    mutating func readBody(of client: Client, into target: UnsafeMutableRawBufferPointer) -> Int? {
        while body.isEmpty {
            if bodyIsComplete { return 0 }
            guard advanceBody(of: client, wait: true) else { return nil }
        }
        let count = min(body.count, target.count)
        target.copyMemory(
            from: UnsafeRawBufferPointer(rebasing: buffer.memory[body.lowerBound..<(body.lowerBound + count)])
        )
        body = (body.lowerBound + count)..<body.upperBound
        return count
    }

    /// Reads up to the end of the body without waiting, throwing it away.
    ///
    /// - Returns: Whether the end was reached, so that the next request can follow.
    mutating func skipBody(of client: Client) -> Bool {
        body = 0..<0
        while !bodyIsComplete {
            guard advanceBody(of: client, wait: false) else { return false }
            body = 0..<0
        }
        return true
    }

    /// Takes one event from the body's stream.
    ///
    /// False: the connection broke, or nothing is there and `wait` is off.
    private mutating func advanceBody(of client: Client, wait: Bool) -> Bool {
        guard let step = try? client.decoder.next(buffer.bytes.bindMemory(to: UInt8.self).span) else {
            // A record that does not belong into a body ends the body, and later the connection.
            bodyIsComplete = true
            bodyIsBroken = true
            return wait
        }
        let start = buffer.start
        switch step.event {
        case .body(let range):
            body = (start + range.lowerBound)..<(start + range.upperBound)
            buffer.advance(step.consumed)
            return true
        case .endOfBody, .abort:
            bodyIsComplete = true
            buffer.advance(step.consumed)
            return true
        case .needMore:
            buffer.advance(step.consumed)
            if buffer.isEmpty { buffer.clear() }
            switch buffer.receive(from: client.descriptor) {
            case .received: return true
            case .closed: return false
            case .nothing: return wait && awaitBody(client, Self.bodyTimeoutMilliseconds)
            }
        default:
            buffer.advance(step.consumed)
            return true
        }
    }

    /// The body's stream broke the protocol: the connection cannot be kept.
    private(set) var bodyIsBroken = false

    /// Before the first request of another connection.
    mutating func reset() {
        buffer.clear()
        bodyIsBroken = false
        bodyIsComplete = true
    }
}

/// Sends all bytes, waiting for a slow reader up to two minutes between any two pieces; false when it is gone.
func sendAll(_ bytes: UnsafeRawBufferPointer, to descriptor: CInt) -> Bool {
    var offset = 0
    while offset < bytes.count {
        guard let transfer = try? send(descriptor, UnsafeRawBufferPointer(rebasing: bytes[offset...])) else {
            return false
        }
        switch transfer {
        case .bytes(let count): offset += count
        case .wouldBlock:
            guard waitUntilReady(descriptor, for: UInt32(CEPOLL_OUT), milliseconds: 120_000) else {
                return false
            }
        case .endOfStream: return false
        }
    }
    return true
}
