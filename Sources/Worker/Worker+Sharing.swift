internal import CEpoll
internal import CScoreboard
internal import Channel
internal import PoolPolicy
internal import Scoreboard
internal import Syscalls

/// Holding several idle connections.
///
/// A web server keeps more connections than there are workers. While requests are short (``Brevity``) a worker keeps those
/// that it has served, and serves whichever has a request: that takes no message and no other process. The master has a
/// duplicate of each, and takes what is idle when the worker is busy for long, or dies.
///
///     held alone ── other work ──► idle in a place ⇄ busy ── closed, given away ──► gone
///                                       └── taken by the master ──► gone
///
/// The states are words in the worker's page that both sides change by comparing and exchanging.
extension Worker {
    /// Others must have slept so long before they are given something.
    private static let sleep = Duration.milliseconds(1)

    /// Other work has come: the connection that is held alone is kept beside it, or parked.
    func setHeldAside() {
        guard let client = held else { return }
        if !share(client) { park(client) }
    }

    /// False: it remains as it was.
    private func share(_ client: Client) -> Bool {
        // With limits on the queue a request that has come is to be in the master's hands, counted.
        guard client.isKeptAlive, client.isWatched, brevity.isProven, !isDraining,
            !settings.plan.tellsQueueTime, let index = places.firstIndex(where: { $0 == nil })
        else { return false }
        latestSharing = (latestSharing + 1) & UInt32(CSCOREBOARD_LAST_SHARING)
        let place = Client.Place(index: UInt32(index), sharing: latestSharing)
        cscoreboard_set_place(processor.slot, place.index, place.sharing, CSCOREBOARD_IDLE)
        let message = Message(
            .share,
            flags: [.keptAlive, .peerChecked],
            slot: place.index,
            serial: Int64(place.sharing),
            value: client.acceptedTime
        )
        guard case .bytes? = try? channel.send(message, descriptors: [client.descriptor]) else {
            cscoreboard_set_place(processor.slot, place.index, 0, CSCOREBOARD_NOTHING)
            return false
        }
        client.place = place
        places[index] = client
        sharedCount += 1
        held = nil
        return true
    }

    // MARK: - Serving

    /// Serves the connections that have something to read, each once.
    ///
    /// False: the worker is lost.
    func attendReadable() -> Bool {
        spread()
        for descriptor in readable {
            guard let client = client(with: descriptor), claim(client) else { continue }
            if held !== client { setHeldAside() }
            guard attend(client) else { return false }
            if isDraining { break }
        }
        return true
    }

    private func client(with descriptor: CInt) -> Client? {
        if let held, held.descriptor == descriptor { return held }
        for case let client? in places where client.descriptor == descriptor { return client }
        return nil
    }

    /// False: it is the master's now.
    private func claim(_ client: Client) -> Bool {
        guard let place = client.place else { return true }
        if change(place, from: CSCOREBOARD_IDLE, to: CSCOREBOARD_BUSY) { return true }
        letGo(client)
        return false
    }

    /// A shared connection has been served, with all requests that came ahead.
    func putBack(_ client: Client) {
        // Requests that were sent ahead, and the worker leaves.
        guard processor.reader.buffer.isEmpty else { return park(client) }
        guard let place = client.place, !change(place, from: CSCOREBOARD_BUSY, to: CSCOREBOARD_IDLE) else {
            return
        }
        // The master has let go of its duplicate.
        vacate(client)
        hold(client)
    }

    /// Several have a request, somebody sleeps, and there are processors for both: one of them is given away.
    private func spread() {
        guard readable.count > 1, processors > 1 else { return }
        let now = MonotonicTime.now
        guard now - lastSpread >= Self.sleep else { return }
        lastSpread = now
        guard somebodyRests(now), let descriptor = readable.popLast(),
            let client = client(with: descriptor), claim(client)
        else { return }
        park(client)
    }

    /// Whether another worker has slept for a moment, and fewer are awake than there are processors.
    private func somebodyRests(_ now: MonotonicTime) -> Bool {
        let board = settings.scoreboard
        var awake = 1
        var hasSlept = false
        for index in 0..<min(board.slotCount, 256) where index != processor.slotIndex {
            switch board.stage(index) {
            case .free: continue
            case .accepting:
                let since = cscoreboard_load_time(&board.slot(index).pointee.idle_since_ns)
                if now - MonotonicTime(nanoseconds: since) >= Self.sleep {
                    hasSlept = true
                } else {
                    awake += 1
                }
            case .reading, .info, .executing, .ending, .finished: awake += 1
            }
            if awake >= processors { return false }
        }
        return hasSlept
    }

    // MARK: - The end of it

    /// Forgets the connections that the master has taken since it was looked for last.
    func dropTaken() {
        guard cscoreboard_were_shared_taken(processor.slot) else { return }
        for case let client? in places {
            guard let place = client.place,
                change(place, from: CSCOREBOARD_TAKEN, to: CSCOREBOARD_NOTHING)
            else { continue }
            letGo(client)
        }
    }

    func parkShared() {
        guard sharedCount > 0 else { return }
        for case let client? in places where claim(client) { park(client) }
    }

    /// The master's duplicate is the connection now: it lives on.
    private func letGo(_ client: Client) {
        vacate(client)
        release(client)
        client.close()
    }

    private func vacate(_ client: Client) {
        guard let place = client.place else { return }
        client.place = nil
        places[Int(place.index)] = nil
        sharedCount -= 1
        cscoreboard_set_place(processor.slot, place.index, 0, CSCOREBOARD_NOTHING)
    }

    /// Has the master close its duplicate of a connection that is closed or given away.
    ///
    /// - Returns: Whether there was one.
    @discardableResult
    func endSharing(_ client: Client) -> Bool {
        guard let place = client.place else { return false }
        vacate(client)
        let message = Message(.unshare, slot: place.index, serial: Int64(place.sharing))
        while case .wouldBlock? = try? channel.send(message) {
            // A master that is stopped for a moment.
            guard waitUntilReady(channel.descriptor, for: UInt32(CEPOLL_OUT), milliseconds: 10_000) else {
                break
            }
        }
        return true
    }

    private func change(
        _ place: Client.Place,
        from former: cscoreboard_sharing,
        to next: cscoreboard_sharing
    ) -> Bool {
        cscoreboard_change_place(processor.slot, place.index, place.sharing, former, next)
    }
}
