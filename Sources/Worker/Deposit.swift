internal import CEpoll
internal import Channel
internal import Syscalls
internal import SystemPackage

/// Where a worker leaves the connection of a request that may last, for the master to find if the worker is killed.
///
/// A pair of sockets of the worker's own. A message with a duplicate of the connection is under way from one end to the other
/// as long as the request runs; the kernel keeps it, nobody is woken. The worker takes it out again when the request is
/// over. The master has a duplicate of the receiving end, and receives from it only once the worker is dead.
///
/// Costs two system calls a request, some 3 µs. Before Linux 6.10 the kernel also looks at all sockets that are under way
/// whenever a Unix socket is closed (unix_gc, net/unix/garbage.c), so there are not to be too many.
final class Deposit {
    /// Requests that run in the pool at the same time, beyond which nothing more is left.
    let most: Int64

    private let sender: MessageSocket
    /// The end that the master is to have, too.
    let receiver: MessageSocket
    private(set) var isFull = false

    /// - Throws: `Errno` of `socketpair(2)`.
    init() throws(Errno) {
        (sender, receiver) = try MessageSocket.pair()
        // No more of a user's descriptors may be under way than a process may have: the others are for connections that
        // are given back, by this user's other pools, too.
        most = min(256, Int64(clamping: cepoll_hard_file_limit() / 8))
    }

    /// Leaves a duplicate of a connection; false if it cannot be left: too many descriptors are under way.
    func leave(_ connection: CInt) -> Bool {
        guard !isFull, case .bytes? = try? sender.send(Message(.deposited), descriptors: [connection]) else {
            return false
        }
        isFull = true
        return true
    }

    /// Takes it out again: the kernel closes what comes with a message that is received without room for it.
    func takeBack() {
        guard isFull else { return }
        withUnsafeTemporaryAllocation(byteCount: Message.length, alignment: 8) { buffer in
            _ = try? Syscalls.receive(receiver.descriptor, into: buffer)
        }
        isFull = false
    }
}

@available(*, unavailable)
extension Deposit: Sendable {}
