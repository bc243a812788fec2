internal import Reactor
internal import Syscalls

/// What answers that take long may use of one turn of the loop, all together.
///
/// Such an answer is made in steps of a fraction of a millisecond. In each turn one step is always made; others
/// only if the turn, with all else that was done in it, is still short.
final class TurnShare {
    /// A turn that has lasted so long is left to others.
    private static let turnLimit = Duration.milliseconds(1)

    private let reactor: Reactor
    private var lastTurn: MonotonicTime?

    /// The share of this loop's turns.
    init(reactor: Reactor) { self.reactor = reactor }

    /// Whether another step may be made in this turn.
    func takeStep() -> Bool {
        let turn = reactor.now
        if lastTurn != turn {
            lastTurn = turn
            return true
        }
        return MonotonicTime.now - turn < Self.turnLimit
    }
}

@available(*, unavailable)
extension TurnShare: Sendable {}
