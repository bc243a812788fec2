internal import Channel
internal import Syscalls
internal import SystemPackage

/// A request that waits for a worker.
struct WaitingRequest {
    let connection: Connection
    /// `queued`: it has waited in a queue that was metered, also before a reload.
    var flags: Message.Flags
    /// Monotonic nanoseconds: when the connection was accepted, or the request was complete.
    let arrival: UInt64
    /// What has been received of it.
    let bytes: [UInt8]
    /// Its waiting time has been counted: it has been before the workers, and none took it.
    var isCounted = false
}

/// How it travels: a message with its connection, and its bytes in it or, if they are too many, in a file.
extension WaitingRequest {
    /// The largest `request_buffer`, and a piece that was received beside it.
    private static let largestSize = 128 << 20

    /// Makes a request of a message that has been taken back; nil if there is no connection in it.
    ///
    /// - Parameters:
    ///   - message: The fixed part.
    ///   - payload: What came behind it.
    ///   - descriptors: Owned from now on.
    init?(_ message: Message, _ payload: UnsafeRawBufferPointer, _ descriptors: [CInt]) {
        defer { for surplus in descriptors.dropFirst() { closeDescriptor(surplus) } }
        guard let descriptor = descriptors.first else { return nil }
        var bytes = Array(payload)
        if message.flags.contains(.bytesInFile) {
            // Its own file, or one that somebody who has the socket has put there.
            bytes = descriptors.last.flatMap { BytesFile.contents(of: $0, atMost: Self.largestSize) } ?? []
        }
        self.init(
            connection: Connection(adopting: descriptor),
            flags: message.flags.subtracting(.bytesInFile),
            arrival: message.value,
            bytes: bytes,
            isCounted: message.flags.contains(.queued)
        )
    }

    /// Sends the request.
    ///
    /// - Parameters:
    ///   - socket: The end to send on.
    ///   - isQueued: The receiver is told that it has waited in the queue.
    /// - Returns: What came of it.
    /// - Throws: `Errno`: it cannot be sent now, as there is no memory, or no descriptor for the file.
    func send(to socket: MessageSocket, isQueued: Bool) throws(Errno) -> Transfer {
        try bytes.span.withUnsafeBytes { bytes throws(Errno) -> Transfer in
            var message = Message(.serve, flags: flags, value: arrival)
            if isQueued { message.flags.insert(.queued) }
            guard bytes.count > MessageSocket.maximumPayload else {
                return try socket.send(message, payload: bytes, descriptors: [connection.rawValue])
            }
            let file = try BytesFile.make(bytes)
            message.flags.insert(.bytesInFile)
            return try socket.send(message, descriptors: [connection.rawValue, file.rawValue])
        }
    }
}
