internal import FastCGI

/// What the beginning of a request says that comes before its body.
struct RequestHead {
    let requestID: UInt16
    /// The connection stays open after the answer.
    let keepsConnection: Bool
    /// CONTENT_LENGTH, or without limit; not negative.
    let announcedBody: Int
    /// Where the head ends in the bytes.
    let end: Int
    /// Reads on from there.
    let decoder: RequestDecoder

    /// Reads the first request of `bytes`; its parameters go into `table`.
    ///
    /// - Parameters:
    ///   - bytes: From the beginning of a connection or behind another request.
    ///   - table: Emptied first.
    /// - Returns: Nil unless the bytes begin with a request whose parameters are complete and well formed.
    static func read(_ bytes: [UInt8], into table: inout ParameterTable) -> RequestHead? {
        var decoder = RequestDecoder()
        var position = 0
        var begun: (id: UInt16, keeps: Bool)?
        table.reset()
        while let step = try? decoder.next(bytes.span.extracting(position...)) {
            switch step.event {
            case .begin(let id, let role, let keeps):
                begun = (id, keeps)
                table.reset(role: role)
            case .parameters(let range):
                let piece = bytes.span.extracting(position...).extracting(range)
                guard (try? table.append(piece)) != nil else { return nil }
            case .endOfParameters:
                guard let begun, (try? table.finish()) != nil else { return nil }
                return RequestHead(
                    requestID: begun.id,
                    keepsConnection: begun.keeps,
                    announcedBody: table.announcedBody,
                    end: position + step.consumed,
                    decoder: decoder
                )
            case .skipped: break
            case .needMore, .body, .endOfBody, .getValues, .abort: return nil
            }
            position += step.consumed
        }
        return nil
    }
}
