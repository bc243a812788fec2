internal import CEpoll
internal import Channel
internal import Syscalls

/// How a waiting request travels: a message with its connection, and its bytes in it or, if they are too many, in a file.
extension RequestQueue {
    /// The largest `request_buffer`, and a piece that was received beside it.
    private static let largestRequest = 128 << 20

    /// Nil: it cannot be sent now.
    func send(_ request: WaitingRequest, _ flags: Message.Flags, to socket: MessageSocket)
        -> Transfer?
    {
        request.bytes.withUnsafeBytes { bytes in
            var message = Message(.serve, flags: flags, value: request.arrival)
            guard bytes.count > MessageSocket.maximumPayload else {
                return try? socket.send(
                    message,
                    payload: bytes,
                    descriptors: [request.connection.rawValue]
                )
            }
            guard let file = try? BytesFile.make(bytes) else { return nil }
            message.flags.insert(.bytesInFile)
            return try? socket.send(
                message,
                descriptors: [request.connection.rawValue, file.rawValue]
            )
        }
    }

    func request(in message: Message, _ payload: UnsafeRawBufferPointer, _ descriptors: [CInt])
        -> WaitingRequest?
    {
        defer { for surplus in descriptors.dropFirst() { closeDescriptor(surplus) } }
        guard let descriptor = descriptors.first else { return nil }
        var bytes = Array(payload)
        if message.flags.contains(.bytesInFile) {
            // Its own file, or one that somebody who has the socket has put there.
            bytes = descriptors.last.flatMap { Self.bytes(of: $0, atMost: Self.largestRequest) } ?? []
        }
        return WaitingRequest(
            connection: Connection(adopting: descriptor),
            flags: message.flags.subtracting([.queued, .bytesInFile]),
            arrival: message.value,
            bytes: bytes
        )
    }

    /// What is in a sealed memory file; nil if it is none, or has more bytes than `most`.
    static func bytes(of file: CInt, atMost most: Int) -> [UInt8]? {
        guard let size = BytesFile.size(file), size <= most else { return nil }
        var isComplete = false
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { target, count in
            isComplete = BytesFile.read(file, into: UnsafeMutableRawBufferPointer(target))
            count = isComplete ? size : 0
        }
        return isComplete ? bytes : nil
    }
}
