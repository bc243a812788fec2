/// The kinds of FastCGI records (FastCGI specification 1.0, section 8).
package enum RecordKind {
    package static let beginRequest: UInt8 = 1
    package static let abortRequest: UInt8 = 2
    package static let endRequest: UInt8 = 3
    package static let parameters: UInt8 = 4
    package static let stdin: UInt8 = 5
    package static let stdout: UInt8 = 6
    package static let stderr: UInt8 = 7
    package static let data: UInt8 = 8
    package static let getValues: UInt8 = 9
    package static let getValuesResult: UInt8 = 10
}

/// One FastCGI record without its padding.
package struct Record: Equatable, Sendable {
    package var kind: UInt8
    package var id: UInt16
    package var content: [UInt8]

    /// Makes a record; `content` is at most 65535 bytes.
    package init(_ kind: UInt8, id: UInt16, _ content: [UInt8] = []) {
        self.kind = kind
        self.id = id
        self.content = content
    }

    /// The record as it is sent, with so many zero bytes after the content.
    package func encoded(padding: UInt8 = 0) -> [UInt8] {
        let length = UInt16(truncatingIfNeeded: content.count)
        return [
            1, kind, UInt8(id >> 8), UInt8(id & 0xff), UInt8(length >> 8), UInt8(length & 0xff), padding, 0,
        ] + content + [UInt8](repeating: 0, count: Int(padding))
    }

    /// Cuts `content` into records of at most `limit` bytes; none for empty content.
    package static func split(
        _ kind: UInt8,
        id: UInt16,
        _ content: [UInt8],
        limit: Int = 65_528
    ) -> [Record] {
        stride(from: 0, to: content.count, by: limit).map {
            Record(kind, id: id, Array(content[$0..<min($0 + limit, content.count)]))
        }
    }
}

/// Encodes a name/value pair as PARAMS and GET_VALUES carry it.
package func encodePair(_ name: String, _ value: String) -> [UInt8] {
    func length(_ count: Int) -> [UInt8] {
        count < 128
            ? [UInt8(count)]
            : [
                UInt8(count >> 24) | 0x80, UInt8(count >> 16 & 0xff), UInt8(count >> 8 & 0xff),
                UInt8(count & 0xff),
            ]
    }
    let nameBytes = Array(name.utf8)
    let valueBytes = Array(value.utf8)
    return length(nameBytes.count) + length(valueBytes.count) + nameBytes + valueBytes
}

/// Decodes the pairs of a GET_VALUES_RESULT record; stops at the first that is cut off.
package func decodePairs(_ bytes: [UInt8]) -> [(name: String, value: String)] {
    var rest = bytes[...]
    func length() -> Int? {
        guard let first = rest.popFirst() else { return nil }
        if first < 128 { return Int(first) }
        guard rest.count >= 3 else { return nil }
        var value = Int(first & 0x7f)
        for _ in 0..<3 { value = value << 8 | Int(rest.removeFirst()) }
        return value
    }
    var pairs: [(name: String, value: String)] = []
    while let nameLength = length(), let valueLength = length(), rest.count >= nameLength + valueLength {
        let name = String(decoding: rest.prefix(nameLength), as: UTF8.self)
        rest = rest.dropFirst(nameLength)
        let value = String(decoding: rest.prefix(valueLength), as: UTF8.self)
        rest = rest.dropFirst(valueLength)
        pairs.append((name, value))
    }
    return pairs
}
