internal import DequeModule

/// Which zygotes start, and which wait for that.
///
/// A few at a time: starting PHP takes a processor for some 20 ms.
///
///     waiting ── a place is free ──► starting ── ready, gone, or waits for something ──► the place is free
///        └── its pool has gone ──► dropped
struct ZygoteStarts {
    private struct Waiting {
        weak var pool: Pool?
    }

    /// How many may start at a time, but for those that only wait.
    var most = 4
    /// How many do.
    private(set) var count = 0
    private var waiting = Deque<Waiting>()

    /// The pool's zygote is to start when there is a place.
    mutating func add(_ pool: Pool) { waiting.append(Waiting(pool: pool)) }

    /// The next whose zygote starts, if there is a place; it takes that.
    mutating func next() -> Pool? {
        while count < most, let first = waiting.popFirst() {
            guard let pool = first.pool else { continue }
            count += 1
            return pool
        }
        return nil
    }

    /// One starts that the image of the program before this one has started.
    mutating func adopt() { count += 1 }

    /// One is ready, has failed, or needs no processor.
    mutating func finish() { count -= 1 }
}

@available(*, unavailable)
extension ZygoteStarts: Sendable {}
