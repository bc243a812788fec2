extension ParameterTable {
    /// Takes the next piece of the PARAMS stream; pairs may be cut anywhere.
    ///
    /// A piece that ends with a whole pair, as web servers send it, is copied once, into the arena.
    ///
    /// - Throws: ``ProtocolViolation/tooManyParameters(limit:)``.
    public mutating func append(_ piece: Span<UInt8>) throws(ProtocolViolation) {
        var position = 0
        if !pending.isEmpty {
            position = completePending(piece)
            guard PairLayout(pending.span, at: 0).missing == 0 else { return }
            var pair: [UInt8] = []
            swap(&pair, &pending)
            _ = try appendPairs(pair.span, from: 0)
            pair.removeAll(keepingCapacity: true)
            swap(&pair, &pending)
        }
        position = try appendPairs(piece, from: position)
        for rest in position..<piece.count { pending.append(piece[rest]) }
    }

    /// Ends the PARAMS stream.
    ///
    /// - Throws: ``ProtocolViolation/truncatedPair`` when the last pair claims more bytes than came.
    public mutating func finish() throws(ProtocolViolation) {
        guard pending.isEmpty else { throw .truncatedPair }
        if arena.holdsStrayNUL { cutAtNUL() }
    }

    /// Moves bytes from the front of `piece` to the unfinished pair until that is whole.
    ///
    /// - Returns: How many bytes were moved.
    private mutating func completePending(_ piece: Span<UInt8>) -> Int {
        var position = 0
        while position < piece.count {
            let missing = PairLayout(pending.span, at: 0).missing
            guard missing > 0 else { break }
            let end = position + min(missing, piece.count - position)
            while position < end {
                pending.append(piece[position])
                position += 1
            }
        }
        return position
    }

    /// Stores the whole pairs of `bytes` that start at `start`.
    ///
    /// - Returns: Where the first pair starts that is not whole, or the end.
    private mutating func appendPairs(_ bytes: Span<UInt8>, from start: Int) throws(ProtocolViolation) -> Int
    {
        var position = start
        // With its two NULs a pair is never longer than with its two lengths.
        arena.reserve(bytes.count - start)
        while position < bytes.count {
            let pair = PairLayout(bytes, at: position)
            guard pair.missing == 0 else { break }
            guard pairCount < maximumCount else { throw .tooManyParameters(limit: maximumCount) }
            pairCount += 1
            let name = position + pair.headerLength
            let value = name + pair.nameLength
            position = value + pair.valueLength
            set(bytes.extracting(name..<value), to: bytes.extracting(value..<position))
        }
        return position
    }

    /// Drops the bytes from a NUL on from all names and values.
    private mutating func cutAtNUL() {
        let all = entries
        entries.removeAll(keepingCapacity: true)
        index.grow(for: all.count)
        for entry in all {
            let name = arena.cutAtNUL(entry.name)
            let value = arena.cutAtNUL(entry.value)
            switch arena.withSpan(name, { search($0) }) {
            case .found(let position): entries[position].value = value
            case .free(let slot): insert(name, value, at: slot)
            }
        }
    }
}

/// The lengths in front of a name-value pair.
struct PairLayout {
    /// Bytes of the two lengths.
    var headerLength = 0
    var nameLength = 0
    var valueLength = 0
    /// Bytes to wait for before more can be said; 0 when the pair is whole.
    var missing = 0

    /// Reads the pair at `position`.
    @inline(__always)
    init(_ bytes: Span<UInt8>, at position: Int) {
        let available = bytes.count - position
        guard available >= 2 else {
            missing = 2 - available
            return
        }
        let first = bytes[position]
        let second = bytes[position + 1]
        if (first | second) & 0x80 == 0 {
            headerLength = 2
            nameLength = Int(first)
            valueLength = Int(second)
        } else {
            let nameBytes = first & 0x80 == 0 ? 1 : 4
            guard available > nameBytes else {
                missing = nameBytes + 1 - available
                return
            }
            let valueBytes = bytes[position + nameBytes] & 0x80 == 0 ? 1 : 4
            headerLength = nameBytes + valueBytes
            guard available >= headerLength else {
                missing = headerLength - available
                return
            }
            nameLength = Self.length(bytes, at: position, nameBytes)
            valueLength = Self.length(bytes, at: position + nameBytes, valueBytes)
        }
        missing = max(0, headerLength + nameLength + valueLength - available)
    }

    private static func length(_ bytes: Span<UInt8>, at position: Int, _ count: Int) -> Int {
        guard count == 4 else { return Int(bytes[position]) }
        return Int(bytes[position] & 0x7f) << 24 | Int(bytes[position + 1]) << 16
            | Int(bytes[position + 2]) << 8 | Int(bytes[position + 3])
    }
}
