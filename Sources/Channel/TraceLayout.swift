/// Where a worker's call frames are: one address and the offsets of PHP's structures, as `fpmd_trace_layout` gives them.
///
/// The zygote sends it when PHP has started; the master has a worker's memory read with it. Wrong values lead to a
/// wrong trace, and to nothing else.
public struct TraceLayout: Equatable {
    /// Bytes of the encoded form.
    public static let byteCount = 10 * MemoryLayout<UInt64>.size
    /// No structure of PHP's is that large.
    private static let largestOffset: UInt64 = 4096

    /// Address of the pointer to the innermost frame.
    public var currentFrame: UInt64
    /// Offsets into a frame: its function, the caller's frame, the instruction it is at.
    public var frameFunction, framePrevious, frameInstruction: UInt64
    /// Offsets into a function: type, name, file.
    public var functionType, functionName, functionFile: UInt64
    /// Offset of the line in an instruction.
    public var instructionLine: UInt64
    /// Offsets into a text: length, bytes.
    public var textLength, textStart: UInt64

    /// The layout from its ten words, in the order of the properties; nil for other counts or absurd offsets.
    public init?(_ words: [UInt64]) {
        guard words.count == 10, words.dropFirst().allSatisfy({ $0 < Self.largestOffset }) else { return nil }
        currentFrame = words[0]
        (frameFunction, framePrevious, frameInstruction) = (words[1], words[2], words[3])
        (functionType, functionName, functionFile) = (words[4], words[5], words[6])
        instructionLine = words[7]
        (textLength, textStart) = (words[8], words[9])
    }

    /// Reads what ``encoded()`` gave; nil if it is anything else.
    public init?(decoding bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.byteCount else { return nil }
        self.init((0..<10).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) })
    }

    /// The words in order, in this machine's byte order.
    public func encoded() -> [UInt8] {
        let words = [
            currentFrame, frameFunction, framePrevious, frameInstruction, functionType, functionName,
            functionFile,
            instructionLine, textLength, textStart,
        ]
        return words.withUnsafeBytes { Array($0) }
    }
}
