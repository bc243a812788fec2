internal import CEpoll
internal import CScoreboard
internal import Glibc
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls

/// Being awake for the next connection of a client that opens one after the other; see ``EarlyWaking``.
///
///     answered ── closed at once
///        │
///        └── parting: nothing more is sent ── the client closes: awake ──► next connection
///                          └── anything else: closed ──► that
extension Worker {
    /// The connection's last request has been answered.
    func part(with client: Client) {
        guard isListening, !isDraining, client.place == nil, earlyWaking.isWorthwhile(), isAlone,
            !cscoreboard_is_kept(processor.slot)
        else { return forget(client) }
        release(client)
        processor.reader.reset()
        _ = shutdown(client.descriptor, CInt(SHUT_WR))
        parting = client
        if (try? watch(client.descriptor, .parting)) == nil { endParting() }
    }

    /// Whether no other worker of the pool has a request, as far as a quick look at the first slots tells.
    private var isAlone: Bool {
        let board = settings.scoreboard
        let own = processor.slotIndex
        return (0..<min(board.slotCount, 64)).allSatisfy { slot in
            slot == own || !board.stage(slot).isServing
        }
    }

    func endParting() {
        parting?.close()
        parting = nil
    }

    /// Something is ready while a client is expected to close.
    ///
    /// - Returns: Its next connection.
    func nextAfterParting(_ isExpected: Bool) -> Client? {
        endParting()
        let client = isExpected && isListening ? takeFromListener() : nil
        earlyWaking.ended(successfully: client != nil)
        return client
    }
}
