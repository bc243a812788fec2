/// Tells in a process's output what is text and where lines end: at a newline, and at the marker that a
/// worker writes after each request (NUL `fscf` NUL).
///
/// Pure.
///
/// Bytes that may turn out to be the marker are held back until that is known, also from one read to the next.
struct LineScanner {
    /// What a byte decides.
    struct Step {
        /// So many bytes of ``marker`` were held back and are text after all.
        var released = 0
        /// The byte itself, if it is text; after those that were released.
        var text: UInt8?
        /// Whether the line ends, after that text.
        var ends = false
        /// Whether it was the marker that ended it.
        var endsRequest = false
    }

    static let marker: [UInt8] = [0] + Array("fscf".utf8) + [0]

    /// How many bytes of the marker have been seen.
    private var held = 0

    /// Takes the next byte.
    mutating func take(_ byte: UInt8) -> Step {
        if byte == Self.marker[held] {
            held += 1
            guard held == Self.marker.count else { return Step() }
            held = 0
            return Step(ends: true, endsRequest: true)
        }
        let released = release()
        if byte == 0 {
            held = 1
            return Step(released: released)
        }
        return byte == UInt8(ascii: "\n")
            ? Step(released: released, ends: true) : Step(released: released, text: byte)
    }

    /// The stream ends or changes: so many bytes of the marker that were held back are text.
    mutating func release() -> Int {
        defer { held = 0 }
        return held
    }
}

/// How bytes of a process's output are shown: control characters other than tab and carriage return as `\xNN`, so that
/// a line of the log is always one that the master wrote.
enum VisibleByte {
    private static let digits = Array("0123456789abcdef".utf8)

    static func isHidden(_ byte: UInt8) -> Bool { byte < 32 && byte != 9 && byte != 13 || byte == 127 }

    /// The escape of a hidden byte.
    static func escape(_ byte: UInt8) -> [UInt8] {
        [UInt8(ascii: "\\"), UInt8(ascii: "x"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
}
