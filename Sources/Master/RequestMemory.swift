internal import Glibc

/// How much memory the requests of all pools take that the master has received and no worker has taken.
///
/// Each pool has a bound of its own. This one is for what `request_buffer` allows beyond the ordinary size: when it is
/// reached, requests are no longer waited for in the master, but go to workers as far as they have come.
final class RequestMemory {
    /// An eighth of the machine's memory, but no more than 1 GiB.
    static var ofThisMachine: Int {
        let (pages, size) = (sysconf(CInt(_SC_PHYS_PAGES)), sysconf(CInt(_SC_PAGESIZE)))
        let (bytes, overflow) = pages.multipliedReportingOverflow(by: size)
        return overflow || bytes <= 0 ? 64 << 20 : min(1 << 30, bytes / 8)
    }

    let limit: Int
    private(set) var used = 0

    init(limit: Int = RequestMemory.ofThisMachine) { self.limit = limit }

    /// Bytes have come, or gone if negative.
    func add(_ bytes: Int) { used += bytes }

    /// Whether as many bytes more are within the limit.
    func hasRoom(for bytes: Int) -> Bool { used + bytes <= limit }
}

@available(*, unavailable)
extension RequestMemory: Sendable {}
