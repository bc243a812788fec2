import Foundation

/// A point on the monotonic clock that a wait must not pass.
public struct Deadline: Sendable {
    private let instant: ContinuousClock.Instant

    /// Sets the deadline `duration` from now.
    public init(in duration: Duration) {
        instant = .now + duration
    }

    /// Tells whether the deadline lies in the past.
    public var hasPassed: Bool { ContinuousClock.now >= instant }

    /// Whole milliseconds left, rounded up, never negative: the timeout argument of `poll(2)`.
    public var millisecondsLeft: Int32 {
        let left = instant - .now
        guard left > .zero else { return 0 }
        let (seconds, attoseconds) = left.components
        return Int32(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }
}

/// How long a test waits for something that should happen at once, on a slow and busy machine.
public let patience: Duration = .seconds(20)

/// What a test could not get before its deadline, or could not do at all.
public struct TestFailure: Error, CustomStringConvertible {
    public let description: String

    /// Names the failure.
    public init(_ description: String) {
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
/// - Parameter what: Named in the failure, as in "waited in vain for …".
/// - Throws: ``TestFailure`` once `limit` has passed, and whatever `condition` throws.
public func wait(
    for what: @autoclosure () -> String, within limit: Duration = patience, until condition: () throws -> Bool
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
/// - Returns: The first result that is not nil.
/// - Throws: ``TestFailure`` once `limit` has passed, and whatever `value` throws.
public func wait<Value>(
    for what: @autoclosure () -> String, within limit: Duration = patience, value: () throws -> Value?
) throws -> Value {
    var found: Value?
    try wait(for: what(), within: limit, until: {
        found = try value()
        return found != nil
    })
    guard let found else { throw TestFailure("waited in vain for \(what())") }
    return found
}
