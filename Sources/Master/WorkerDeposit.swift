internal import CEpoll
internal import Channel

/// The master's end of the pair in which a worker leaves the connection of a request that may last (the worker's
/// `Deposit`).
///
/// Opened once, when the worker is dead. What is in there is the worker's word: anything, and any number of it, so that
/// to close it might wait for what it holds.
final class WorkerDeposit {
    /// Nil once it has been opened.
    private var socket: MessageSocket?

    /// Owns the end that the image before this one had.
    init(inherited descriptor: CInt) {
        let socket = MessageSocket(adopting: descriptor)
        socket.isBounded = true
        self.socket = socket
    }

    /// Owns the end that a worker has given; nil, and the descriptor remains the caller's, if that is no Unix socket.
    convenience init?(given descriptor: CInt) {
        guard cepoll_is_local_socket(descriptor) else { return nil }
        self.init(inherited: descriptor)
    }

    /// The descriptor, to be handed to the next image; -1 once it has been opened.
    var descriptor: CInt { socket?.descriptor ?? -1 }

    /// Opens it.
    ///
    /// - Parameter closeElsewhere: Takes descriptors whose closing might make the master wait.
    /// - Returns: The connection that was left; usually nothing was.
    func open(closing closeElsewhere: (CInt) -> Void) -> Connection? {
        let connection = first(closing: closeElsewhere)
        let rest = cepoll_holds_message(descriptor) ? cepoll_duplicate(descriptor) : -1
        // Not the last to close it, if there is more in it.
        socket = nil
        if rest >= 0 { closeElsewhere(rest) }
        return connection
    }

    private func first(closing closeElsewhere: (CInt) -> Void) -> Connection? {
        withUnsafeTemporaryAllocation(byteCount: Message.length, alignment: 8) { buffer in
            switch try? socket?.receive(into: buffer) {
            case .message(let message, _, let descriptors, _):
                if message.kind == .deposited, let connection = Self.connection(descriptors) {
                    return connection
                }
                descriptors.forEach(closeElsewhere)
            case .malformed(let descriptors), .descriptorsLost(let descriptors):
                descriptors.forEach(closeElsewhere)
            case .wouldBlock, .closed, nil: break
            }
            return nil
        }
    }

    /// The only one of these, if it is a client's connection.
    private static func connection(_ descriptors: [CInt]) -> Connection? {
        guard descriptors.count == 1 else { return nil }
        return Connection(checking: descriptors[0])
    }
}

@available(*, unavailable)
extension WorkerDeposit: Sendable {}
