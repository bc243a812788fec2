internal import CEpoll
internal import CPHP
internal import CScoreboard
internal import FastCGI
internal import Glibc
internal import Syscalls

/// The response of one request on its way: PHP writes into ``output``, records are framed around that, and whole buffers
/// are sent.
///
/// What PHP writes in one large piece is sent from where it is; see ``sendWhole(_:)``.
///
/// A client that does not take them as fast as they come is waited for a moment; after that, what it does not take is
/// kept in a ``ResponseSpill``, so that a slow reader does not hold the worker. What does not fit there is waited for.
final class ResponseStream {
    /// A full STDOUT record, the end of a request, and a little more.
    private static let capacity = 8 + 65528 + 16 + 512
    /// What is filled of the buffer once it has been full: then 32 KiB are sent at a time, which costs the kernel least
    /// over a Unix socket.
    private static let laterCapacity = (32 << 10) + ResponseFramer.reserve
    /// Bytes of the buffer that stay when memory is given back, enough for a small response: a page.
    private static let kept = 4096
    /// Records of one large piece that are given to the kernel at a time.
    private static let mostWholeRecords = 16
    /// Nanoseconds that a client is waited for during one response: a reader that runs beside takes what is in its
    /// socket in much less.
    private static let patience: UInt64 = 10_000_000
    /// Nanoseconds more for each byte that it has taken: whoever takes 25 MB a second is not slow, but waits for a
    /// processor; to keep its response would cost another copy of it.
    private static let patiencePerByte: UInt64 = 40

    /// What PHP writes into; lives as long as the worker.
    let output: UnsafeMutablePointer<fpmd_output>
    /// What is filled of the memory, from its front.
    private var buffer: UnsafeMutableRawBufferPointer
    private let memory: UnsafeMutableRawPointer
    private let wholeHeader: UnsafeMutableRawBufferPointer
    @exclusivity(unchecked) private var framer = ResponseFramer(requestID: 0)
    private let pieces = OutgoingPieces(capacity: 1 + 2 * ResponseStream.mostWholeRecords)
    private var client: Client?
    /// What is owed to the client if this process dies; a signal handler looks at it.
    @exclusivity(unchecked) private var pending = cepoll_pending_answer()
    private var keepsConnection = false
    private var hasErrorText = false
    /// Bytes of the buffer that have been filled at most since memory was given back.
    @exclusivity(unchecked) private var mostFilled = 0
    private let spill: ResponseSpill
    /// Whether the master has memory left for what slow clients of this pool have not taken.
    private let masterHasRoom: () -> Bool
    /// Nanoseconds that this response's client has been waited for.
    private var waited: UInt64 = 0
    /// Bytes that it has taken without being kept.
    private var taken: UInt64 = 0

    /// The client went away or did not read in time.
    private(set) var isAborted = false
    /// END_REQUEST has been sent.
    private(set) var isFinished = false

    /// - Parameters:
    ///   - spillLimit: `response_buffer`: bytes kept for a slow reader; 0 waits for it.
    ///   - masterHasRoom: Asked before anything is kept.
    init(spillLimit: Int, masterHasRoom: @escaping () -> Bool) {
        spill = ResponseSpill(limit: spillLimit)
        self.masterHasRoom = masterHasRoom
        memory = .allocate(byteCount: Self.capacity, alignment: Self.kept)
        buffer = UnsafeMutableRawBufferPointer(start: memory, count: Self.capacity)
        wholeHeader = .allocate(byteCount: RecordLimit.headerLength, alignment: 8)
        output = .allocate(capacity: 1)
        output.initialize(
            to: fpmd_output(
                base: memory.assumingMemoryBound(to: UInt8.self),
                used: 0,
                limit: 0,
                whole: RecordLimit.maximumAlignedContent
            )
        )
    }

    deinit {
        memory.deallocate()
        wholeHeader.deallocate()
        output.deallocate()
    }

    /// In the new worker: what is owed is written into its slot, where the master finds it if the worker is killed.
    func share(_ slot: UnsafeMutablePointer<cscoreboard_slot>) {
        cepoll_share_pending_answer(cscoreboard_pending_memory(slot))
        pending = cepoll_pending_answer()
    }

    /// Gives back what only larger responses need of the buffer, if they have used it; between two responses.
    func releaseMemory() {
        guard mostFilled > Self.kept else { return }
        cepoll_release_pages(memory + Self.kept, Self.capacity - Self.kept)
        mostFilled = 0
    }

    /// Starts a response to `client`.
    func begin(requestID: UInt16, client: Client, keepsConnection: Bool) {
        framer = ResponseFramer(requestID: requestID)
        self.client = client
        self.keepsConnection = keepsConnection
        pending.pointee.request_id = requestID
        pending.pointee.has_begun = false
        pending.pointee.descriptor = client.descriptor
        isAborted = false
        isFinished = false
        waited = 0
        taken = 0
        spill.clear()
        hasErrorText = false
        buffer = UnsafeMutableRawBufferPointer(start: memory, count: Self.capacity)
        openOutput()
    }

    /// Sends what PHP has written.
    ///
    /// - Parameter isAskedFor: By the script, which is told that the client is gone also when there is nothing to send.
    /// - Returns: False when the client is gone.
    func drain(flush isAskedFor: Bool) -> Bool {
        if isFinished {
            discardOutput()
            return keepsConnection && !isAborted
        }
        collectOutput()
        framer.closeRecord(in: buffer)
        let sent = framer.count == 0 && isAskedFor ? isClientThere() : flush()
        if !isAskedFor { buffer = UnsafeMutableRawBufferPointer(start: memory, count: Self.laterCapacity) }
        openOutput()
        return sent
    }

    /// Sends as many whole records as `bytes` fill, after what PHP has written before, without copying them.
    ///
    /// - Parameter bytes: PHP's; at least one record's worth (``RecordLimit/maximumAlignedContent``).
    /// - Returns: How many bytes are done with; 0 when the response is over, and ``output`` takes what vanishes; nil when
    ///   the client is gone.
    func sendWhole(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard !isFinished else { return 0 }
        collectOutput()
        framer.closeRecord(in: buffer)
        framer.storeWholeHeader(in: wholeHeader)
        var prefix = takeBuffer()
        var done = 0
        while bytes.count - done >= RecordLimit.maximumAlignedContent {
            pieces.append(prefix)
            prefix = UnsafeRawBufferPointer(start: nil, count: 0)
            for _ in 0..<min(Self.mostWholeRecords, (bytes.count - done) / RecordLimit.maximumAlignedContent)
            {
                pieces.append(UnsafeRawBufferPointer(wholeHeader))
                let content = done..<(done + RecordLimit.maximumAlignedContent)
                pieces.append(UnsafeRawBufferPointer(rebasing: bytes[content]))
                done = content.upperBound
            }
            guard sendPieces() else { break }
        }
        openOutput()
        return isAborted ? nil : done
    }

    /// One message for the web server's error log; several are separated by "; ".
    func writeError(_ text: UnsafeRawBufferPointer) {
        guard !isFinished else { return }
        collectOutput()
        if hasErrorText { append("; ") }
        hasErrorText = true
        append(text)
        framer.closeRecord(in: buffer)
        openOutput()
    }

    /// Completes the response: the rest of the output, then END_REQUEST.
    ///
    /// False if it was complete before.
    func finish() -> Bool {
        guard !isFinished else { return false }
        collectOutput()
        framer.endRequest(in: buffer)
        _ = flush()
        isFinished = true
        discardOutput()
        return true
    }

    /// Lets go of the client after the request.
    func end() {
        pending.pointee.descriptor = -1
        client = nil
        discardOutput()
    }

    private func append(_ text: StaticString) {
        text.withUTF8Buffer { append(UnsafeRawBufferPointer($0)) }
    }

    private func append(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            let taken = framer.append(rest, to: .standardError, in: buffer)
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
            if !rest.isEmpty {
                framer.closeRecord(in: buffer)
                _ = flush()
            }
        }
    }

    /// Opens a STDOUT record, and lends its room to PHP.
    private func openOutput() {
        var room = framer.openRecord(.standardOutput, in: buffer)
        if room.isEmpty {
            framer.closeRecord(in: buffer)
            _ = flush()
            room = framer.openRecord(.standardOutput, in: buffer)
        }
        output.pointee.used = room.lowerBound
        output.pointee.limit = room.upperBound
    }

    /// Takes over what PHP has written since ``openOutput()``.
    private func collectOutput() { framer.extendRecord(to: output.pointee.used) }

    /// After the end nothing is sent any more, but PHP must have somewhere to write.
    private func discardOutput() {
        mostFilled = max(mostFilled, output.pointee.used)
        output.pointee.used = 0
        output.pointee.limit = Self.capacity - 64
    }

    private func flush() -> Bool {
        pieces.append(takeBuffer())
        return sendPieces()
    }

    /// The records that are complete; the buffer is empty then, and must not be filled before they are sent.
    private func takeBuffer() -> UnsafeRawBufferPointer {
        let count = framer.count
        framer.bufferSent()
        mostFilled = max(mostFilled, count)
        return UnsafeRawBufferPointer(rebasing: buffer[0..<count])
    }

    /// Sends or keeps the pieces; false when the client is gone.
    private func sendPieces() -> Bool {
        defer { pieces.clear() }
        guard !pieces.isEmpty, !isAborted, let client, !client.isClosed else { return !isAborted }
        pending.pointee.has_begun = true
        if !deliver(to: client.descriptor) {
            isAborted = true
            spill.clear()
        }
        return !isAborted
    }

    /// Whether the client takes anything; what it has not taken yet is sent first.
    private func isClientThere() -> Bool {
        guard !isAborted, let client, !client.isClosed else { return !isAborted }
        // The kernel refuses to send even nothing to somebody who has closed.
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        if !deliver(to: client.descriptor) || (try? Syscalls.send(client.descriptor, nothing)) == nil {
            isAborted = true
            spill.clear()
        }
        return !isAborted
    }

    // MARK: - Slow readers

    /// Whether something has been sent.
    var hasBegun: Bool { pending.pointee.has_begun }

    /// Whether there is something that the client has not taken, and may still take.
    var hasUnsent: Bool { !isAborted && !spill.isEmpty }

    /// What the client has not taken of a response that is complete; nil if it has taken all or has gone, or if nobody
    /// else can be given it.
    var unsent: (file: CInt, offset: Int)? { isAborted ? nil : spill.sealed() }

    /// Somebody else sends what is unsent.
    func forgetUnsent() { spill.clear() }

    /// Sends what is unsent of a complete response, waiting for the client.
    func sendUnsent() {
        guard !isAborted, let client, !client.isClosed else { return }
        if !spill.sendWaiting(to: client.descriptor) { isAborted = true }
        spill.clear()
    }

    /// Waits until the client sends; false when it does not.
    ///
    /// It may want what it has not taken of the answer first, or its end: web servers stop sending when an answer has begun.
    func awaitInput(of client: Client, milliseconds: CInt) -> Bool {
        while hasUnsent {
            let ready = cepoll_poll_one(
                client.descriptor,
                UInt32(CEPOLL_IN) | UInt32(CEPOLL_OUT),
                milliseconds
            )
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { return false }
            if ready & ~CInt(CEPOLL_OUT) != 0 { return true }
            if case .broken = spill.send(to: client.descriptor) {
                isAborted = true
                return false
            }
        }
        if isFinished, !keepsConnection { _ = shutdown(client.descriptor, CInt(SHUT_WR)) }
        return waitUntilReady(client.descriptor, for: UInt32(CEPOLL_IN), milliseconds: milliseconds)
    }

    /// Sends the pieces or keeps them; false when the client has gone, or does not read for too long.
    private func deliver(to socket: CInt) -> Bool {
        if !spill.isEmpty {
            switch spill.send(to: socket) {
            case .done: break
            case .blocked: return keepPieces(for: socket)
            case .broken: return false
            }
        }
        while !pieces.isEmpty {
            guard let transfer = try? pieces.send(to: socket) else { return false }
            switch transfer {
            case .bytes(let count): taken += UInt64(count)
            case .wouldBlock: if !waitAMoment(for: socket) { return keepPieces(for: socket) }
            case .endOfStream: return false
            }
        }
        return true
    }

    private func keepPieces(for socket: CInt) -> Bool {
        while let piece = pieces.next() {
            guard keep(piece, for: socket) else { return false }
        }
        return true
    }

    /// Whether the client is ready for more within the time that is left for it.
    private func waitAMoment(for socket: CInt) -> Bool {
        let begin = MonotonicTime.now
        let patience = Self.patience + taken * Self.patiencePerByte
        let left = (patience - min(patience, waited)) / 1_000_000
        let isReady =
            left > 0
            && waitUntilReady(socket, for: UInt32(CEPOLL_OUT), milliseconds: CInt(clamping: left))
        waited += (MonotonicTime.now - begin).nanoseconds
        return isReady
    }

    private func keep(_ bytes: UnsafeRawBufferPointer, for socket: CInt) -> Bool {
        if spill.hasRoom(for: bytes.count), !spill.isEmpty || masterHasRoom(), spill.append(bytes) {
            return true
        }
        return spill.sendWaiting(to: socket) && sendAll(bytes, to: socket)
    }
}
