public import Configuration

/// What a zygote says of its PHP when it is ready: where workers' call frames are, and what PHP adds to the headers of
/// the pages that the master answers in a worker's place.
///
/// It comes from a pool's process: the texts are of printable characters only, and short.
public struct ZygoteReport: Equatable {
    private static let longestText = 256
    /// Bytes of the longest encoded form.
    public static let longestCount = TraceLayout.byteCount + 2 * longestText + 1

    /// Where call frames are; nil if that could not be told.
    public var traceLayout: TraceLayout?
    /// Value of `X-Powered-By`; nil when `expose_php` is off.
    public var poweredBy: ByteString?
    /// `default_charset`.
    public var charset: ByteString

    /// A report; texts are cut, and what cannot stand in a header is left out.
    public init(traceLayout: TraceLayout?, poweredBy: ByteString?, charset: ByteString) {
        self.traceLayout = traceLayout
        self.poweredBy = poweredBy.map { Self.plain($0.bytes[...]) }
        self.charset = Self.plain(charset.bytes[...])
    }

    private static func plain(_ text: ArraySlice<UInt8>) -> ByteString {
        ByteString(Array(text.filter { (0x20...0x7e).contains($0) }.prefix(longestText)))
    }

    /// The bytes that ``init(decoding:)`` reads back.
    public func encoded() -> [UInt8] {
        let layout = traceLayout?.encoded() ?? [UInt8](repeating: 0xff, count: TraceLayout.byteCount)
        return layout + (poweredBy?.bytes ?? []) + [0] + charset.bytes
    }

    /// Reads a report, whatever sent it; nil unless it has the form of one.
    public init?(decoding bytes: UnsafeRawBufferPointer) {
        guard bytes.count > TraceLayout.byteCount else { return nil }
        let layout = UnsafeRawBufferPointer(rebasing: bytes[0..<TraceLayout.byteCount])
        let texts = Array(bytes[TraceLayout.byteCount...])
        guard let end = texts.firstIndex(of: 0) else { return nil }
        self.init(
            traceLayout: TraceLayout(decoding: layout),
            poweredBy: end == 0 ? nil : ByteString(Array(texts[..<end])),
            charset: ByteString(Array(texts[(end + 1)...]))
        )
    }
}
