internal import CEpoll
internal import CPHP
internal import FastCGI
internal import Syscalls

/// The response of one request on its way: PHP writes into ``output``, records are framed around that, and
/// whole buffers are sent.
final class ResponseStream {
    /// A full STDOUT record, the end of a request, and a little more.
    private static let capacity = 8 + 65528 + 16 + 512

    /// What PHP writes into; lives as long as the worker.
    let output: UnsafeMutablePointer<fpmd_output>
    private let buffer: UnsafeMutableRawBufferPointer
    private let memory: UnsafeMutableRawPointer
    private var framer = ResponseFramer(requestID: 0)
    private var client: Client?
    /// What is owed to the client if this process dies; a signal handler looks at it.
    private let pending = cepoll_pending_answer()
    private var keepsConnection = false
    private var hasErrorText = false
    private var errorText = 0

    /// The client went away or did not read in time.
    private(set) var isAborted = false
    /// END_REQUEST has been sent.
    private(set) var isFinished = false

    init() {
        memory = .allocate(byteCount: Self.capacity, alignment: 16)
        buffer = UnsafeMutableRawBufferPointer(start: memory, count: Self.capacity)
        output = .allocate(capacity: 1)
        output.initialize(
            to: fpmd_output(base: memory.assumingMemoryBound(to: UInt8.self), used: 0, limit: 0)
        )
    }

    deinit {
        memory.deallocate()
        output.deallocate()
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
        hasErrorText = false
        openOutput()
    }

    /// Sends what PHP has written; false when the client is gone.
    func drain() -> Bool {
        if isFinished {
            discardOutput()
            return keepsConnection && !isAborted
        }
        collectOutput()
        framer.closeRecord(in: buffer)
        let sent = flush()
        openOutput()
        return sent
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
        output.pointee.used = 0
        output.pointee.limit = Self.capacity - 64
    }

    private func flush() -> Bool {
        let length = framer.count
        framer.bufferSent()
        guard length > 0, !isAborted, let client, !client.isClosed else { return !isAborted }
        pending.pointee.has_begun = true
        if !sendAll(UnsafeRawBufferPointer(rebasing: buffer[0..<length]), to: client.descriptor) {
            isAborted = true
        }
        return !isAborted
    }
}
