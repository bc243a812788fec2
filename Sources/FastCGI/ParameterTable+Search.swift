extension ParameterTable {
    /// Where a name is, or the slot of the index it would take.
    enum SearchResult {
        case found(Int)
        case free(slot: Int)
    }

    /// Looks a name up.
    @inline(__always)
    func search(_ name: Span<UInt8>) -> SearchResult {
        var slot = index.firstSlot(index.hash(name))
        while let position = index.entry(in: slot) {
            let stored = entries[position].name
            if Int(stored.length) == name.count, arena.withSpan(stored, { $0.holdsSameBytes(as: name) }) {
                return .found(position)
            }
            slot = index.nextSlot(slot)
        }
        return .free(slot: slot)
    }

    /// Appends an entry whose name is known to be new.
    @inline(__always)
    mutating func insert(_ name: Slice, _ value: Slice, at slot: Int) {
        let position = entries.count
        entries.append(
            Entry(
                nameOffset: name.offset,
                nameLength: name.length,
                valueOffset: value.offset,
                valueLength: value.length
            )
        )
        if index.isCrowded(position + 1) {
            rebuildIndex()
        } else {
            index.fill(slot, with: position)
        }
    }

    /// Indexes all entries anew; their names differ.
    mutating func rebuildIndex() {
        index.grow(for: entries.count)
        for position in entries.indices {
            let hash = arena.withSpan(entries[position].name) { index.hash($0) }
            var slot = index.firstSlot(hash)
            while index.entry(in: slot) != nil { slot = index.nextSlot(slot) }
            index.fill(slot, with: position)
        }
    }
}
