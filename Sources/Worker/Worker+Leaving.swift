internal import CEpoll
internal import CScoreboard
internal import Channel
internal import PoolPolicy
internal import Syscalls

/// The worker's end: announced to the master; what is left for this worker is served before it leaves.
extension Worker {
    /// Has the master start another worker, which takes this one's place.
    ///
    /// - Parameter flags: ``Message/Flags/mustLeave`` if this one leaves even if there can be no other.
    func announceEnd(flags: Message.Flags = []) {
        guard !hasAnnounced, !isDraining else { return }
        hasAnnounced = true
        processor.leaves(
            flags.contains(.mustLeave) ? CSCOREBOARD_LEAVES_MAX_MEMORY : CSCOREBOARD_LEAVES_MAX_REQUESTS
        )
        // A master that takes no message now is told by the worker's end.
        if case .bytes? = try? channel.send(Message(.retiring, flags: flags)) { return }
        if flags.contains(.mustLeave) { isDraining = true }
    }

    /// Gives the held connection back, serves what is left for this worker, and leaves.
    ///
    /// The kernel wakes one sleeping worker for a new connection. If that one left instead of taking it,
    /// nobody else would be told; so it takes one, for the master to hand on, or to serve if the master
    /// is gone (unless the service stops and another one gets the listener). The queue is served to its
    /// end: the master may have filled it for that.
    ///
    /// - Returns: The process's exit status.
    func drain() -> CInt {
        endParting()
        let leavesListener = leavesListener
        if leavesListener { serveHeld() }
        parkHeld()
        parkShared()
        if isListening, !leavesListener, let client = takeFromListener() {
            if isMasterGone {
                guard attend(client) else { return 70 }
                serveHeld()
            } else {
                park(client)
            }
        }
        // A worker that has served its last request takes no other; one that was told to leave empties the
        // queue.
        var isEmpty = false
        while cepoll_drain_requested(), !lifetime.isOver, !isEmpty {
            switch takeFromQueue() {
            case .nothing: isEmpty = true
            case .skipped: break
            case .client(let client):
                guard attend(client) else { return 70 }
                if leavesListener { serveHeld() }
            }
        }
        parkHeld()
        return hasFailed ? 70 : 0
    }

    /// Serves what the held connection sends at last, if it has sent nothing yet.
    ///
    /// The master leaves too, and its successor has only the listener: who has been taken from there is
    /// served here or never.
    private func serveHeld() {
        guard let client = held, !client.isKeptAlive else { return }
        let left = Int64(((heldSince + Self.silentPatience) - MonotonicTime.now).nanoseconds / 1_000_000)
        if waitUntilReady(client.descriptor, for: UInt32(CEPOLL_IN), milliseconds: CInt(clamping: left + 1)) {
            _ = attend(client)
        }
    }
}
