internal import CEpoll
public import Channel
internal import Configuration
internal import FastCGI
internal import Glibc
public import Scoreboard
public import Syscalls

/// What all workers of a pool generation share; built by the zygote before it forks, inherited by each.
public struct WorkerSettings {
    /// The pool's plan as the master sent it.
    public let plan: ZygotePlan
    /// The pool's shared pages.
    public let scoreboard: Scoreboard
    /// The pool's listener; non-blocking, shared with the master and all workers.
    public let listener: CInt
    /// Receiving end of the pool's queue; shared with all workers.
    public let queue: MessageSocket
    /// The access log, opened by the master; nil for none.
    public let accessLog: SharedDescriptor?
    /// Elements of `listen.allowed_clients` that are addresses; nil allows every peer.
    let allowedPeers: AllowedPeers?
    let accessFormat: AccessLogFormat?
    let statusPath: PathMatch
    let pingPath: PathMatch

    /// Prepares what does not change from worker to worker.
    public init(
        plan: ZygotePlan, scoreboard: Scoreboard, listener: CInt, queue: MessageSocket, accessLog: SharedDescriptor?
    ) {
        self.plan = plan
        self.scoreboard = scoreboard
        self.listener = listener
        self.queue = queue
        self.accessLog = accessLog
        allowedPeers = plan.isTCP ? plan.allowedClients.map { AllowedPeers($0) } : nil
        accessFormat = accessLog == nil ? nil : plan.accessFormat.flatMap { try? AccessLogFormat($0) }
        statusPath = PathMatch(plan.statusPath?.bytes ?? [])
        pingPath = PathMatch(plan.pingPath?.bytes ?? [])
    }

    /// What is wrong with `listen.allowed_clients`, in php-fpm's words; each worker says it once, as php-fpm does.
    var allowedPeersProblems: [ByteString] { allowedPeers?.problems ?? [] }
}

/// `listen.allowed_clients`: exact addresses; an empty list allows nobody.
struct AllowedPeers {
    private var addresses: [cepoll_address] = []
    private(set) var problems: [ByteString] = []

    init(_ elements: [ByteString]) {
        for element in elements {
            var address = cepoll_address()
            if cepoll_parse_address(element.description, &address) {
                addresses.append(address)
            } else {
                problems.append("Wrong IP address '\(element)' in listen.allowed_clients")
            }
        }
        if addresses.isEmpty { problems.append("There are no allowed addresses") }
    }

    /// Whether a peer may connect. IPv4-mapped peers match IPv4 entries; all sixteen bytes of others count.
    func allows(_ peer: cepoll_address) -> Bool {
        addresses.contains { entry in
            if entry.family == peer.family { return sameBytes(entry, 0, peer, 0, entry.family == 4 ? 4 : 16) }
            return entry.family == 4 && isMapped(peer) && sameBytes(entry, 0, peer, 12, 4)
        }
    }

    private func isMapped(_ address: cepoll_address) -> Bool {
        guard address.family == 6 else { return false }
        return withUnsafeBytes(of: address.bytes) { bytes in
            bytes[0..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
        }
    }

    private func sameBytes(
        _ left: cepoll_address, _ leftStart: Int, _ right: cepoll_address, _ rightStart: Int, _ count: Int
    ) -> Bool {
        withUnsafeBytes(of: left.bytes) { left in
            withUnsafeBytes(of: right.bytes) { right in
                left[leftStart..<(leftStart + count)].elementsEqual(right[rightStart..<(rightStart + count)])
            }
        }
    }
}

/// The text of a peer's address, `-` for one that has none.
func peerText(_ peer: cepoll_address) -> ByteString {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
        guard let base = buffer.baseAddress else { return "-" }
        var copy = peer
        let length = cepoll_address_text(&copy, base, buffer.count)
        guard length > 0 else { return "-" }
        return ByteString(UnsafeRawBufferPointer(start: base, count: Int(length)))
    }
}
