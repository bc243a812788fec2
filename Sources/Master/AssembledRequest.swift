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
        var decoder = RequestDecoder()
        var position = 0
        var head: (id: UInt16, keeps: Bool)?
        var bodyLeft: Int?
        table.reset()
        while let step = try? decoder.next(bytes.span.extracting(position...)) {
            switch step.event {
            case .begin(let id, let role, let keeps):
                head = (id, keeps)
                table.reset(role: role)
            case .parameters(let range):
                let piece = bytes.span.extracting(position...).extracting(range)
                guard (try? table.append(piece)) != nil else { return nil }
            case .endOfParameters:
                guard (try? table.finish()) != nil else { return nil }
                bodyLeft = max(0, table.number(of: "CONTENT_LENGTH"))
            case .body(let range): bodyLeft = (bodyLeft ?? 0) - range.count
            case .endOfBody:
                guard let head, bodyLeft != nil else { return nil }
                return AssembledRequest(
                    requestID: head.id,
                    keepsConnection: head.keeps,
                    end: position + step.consumed
                )
            case .getValues, .abort: return nil
            case .skipped: break
            case .needMore:
                guard let head, let left = bodyLeft else { return nil }
                // All that was announced is there: the empty record that ends the stream may follow later.
                let isOver = left <= 0 && decoder.endRequest()
                return AssembledRequest(
                    requestID: head.id,
                    keepsConnection: head.keeps,
                    end: isOver ? position + step.consumed : nil
                )
            }
            position += step.consumed
        }
        return nil
    }
}

/// Memory for the parameters of a request that is looked at.
final class RequestScratch {
    var table = ParameterTable()
}

@available(*, unavailable)
extension RequestScratch: Sendable {}
