internal import Syscalls
internal import SystemPackage

/// How much of a process's output is read before others have their turn.
struct OutputShare {
    /// What is read at once: so small that its lines, however short, are few.
    private static let piece = 512

    private let bytes: Int
    /// Reading ends with the piece that has the last of them.
    private let lines: Int

    /// Of one turn of the loop.
    static var turn: OutputShare { OutputShare(bytes: 16 << 10, lines: 128) }
    /// Of a process that has ended: all that a pipe holds, unless the process has made it larger and filled it with tiny
    /// lines.
    static var rest: OutputShare { OutputShare(bytes: 1 << 20, lines: 32 << 10) }

    /// What is left when reading has ended.
    enum Rest {
        /// The share is used up: there may be more.
        case more
        /// Nothing more has come yet.
        case nothingYet
        /// The pipe is closed.
        case end
        case failed

        /// Whether the pipe has come to its end.
        var isOver: Bool { self == .end || self == .failed }
    }

    /// Reads piece by piece what a pipe has.
    ///
    /// - Parameters:
    ///   - descriptor: The reading end, which does not wait.
    ///   - looksForEnd: Also asks again after a piece that was not full, which says only that nothing more has come yet.
    ///   - take: Gets each piece; returns how many lines are complete with it.
    /// - Returns: What is left in the pipe.
    func read(_ descriptor: CInt, looksForEnd: Bool = false, take: (UnsafeRawBufferPointer) -> Int) -> Rest {
        var (bytesLeft, linesLeft) = (bytes, lines)
        return withUnsafeTemporaryAllocation(byteCount: Self.piece, alignment: 8) { buffer in
            while bytesLeft > 0, linesLeft > 0 {
                switch try? Syscalls.read(descriptor, into: buffer) {
                case .wouldBlock: return .nothingYet
                case .endOfStream: return .end
                case nil: return .failed
                case .bytes(let count):
                    linesLeft -= take(UnsafeRawBufferPointer(rebasing: buffer[0..<count]))
                    bytesLeft -= count
                    if count < buffer.count, !looksForEnd { return .nothingYet }
                }
            }
            return .more
        }
    }
}
