internal import CEpoll
internal import Glibc

/// Whether a worker has descriptor numbers for what it is about to receive: what comes without one is lost, and scripts may
/// have left none (persistent connections).
struct SpareNumbers {
    /// The number of the latest connection.
    ///
    /// The kernel gives the lowest that is free: while this is low, most are.
    var latest = CInt.max
    private let plenty = CInt(clamping: cepoll_soft_file_limit() / 2)

    /// - Parameter source: Where it comes from: two duplicates of this are tried, as a file may come with a connection.
    func areLeft(for source: CInt) -> Bool { latest < plenty || cepoll_has_two_numbers(source) }
}
