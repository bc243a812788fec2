internal import FastCGI

/// What the bytes of a request say that has been assembled in the master.
struct AssembledRequest {
    let requestID: UInt16
    /// The connection stays open after the answer.
    let keepsConnection: Bool
    /// Where the request ends in the bytes, if it does: what follows is the next one's.
    let end: Int?

    /// Reads the first request of `bytes`; its parameters go into `table`.
    ///
    /// - Returns: Nil unless the bytes begin with a request whose parameters are complete and well formed.
    static func read(_ bytes: [UInt8], into table: inout ParameterTable) -> AssembledRequest? {
        guard let head = RequestHead.read(bytes, into: &table) else { return nil }
        var (decoder, position, bodyLeft) = (head.decoder, head.end, head.announcedBody)
        func request(end: Int?) -> AssembledRequest {
            AssembledRequest(requestID: head.requestID, keepsConnection: head.keepsConnection, end: end)
        }
        while let step = try? decoder.next(bytes.span.extracting(position...)) {
            position += step.consumed
            switch step.event {
            case .body(let range): bodyLeft -= range.count
            case .endOfBody: return request(end: position)
            case .needMore:
                // All that was announced is there: the empty record that ends the stream may follow later.
                return request(end: bodyLeft <= 0 && decoder.endRequest() ? position : nil)
            case .skipped: break
            case .begin, .parameters, .endOfParameters, .getValues, .abort: return nil
            }
        }
        return nil
    }

    /// What the beginning of a request says whose parameters are incomplete; nil if the bytes begin with anything else.
    static func beginning(of bytes: [UInt8]) -> AssembledRequest? {
        var decoder = RequestDecoder()
        guard let step = try? decoder.next(bytes.span), case .begin(let id, _, let keeps) = step.event else {
            return nil
        }
        return AssembledRequest(requestID: id, keepsConnection: keeps, end: nil)
    }
}

/// Memory for the parameters of a request that is looked at.
final class RequestScratch {
    var table = ParameterTable()
}

@available(*, unavailable)
extension RequestScratch: Sendable {}
