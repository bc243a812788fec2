internal import CEpoll
internal import CPHP
internal import CScoreboard
internal import Channel
internal import Glibc
internal import Syscalls

/// Holding an idle connection, and giving connections away: to the master, which watches them, sends the rest of a
/// response, or waits for the client to close.
extension Worker {
    /// Keeps an idle connection as long as there is nothing else to do.
    func hold(_ client: Client) {
        // Whoever serves it puts it back into its place.
        guard client.place == nil else { return }
        if held !== client { setHeldAside() }
        held = client
        heldSince = MonotonicTime.now
        guard !client.isWatched else { return }
        do {
            try watch(client.descriptor, .client)
            client.isWatched = true
        } catch {
            park(client)
        }
    }

    func forget(_ client: Client) {
        release(client)
        let wasShared = endSharing(client)
        if wasShared || cscoreboard_is_kept(processor.slot) || fpmd_php_has_forked() { client.shutDown() }
        client.close()
        processor.reader.reset()
    }

    /// Is no longer concerned with the connection.
    func release(_ client: Client) {
        unwatch(client)
        if held === client { held = nil }
    }

    /// Takes the connection out of the epoll set: its open file may live on in another process, be it a script's fork, and
    /// its end would be reported for ever.
    func unwatch(_ client: Client) {
        if client.isWatched, !client.isClosed { _ = cepoll_remove(epoll.rawValue, client.descriptor) }
        client.isWatched = false
    }

    func parkHeld() {
        if let client = held { park(client) }
    }

    /// Gives a connection to the master, which watches it until there is something to serve.
    ///
    /// `gathers`: or gives it to a worker that is awake.
    func park(_ client: Client, gathers: Bool = false) {
        var flags: Message.Flags = gathers ? [.peerChecked, .gathers] : [.peerChecked]
        if client.isKeptAlive { flags.insert(.keptAlive) }
        give(
            client,
            Message(.park, flags: flags, value: client.acceptedTime),
            payload: processor.reader.buffer.bytes
        )
    }

    /// The response is complete, and the client still sends: the master reads that, and closes.
    func linger(_ client: Client) {
        _ = shutdown(client.descriptor, CInt(SHUT_WR))
        give(client, Message(.linger), payload: UnsafeRawBufferPointer(start: nil, count: 0))
    }

    /// Gives a connection with the rest of its response, and what has been received after its request.
    func deliver(_ client: Client, _ message: Message, _ file: CInt) -> Bool {
        let isKept = message.flags.contains(.keptAlive)
        let payload =
            isKept ? processor.reader.buffer.bytes : UnsafeRawBufferPointer(start: nil, count: 0)
        return give(client, message, payload: payload, file: file)
    }

    /// False when the master could not be given the connection; it is closed then, unless there is a file.
    @discardableResult
    private func give(
        _ client: Client,
        _ head: Message,
        payload: UnsafeRawBufferPointer,
        file: CInt? = nil
    ) -> Bool {
        release(client)
        endSharing(client)
        var (head, bytes, file) = (head, payload, file)
        var ownFile: SharedDescriptor?
        if payload.count > MessageSocket.maximumPayload {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            if head.kind == .park, let made = try? BytesFile.make(payload) {
                (ownFile, file) = (made, made.rawValue)
                head.flags.insert(.bytesInFile)
            }
        }
        defer { withExtendedLifetime(ownFile) {} }
        let isWhole = bytes.count == payload.count || ownFile != nil
        let descriptors = [client.descriptor] + (file.map { [$0] } ?? [])
        // The master takes a peer with a name for a service, and the worker for somebody who would misuse it.
        let isGiven =
            isWhole && cepoll_was_accepted(client.descriptor)
            && tell(head, payload: bytes, descriptors: descriptors)
        if file != nil, ownFile == nil, !isGiven { return false }
        client.close()
        processor.reader.reset()
        return isGiven
    }

    /// Sends the master what is lost otherwise, and waits up to ten seconds between attempts for one that is stopped for
    /// a moment.
    ///
    /// - Returns: Whether it was sent.
    func tell(
        _ message: Message,
        payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        descriptors: [CInt] = []
    ) -> Bool {
        var wasReady = false
        while let sent = try? channel.send(message, payload: payload, descriptors: descriptors) {
            if case .bytes = sent { return true }
            // The master reads, but too many descriptors are under way: nothing tells when fewer are.
            if wasReady { _ = waitUntilReady(channel.descriptor, for: 0, milliseconds: 10) }
            guard case .wouldBlock = sent,
                waitUntilReady(channel.descriptor, for: UInt32(CEPOLL_OUT), milliseconds: 10_000)
            else { return false }
            wasReady = true
        }
        return false
    }
}
