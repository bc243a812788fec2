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

    var isEmpty: Bool { lines.isEmpty }

    /// Keeps a line, or counts it as lost.
    mutating func append(_ line: [UInt8]) {
        guard count + line.count <= Self.capacity else { return lost += 1 }
        lines.append(line)
        count += line.count
    }

    /// What is left of the first line, empty if there is none.
    var next: ArraySlice<UInt8> { lines.first.map { $0[sent...] } ?? [] }
    /// Part of the first line is out already.
    var isInsideLine: Bool { sent > 0 }

    /// So many bytes of ``next`` are out.
    mutating func advance(_ bytes: Int) {
        guard let first = lines.first else { return }
        sent += bytes
        count -= bytes
        if sent >= first.count {
            lines.removeFirst()
            sent = 0
        }
    }

    /// The first line cannot be had out: it is lost.
    mutating func loseFirst() {
        guard let first = lines.popFirst() else { return }
        count -= first.count - sent
        sent = 0
        lost += 1
    }

    /// A line that is not in the queue is lost.
    mutating func countLost() { lost += 1 }

    /// How many lines were lost; counts from 0 again.
    mutating func takeLost() -> Int {
        defer { lost = 0 }
        return lost
    }
}
