/// Whether a worker's requests are short.
///
/// A worker that holds several connections makes all of them wait for the request it serves; so it does that only while its
/// requests take next to no time, on average: some take longer as others had the processor. After a long one it has to be
/// shown anew.
///
/// Pure.
public struct Brevity: Equatable, Sendable {
    /// Microseconds that short requests take at most, on average.
    static let most: Int64 = 1000
    /// Microseconds that a request counts at most.
    static let longest: Int64 = 64_000
    /// The average's weight: of about so many requests.
    static let window: Int64 = 32

    /// In 256ths of a microsecond, so that small figures are not lost in rounding.
    private var average: Int64 = 4 * most << 8

    /// Nothing is known.
    public init() {}

    /// Whether the latest requests were short.
    public var isProven: Bool { average <= Self.most << 8 }

    /// A request has been served.
    public mutating func served(microseconds: Int64) {
        let counted = max(0, min(microseconds, Self.longest)) << 8
        average += (counted - average) / Self.window
    }
}
