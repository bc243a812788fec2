internal import FastCGI

/// A request that arrives in pieces: the bytes that have come, and how far they have been understood.
///
/// It owns the bytes, which only grow. Each of them is looked at once, however small the pieces are in which they
/// come; those of the head once more, when it is complete.
struct RequestAssembly {
    private(set) var bytes: [UInt8]
    private var decoder = RequestDecoder()
    /// How many of the bytes have been looked through.
    private var scanned = 0
    /// What is to come of the body, once that is known.
    private var bodyLeft: Int?
    /// With so many bytes its time begins anew.
    private var milestone = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Whether its parameters are complete.
    var hasHead: Bool { bodyLeft != nil }

    /// Whether nothing of a request has come, but at most the end of the body of the one before.
    var isBetweenRequests: Bool { scanned == bytes.count && decoder.isBetweenRequests }

    /// Takes what has come.
    mutating func append(_ piece: UnsafeRawBufferPointer) { bytes.append(contentsOf: piece) }

    /// Whether a worker can make something of the bytes: all that PHP will read, or an error.
    ///
    /// - Parameter table: Memory for the parameters.
    /// - Returns: False: more is to come.
    mutating func isComplete(_ table: inout ParameterTable) -> Bool {
        // In a variable of its own: the compiler takes the span of the bytes for an access to all properties.
        var decoder = decoder
        defer { self.decoder = decoder }
        while true {
            if let left = bodyLeft, left <= 0 { return true }
            guard let step = try? decoder.next(bytes.span.extracting(scanned...)) else { return true }
            switch step.event {
            case .endOfBody, .abort, .getValues: return true
            case .endOfParameters:
                guard let head = RequestHead.read(bytes, into: &table) else { return true }
                bodyLeft = head.announcedBody
            case .body(let range): bodyLeft = (bodyLeft ?? 0) - range.count
            case .needMore, .begin, .parameters, .skipped: break
            }
            scanned += step.consumed
            if step.event == .needMore { return false }
        }
    }

    /// Whether the body has grown by so many bytes since this was last so.
    mutating func reachesMilestone(_ distance: Int) -> Bool {
        guard hasHead, bytes.count >= milestone else { return false }
        milestone = bytes.count + distance
        return true
    }
}
