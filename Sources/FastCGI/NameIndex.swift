/// Finds parameters by name: an open hash table of entry positions.
///
/// Names come from the peer, so the hash is seeded; and the part in use grows with the number of names, so
/// that emptying it costs little for the usual thirty.
struct NameIndex {
    private static let initialSlots = 128

    private let seed: UInt64
    /// Position of an entry plus one; 0 is free.
    ///
    /// Only the first `mask + 1` are in use.
    private var slots: [UInt32]
    private var mask: Int

    init(seed: UInt64) {
        self.seed = seed
        slots = Array(repeating: 0, count: Self.initialSlots)
        mask = Self.initialSlots - 1
    }

    /// Forgets all names.
    mutating func reset() {
        mask = Self.initialSlots - 1
        clear()
    }

    /// Whether `count` names fill the slots further than searching stays fast.
    func isCrowded(_ count: Int) -> Bool { count * 2 > mask }

    /// Empties the index with room for `count` names; the caller inserts them anew.
    mutating func grow(for count: Int) {
        var size = mask + 1
        while count * 2 >= size { size *= 2 }
        if size > slots.count { slots = Array(repeating: 0, count: size) }
        mask = size - 1
        clear()
    }

    /// The first slot to look at for a hash.
    @inline(__always)
    func firstSlot(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & mask }

    /// The slot to look at when another name holds `slot`.
    @inline(__always)
    func nextSlot(_ slot: Int) -> Int { (slot + 1) & mask }

    /// Position of the entry in `slot`, or nil when it is free.
    @inline(__always)
    func entry(in slot: Int) -> Int? {
        let stored = slots[slot]
        return stored == 0 ? nil : Int(stored) - 1
    }

    /// Puts the entry at `position` into a free slot.
    @inline(__always)
    mutating func fill(_ slot: Int, with position: Int) { slots[slot] = UInt32(position) + 1 }

    /// Hashes a name, eight bytes at a time.
    @inline(__always)
    func hash(_ name: Span<UInt8>) -> UInt64 {
        let count = name.count
        var state = seed ^ UInt64(truncatingIfNeeded: count)
        if count >= 8 {
            var offset = 0
            while offset < count - 8 {
                state = Self.mix(state ^ name.word(at: offset))
                offset += 8
            }
            return Self.mix(state ^ name.word(at: count - 8))
        }
        var tail: UInt64 = 0
        for position in 0..<count { tail = tail << 8 | UInt64(name[position]) }
        return Self.mix(state ^ tail)
    }

    private mutating func clear() {
        for slot in 0...mask { slots[slot] = 0 }
    }

    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        return product.high ^ product.low
    }
}
