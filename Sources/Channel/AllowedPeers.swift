public import CEpoll
public import Configuration

/// `listen.allowed_clients`: exact addresses; an empty list allows nobody.
public struct AllowedPeers {
    private var addresses: [cepoll_address] = []
    /// What is wrong with the list, in php-fpm's words.
    public private(set) var problems: [ByteString] = []

    /// Reads the elements; one that is no address is a problem, and allows nobody.
    public init(_ elements: [ByteString], directive: ByteString = "listen.allowed_clients") {
        for element in elements {
            var address = cepoll_address()
            if cepoll_parse_address(element.cString, &address) {
                addresses.append(address)
            } else {
                problems.append("Wrong IP address '\(element)' in \(directive)")
            }
        }
        if addresses.isEmpty { problems.append("There are no allowed addresses") }
    }

    /// Whether a peer may connect.
    ///
    /// IPv4-mapped peers match IPv4 entries; all sixteen bytes of others count.
    public func allows(_ peer: cepoll_address) -> Bool {
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
        _ left: cepoll_address,
        _ leftStart: Int,
        _ right: cepoll_address,
        _ rightStart: Int,
        _ count: Int
    ) -> Bool {
        withUnsafeBytes(of: left.bytes) { left in
            withUnsafeBytes(of: right.bytes) { right in
                left[leftStart..<(leftStart + count)].elementsEqual(right[rightStart..<(rightStart + count)])
            }
        }
    }
}
