internal import CEpoll
internal import CScoreboard
internal import Channel
internal import Glibc
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
/// Many clients ask for a connection to be kept, and close it after the answer. So one that has served a single request is
/// *unannounced* at first: the master has no duplicate, and fetches the descriptor if it has to take it. The duplicate follows
/// with the second request, or when the worker is idle for some milliseconds.
///
/// The states are words in the worker's page that both sides change by comparing and exchanging.
extension Worker {
    /// Others must have slept so long before they are given something.
    private static let sleep = Duration.milliseconds(1)
    /// Who has had no request for so long is not only waiting for a processor.
    private static let slice = Duration.milliseconds(4)
    /// A connection that has had no request for so long makes room for others.
    private static let idleness = Duration.milliseconds(100)

    /// Other work has come: the connection that is held alone is kept beside it, or parked.
    func setHeldAside() {
        guard let client = held else { return }
        if !share(client) { park(client) }
    }

    /// False: it remains as it was.
    private func share(_ client: Client) -> Bool {
        // With limits on the queue a request that has come is to be in the master's hands, counted.
        guard client.isKeptAlive, client.isWatched, brevity.isProven, !isDraining,
            !settings.plan.limitsQueue, let index = freePlace(), cepoll_was_accepted(client.descriptor)
        else { return false }
        latestSharing = (latestSharing + 1) & UInt32(CSCOREBOARD_LAST_SHARING)
        let isAnnounced = client.hasReturned || !isFetchedFrom
        let place = Client.Place(index: UInt32(index), sharing: latestSharing, isAnnounced: isAnnounced)
        if !isAnnounced { cscoreboard_hide_place(processor.slot, place.index, client.descriptor) }
        cscoreboard_set_place(processor.slot, place.index, place.sharing, CSCOREBOARD_IDLE)
        guard !isAnnounced || sendDuplicate(of: client, in: place) else {
            cscoreboard_set_place(processor.slot, place.index, 0, CSCOREBOARD_NOTHING)
            return false
        }
        client.place = place
        client.lastRequest = heldSince
        places[index] = client
        sharedCount += 1
        held = nil
        return true
    }

    private func sendDuplicate(of client: Client, in place: Client.Place) -> Bool {
        let message = Message(
            .share,
            flags: [.keptAlive, .peerChecked],
            slot: place.index,
            serial: Int64(place.sharing),
            value: client.acceptedTime
        )
        if case .bytes? = try? channel.send(message, descriptors: [client.descriptor]) { return true }
        return false
    }

    /// Whether the master may fetch a descriptor from here.
    private var isFetchedFrom: Bool {
        cscoreboard_load(&settings.scoreboard.pool.pointee.fetches) != 0
    }

    /// Sends the master a duplicate of a connection that is busy; without room for the message, another time.
    private func announce(_ client: Client) {
        guard let place = client.place, !place.isAnnounced, sendDuplicate(of: client, in: place) else {
            return
        }
        client.place?.isAnnounced = true
        cscoreboard_show_place(processor.slot, place.index)
    }

    /// The worker has been idle for a moment: what is unannounced is used seldom.
    func announcePlaces() {
        guard sharedCount > 0 else { return }
        for case let client? in places {
            guard let place = client.place, !place.isAnnounced, claim(client) else { continue }
            announce(client)
            returnToPlace(client)
        }
    }

    private func freePlace() -> Int? {
        if let index = firstFreePlace { return index }
        makeRoom(processor.begin)
        return firstFreePlace
    }

    private var firstFreePlace: Int? {
        places.prefix(Int(CSCOREBOARD_OWN_PLACES)).firstIndex { $0 == nil }
    }

    /// Gives the master those that have long been idle, or ten thousand that are used once would keep those out that are
    /// used all the time.
    private func makeRoom(_ now: MonotonicTime) {
        // What is in the buffer would go with them.
        guard processor.reader.buffer.isEmpty else { return }
        for case let client? in places where now - client.lastRequest >= Self.idleness {
            // Not the one that is about to be served, which has been idle for as long.
            guard let place = client.place, change(place, from: CSCOREBOARD_IDLE, to: CSCOREBOARD_BUSY) else {
                continue
            }
            park(client)
        }
    }

    // MARK: - Serving

    /// Serves the connections that have something to read, each once.
    ///
    /// False: the worker is lost.
    func attendReadable() -> Bool {
        if gather() { return true }
        spread()
        for descriptor in readable {
            guard let client = client(with: descriptor), claim(client) else { continue }
            if held !== client { setHeldAside() }
            guard attend(client) else { return false }
            if isDraining { break }
        }
        return true
    }

    /// Closes those whose clients have gone: that is no work for which something else would have to wait.
    func closeEnded() {
        for descriptor in ended {
            guard let client = client(with: descriptor), case .endOfStream? = try? peek(descriptor) else {
                continue
            }
            readable.removeAll { $0 == descriptor }
            if claim(client) { forget(client) }
        }
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
        client.lastRequest = processor.begin
        // Requests that were sent ahead, and the worker leaves.
        guard processor.reader.buffer.isEmpty else { return park(client) }
        if client.hasReturned { announce(client) }
        returnToPlace(client)
    }

    private func returnToPlace(_ client: Client) {
        guard let place = client.place, !change(place, from: CSCOREBOARD_BUSY, to: CSCOREBOARD_IDLE) else {
            return
        }
        // The master has let go of its duplicate.
        vacate(client)
        hold(client)
    }

    /// More workers are awake than there are processors, and one of them holds more connections: it gets these, too.
    ///
    /// Each of them would interrupt the other, whose clients wait for a slice of the scheduler then, not for a request.
    ///
    /// - Returns: Whether all connections were given away.
    private func gather() -> Bool {
        guard brevity.isProven, !settings.plan.limitsQueue else { return false }
        let now = MonotonicTime.now
        guard now - lastGathering >= Self.slice else { return false }
        lastGathering = now
        let others = others(now, within: Self.slice)
        guard others.awake >= processors, others.most > 0 else { return false }
        // The fullest does so, too, for the next time.
        if others.most + heldCount > UInt32(CSCOREBOARD_OWN_PLACES) { makeRoom(now) }
        guard others.isFuller(than: heldCount, in: processor.slotIndex),
            others.most + heldCount <= UInt32(CSCOREBOARD_OWN_PLACES)
        else { return false }
        if let held { park(held, gathers: true) }
        for case let client? in places where claim(client) { park(client, gathers: true) }
        return true
    }

    /// Idle connections in this worker's hands.
    var heldCount: UInt32 { UInt32(sharedCount + (held == nil ? 0 : 1)) }

    /// Takes a connection that another worker has given to one that is awake: the master has put it into a place.
    func takeGathered(_ order: Message, _ descriptors: [CInt]) {
        guard let descriptor = descriptors.first, order.slot >= UInt32(CSCOREBOARD_OWN_PLACES),
            order.slot < UInt32(CSCOREBOARD_PLACES)
        else {
            for descriptor in descriptors { closeDescriptor(descriptor) }
            return
        }
        // The master has taken that before, or it would not use the place again.
        if let former = places[Int(order.slot)] { letGo(former) }
        let client = Client(descriptor: descriptor, acceptedTime: order.value, isKeptAlive: true)
        client.place = Client.Place(index: order.slot, sharing: UInt32(truncatingIfNeeded: order.serial))
        client.lastRequest = MonotonicTime.now
        places[Int(order.slot)] = client
        sharedCount += 1
        do {
            try watch(descriptor, .client)
            client.isWatched = true
        } catch {
            if claim(client) { park(client) }
        }
    }

    /// Several have a request, somebody sleeps, and there are processors for both: one of them is given away.
    private func spread() {
        guard readable.count > 1, processors > 1 else { return }
        let now = MonotonicTime.now
        guard now - lastSpread >= Self.sleep else { return }
        lastSpread = now
        let others = others(now, within: Self.sleep)
        guard others.haveSleeper, others.awake < processors - 1, let descriptor = readable.popLast(),
            let client = client(with: descriptor), claim(client)
        else { return }
        park(client)
    }

    /// The pool's other workers.
    private struct Others {
        /// Those that have a request, or had one a moment ago.
        var awake = 0
        var haveSleeper = false
        /// The most connections that one of those that are awake holds, and its slot.
        var most: UInt32 = 0
        var fullest = 0

        /// Of two that hold as many the first is the one to hold all.
        func isFuller(than count: UInt32, in slot: Int) -> Bool {
            most > count || (most == count && fullest < slot)
        }
    }

    private func others(_ now: MonotonicTime, within moment: Duration) -> Others {
        let board = settings.scoreboard
        var others = Others()
        for index in 0..<min(board.slotCount, 256) where index != processor.slotIndex {
            let stage = board.stage(index)
            guard stage != .free else { continue }
            let page = board.slot(index)
            let since = cscoreboard_load_time(&page.pointee.idle_since_ns)
            if stage == .accepting, now - MonotonicTime(nanoseconds: since) >= moment {
                others.haveSleeper = true
                continue
            }
            others.awake += 1
            let held = cscoreboard_load_word(&page.pointee.held)
            if held > others.most { (others.most, others.fullest) = (held, index) }
        }
        return others
    }

    // MARK: - The end of it

    /// Forgets the connections that the master has taken since it was looked for last.
    func dropTaken() {
        guard cscoreboard_were_shared_taken(processor.slot) else { return }
        brevity.heldOthersUp()
        parkShared()
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
        if !place.isAnnounced { cscoreboard_show_place(processor.slot, place.index) }
        // Neither: the master has put another one there.
        if !change(place, from: CSCOREBOARD_BUSY, to: CSCOREBOARD_NOTHING) {
            _ = change(place, from: CSCOREBOARD_TAKEN, to: CSCOREBOARD_NOTHING)
        }
    }

    /// Has the master close its duplicate of a connection that is closed or given away.
    ///
    /// - Returns: Whether there was one.
    @discardableResult
    func endSharing(_ client: Client) -> Bool {
        guard let place = client.place else { return false }
        vacate(client)
        guard place.isAnnounced else { return false }
        _ = tell(Message(.unshare, slot: place.index, serial: Int64(place.sharing)))
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
