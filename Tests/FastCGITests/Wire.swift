import FastCGI

/// Builds the bytes a web server sends.
enum Wire {
    static func record(
        _ type: UInt8,
        _ content: [UInt8] = [],
        id: UInt16 = 1,
        padding: UInt8 = 0,
        version: UInt8 = 1
    ) -> [UInt8] {
        [
            version, type, UInt8(id >> 8), UInt8(id & 0xff), UInt8(content.count >> 8),
            UInt8(content.count & 0xff), padding, 0xaa,
        ] + content + [UInt8](repeating: 0x55, count: Int(padding))
    }

    static func begin(role: UInt16 = 1, flags: UInt8 = 0, id: UInt16 = 1, padding: UInt8 = 0) -> [UInt8] {
        record(1, [UInt8(role >> 8), UInt8(role & 0xff), flags, 1, 2, 3, 4, 5], id: id, padding: padding)
    }

    static func pair(_ name: [UInt8], _ value: [UInt8], longLengths: Bool = false) -> [UInt8] {
        func length(_ count: Int) -> [UInt8] {
            if count < 128, !longLengths { return [UInt8(count)] }
            return [
                UInt8(count >> 24) | 0x80, UInt8(count >> 16 & 0xff), UInt8(count >> 8 & 0xff),
                UInt8(count & 0xff),
            ]
        }
        return length(name.count) + length(value.count) + name + value
    }

    static func pair(_ name: String, _ value: String, longLengths: Bool = false) -> [UInt8] {
        pair(Array(name.utf8), Array(value.utf8), longLengths: longLengths)
    }

    static func pairs(_ list: [(String, String)]) -> [UInt8] { list.flatMap { pair($0, $1) } }

    static func abort(id: UInt16 = 1) -> [UInt8] { record(2, id: id) }
    static func parameters(_ content: [UInt8] = [], id: UInt16 = 1, padding: UInt8 = 0) -> [UInt8] {
        record(4, content, id: id, padding: padding)
    }
    static func body(_ content: [UInt8] = [], id: UInt16 = 1, padding: UInt8 = 0) -> [UInt8] {
        record(5, content, id: id, padding: padding)
    }
    static func getValues(_ content: [UInt8] = [], padding: UInt8 = 0) -> [UInt8] {
        record(9, content, id: 0, padding: padding)
    }
}

/// What a connection said, independent of how its bytes were cut.
enum Fact: Equatable {
    case begin(UInt16, Role, Bool)
    case parameters([UInt8])
    case endOfParameters
    case body([UInt8])
    case endOfBody
    case getValues([UInt8])
    case abort
    case skipped
    case violation(ProtocolViolation)
    case left(Int)
}

/// Decodes `pieces` as a worker does: append what came, consume events until more is needed.
func facts(_ pieces: [[UInt8]], decoder initial: RequestDecoder = RequestDecoder()) -> [Fact] {
    var decoder = initial
    var buffer: [UInt8] = []
    var facts: [Fact] = []
    for piece in pieces {
        buffer += piece
        reading: while true {
            let step: RequestDecoder.Step
            do { step = try decoder.next(buffer.span) } catch { return facts + [.violation(error)] }
            switch step.event {
            case .needMore:
                buffer.removeFirst(step.consumed)
                break reading
            case .begin(let id, let role, let keep): facts.append(.begin(id, role, keep))
            case .parameters(let range):
                let new = Array(buffer[range])
                if case .parameters(let old) = facts.last {
                    facts[facts.count - 1] = .parameters(old + new)
                } else {
                    facts.append(.parameters(new))
                }
            case .endOfParameters: facts.append(.endOfParameters)
            case .body(let range):
                let new = Array(buffer[range])
                if case .body(let old) = facts.last {
                    facts[facts.count - 1] = .body(old + new)
                } else {
                    facts.append(.body(new))
                }
            case .endOfBody: facts.append(.endOfBody)
            case .getValues(let range): facts.append(.getValues(Array(buffer[range])))
            case .abort: facts.append(.abort)
            case .skipped: facts.append(.skipped)
            }
            buffer.removeFirst(step.consumed)
        }
    }
    if !buffer.isEmpty { facts.append(.left(buffer.count)) }
    return facts
}

extension ParameterTable {
    /// Name and value of every parameter, in order.
    var pairs: [[String]] {
        var pairs: [[String]] = []
        forEach { name, value in
            func text(_ bytes: Span<UInt8>) -> String {
                String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
            }
            pairs.append([text(name), text(value)])
        }
        return pairs
    }

    func text(_ slice: Slice?) -> String? { slice.map { String(decoding: bytes(of: $0), as: UTF8.self) } }

    func text(of name: String) -> String? {
        let name = Array(name.utf8)
        return text(value(of: name.span))
    }
}
