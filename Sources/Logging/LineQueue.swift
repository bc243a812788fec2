internal import DequeModule

/// Lines that wait for a destination that does not take them at once: in order, bounded, and counted when lost.
///
/// Pure: it moves bytes and counts.
struct LineQueue {
    /// Most bytes that wait; a line that does not fit is lost.
    static let capacity = 1 << 20

    private var lines = Deque<[UInt8]>()
    private var sent = 0
    /// Bytes that wait.
    private(set) var count = 0
    /// Lines lost since ``takeLost()``.
    private(set) var lost = 0

    /// Lines that wait.
    var lineCount: Int { lines.count }

    var isEmpty: Bool { lines.isEmpty }

    /// Keeps a line, or counts it as lost.
    mutating func append(_ line: [UInt8]) {
        guard count + line.count <= Self.capacity else { return lost += 1 }
        lines.append(line)
        count += line.count
    }

    /// What is left of the first line, empty if there is none; and as many whole lines after it as fit into `most` bytes
    /// with it.
    func next(joining most: Int) -> ArraySlice<UInt8> {
        guard let first = lines.first else { return [] }
        guard lines.count > 1, first.count - sent + lines[1].count <= most else { return first[sent...] }
        var joined = Array(first[sent...])
        for line in lines.dropFirst() {
            guard joined.count + line.count <= most else { break }
            joined += line
        }
        return joined[...]
    }

    /// Part of the first line is out already.
    var isInsideLine: Bool { sent > 0 }

    /// The first line is to come as a whole.
    mutating func beginAnew() {
        count += sent
        sent = 0
    }

    /// So many bytes of ``next(joining:)`` are out.
    mutating func advance(_ bytes: Int) {
        sent += bytes
        count -= bytes
        while let first = lines.first, sent >= first.count {
            lines.removeFirst()
            sent -= first.count
        }
    }

    /// So many bytes of ``next(joining:)`` cannot be had out: their lines are lost.
    mutating func lose(_ bytes: Int) {
        let before = lines.count
        advance(bytes)
        lost += before - lines.count
    }

    /// Lines that are not in the queue are lost.
    mutating func countLost(_ count: Int) { lost += count }

    /// How many lines were lost; counts from 0 again.
    mutating func takeLost() -> Int {
        defer { lost = 0 }
        return lost
    }
}
