/// Whether a worker is to be woken by the end of a connection that it has answered, to be awake for the next one.
///
/// A client that sends its requests one after the other closes one connection and opens the next within microseconds, in
/// less time than it takes to wake a sleeping processor. Who is woken by the first finds the second when it runs.
///
/// Pure.
public struct EarlyWaking: Equatable, Sendable {
    /// Nanoseconds after an answer within which the next request of such a client begins: two processors have been woken.
    static let soon: UInt64 = 200_000
    /// Nanoseconds that it takes at least: in less the worker has not slept.
    static let least: UInt64 = 8_000
    /// So many requests in a row must have come like that.
    static let needed = 32

    private var inARow = 0
    private var attempt = AdaptiveAttempt()

    /// Nothing is known.
    public init() {}

    /// A request has begun.
    ///
    /// - Parameter pause: Nanoseconds since the answer to the one before; nil if it has not come to the listener while the
    ///   worker waited there.
    public mutating func begins(after pause: UInt64?) {
        guard let pause, (Self.least..<Self.soon).contains(pause) else { return inARow = 0 }
        inARow = min(inARow + 1, Self.needed)
    }

    /// Counts an answer.
    ///
    /// - Returns: Whether to wait for the connection's end; then ``ended(successfully:)`` is to be told what came of it.
    public mutating func isWorthwhile() -> Bool { inARow == Self.needed && attempt.isWorthwhile() }

    /// Whether the next connection was there when the end of the one before had woken the worker.
    public mutating func ended(successfully: Bool) { attempt.ended(successfully: successfully) }
}
