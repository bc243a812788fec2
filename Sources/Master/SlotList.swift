/// The slots of a pool's scoreboard that no worker has: those given back, and those never used.
///
/// A pool with many slots costs nothing until it uses them.
struct SlotList {
    private var returned: [Int] = []
    private var unused: Range<Int>

    /// All of `count` slots are free.
    init(count: Int) { unused = 0..<count }

    /// How many are free.
    var count: Int { returned.count + unused.count }

    /// Takes one: the one given back last, else the lowest that was never used.
    mutating func take() -> Int? { returned.popLast() ?? unused.popFirst() }

    /// Gives one back.
    mutating func put(_ slot: Int) { returned.append(slot) }

    /// Takes those that satisfy `isUsed`, of slots none of which has been taken.
    mutating func take(where isUsed: (Int) -> Bool) {
        returned = unused.reversed().filter { !isUsed($0) }
        unused = 0..<0
    }
}
