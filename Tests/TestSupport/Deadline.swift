import Foundation

/// A point on the monotonic clock that a wait must not pass.
package struct Deadline: Sendable {
    private let instant: ContinuousClock.Instant

    /// Sets the deadline `duration` from now.
    package init(in duration: Duration) {
        instant = .now + duration
    }

    /// Tells whether the deadline lies in the past.
    package var hasPassed: Bool { ContinuousClock.now >= instant }

    /// Whole milliseconds left, rounded up, never negative: the timeout argument of `poll(2)`.
    package var millisecondsLeft: Int32 {
        let left = instant - .now
        guard left > .zero else { return 0 }
        let (seconds, attoseconds) = left.components
        return Int32(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }
}

/// How long a test waits for something that should happen at once, on a slow and busy machine.
package let patience: Duration = .seconds(20)

/// What a test could not get before its deadline, or could not do at all.
package struct TestFailure: Error, CustomStringConvertible {
    package let description: String

    /// Names the failure.
    package init(_ description: String) {
        self.description = description
    }

    /// Names a failed system call and the reason that `errno` gives.
    static func systemCall(_ call: String) -> TestFailure {
        let code = errno
        return TestFailure("\(call): \(String(cString: strerror(code))) (\(code))")
    }
}

/// Looks at `condition` every few milliseconds until it holds.
///
/// `what` is named in the failure, as in "waited in vain for …".
package func wait(
    for what: @autoclosure () -> String,
    within limit: Duration = patience,
    until condition: () throws -> Bool
) throws {
    let deadline = Deadline(in: limit)
    while true {
        if try condition() { return }
        if deadline.hasPassed { throw TestFailure("waited \(limit) in vain for \(what())") }
        poll(nil, 0, 3)
    }
}

/// Waits until `value` returns something.
///
/// The result is the first that is not nil; ``TestFailure`` is thrown once `limit` has passed.
package func wait<Value>(
    for what: @autoclosure () -> String,
    within limit: Duration = patience,
    value: () throws -> Value?
) throws -> Value {
    var found: Value?
    try wait(
        for: what(),
        within: limit,
        until: {
            found = try value()
            return found != nil
        }
    )
    guard let found else { throw TestFailure("waited in vain for \(what())") }
    return found
}
