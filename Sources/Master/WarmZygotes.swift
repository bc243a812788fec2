internal import DequeModule

/// Zygotes of ondemand pools that have no worker.
///
/// Kept, so that the next request waits only for a fork, but not more of them than `process.idle_zygotes`: beyond that
/// the one that has been without a worker for longest ends.
///
///     a pool's last worker ends ──► kept ── a worker is wanted ──► in use
///                                    └── too many, and the oldest ──► told to end
final class WarmZygotes {
    private var kept: [ObjectIdentifier: (pool: Pool, turn: UInt64)] = [:]
    private var order = Deque<(pool: ObjectIdentifier, turn: UInt64)>()
    private var nextTurn: UInt64 = 0

    /// How many there are.
    var count: Int { kept.count }

    /// A pool's zygote has no worker any more.
    func keep(_ pool: Pool) {
        let identifier = ObjectIdentifier(pool)
        guard kept[identifier] == nil else { return }
        nextTurn += 1
        kept[identifier] = (pool, nextTurn)
        order.append((identifier, nextTurn))
        if order.count > 2 * kept.count + 64 { order.removeAll { kept[$0.pool]?.turn != $0.turn } }
    }

    /// It is wanted again, or gone.
    func release(_ pool: Pool) { kept[ObjectIdentifier(pool)] = nil }

    /// Those beyond `limit`, oldest first; they are not kept any more.
    func surplus(over limit: Int) -> [Pool] {
        var surplus: [Pool] = []
        while kept.count > limit, let oldest = order.popFirst() {
            guard let entry = kept[oldest.pool], entry.turn == oldest.turn else { continue }
            kept[oldest.pool] = nil
            surplus.append(entry.pool)
        }
        return surplus
    }
}

@available(*, unavailable)
extension WarmZygotes: Sendable {}
