extension Span<UInt8> {
    /// Eight bytes from `offset` on, in memory order.
    @inline(__always)
    func word(at offset: Int) -> UInt64 {
        unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }

    /// Whether both hold the same bytes.
    @inline(__always)
    func holdsSameBytes(as other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        var offset = 0
        while offset + 8 <= count {
            guard word(at: offset) == other.word(at: offset) else { return false }
            offset += 8
        }
        while offset < count {
            guard self[offset] == other[offset] else { return false }
            offset += 1
        }
        return true
    }
}

extension Span<UInt8> {
    /// Whether `part` occurs in these bytes.
    ///
    /// Clients choose both, and the master asks: the time grows with the sum of their lengths, whatever they hold
    /// (Knuth, Morris and Pratt's way). The C library's memmem(3) is not in Swift's module of it.
    func contains(_ part: Span<UInt8>) -> Bool {
        guard part.count <= count else { return false }
        guard !part.isEmpty else { return true }
        // How much of the beginning of `part` each beginning of it ends in, itself not counted.
        var overlaps: [UInt32] = [0]
        overlaps.reserveCapacity(part.count)
        var matched = 0
        for position in 1..<part.count {
            while matched > 0, part[position] != part[matched] { matched = Int(overlaps[matched - 1]) }
            if part[position] == part[matched] { matched += 1 }
            overlaps.append(UInt32(matched))
        }
        matched = 0
        for position in indices {
            while matched > 0, self[position] != part[matched] { matched = Int(overlaps[matched - 1]) }
            if self[position] == part[matched] { matched += 1 }
            if matched == part.count { return true }
        }
        return false
    }
}

extension Span<UInt8> {
    /// Whether these are the bytes of `text`.
    @inline(__always)
    func holds(_ text: StaticString) -> Bool {
        text.withUTF8Buffer { text in unsafe holdsSameBytes(as: text.span) }
    }

    /// Whether the bytes start with `text`; with `ignoringCase`, ASCII letters of both cases are the same.
    func starts(with text: StaticString, ignoringCase: Bool = false) -> Bool {
        text.withUTF8Buffer { buffer in
            let text = unsafe buffer.span
            guard text.count <= count else { return false }
            for position in 0..<text.count {
                var (left, right) = (self[position], text[position])
                if ignoringCase { (left, right) = (left.asciiLowercased, right.asciiLowercased) }
                guard left == right else { return false }
            }
            return true
        }
    }

    /// Position of the first `byte` at or after `start`.
    func firstIndex(of byte: UInt8, from start: Int = 0) -> Int? {
        var position = start
        while position < count {
            if self[position] == byte { return position }
            position += 1
        }
        return nil
    }

    /// Position of the last `byte`.
    func lastIndex(of byte: UInt8) -> Int? {
        var position = count
        while position > 0 {
            position -= 1
            if self[position] == byte { return position }
        }
        return nil
    }
}

extension UInt8 {
    /// The lower-case letter for an ASCII capital, else the byte itself.
    var asciiLowercased: UInt8 { self >= 0x41 && self <= 0x5a ? self | 0x20 : self }
}
