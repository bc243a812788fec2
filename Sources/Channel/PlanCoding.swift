internal import Configuration

/// Appends numbers (eight bytes, this machine's order) and length-prefixed texts.
struct PlanWriter {
    var bytes: [UInt8] = []

    mutating func put(_ number: Int) {
        withUnsafeBytes(of: Int64(number)) { bytes.append(contentsOf: $0) }
    }
    mutating func put(_ flag: Bool) { bytes.append(flag ? 1 : 0) }
    mutating func put(_ text: ByteString) {
        put(text.count)
        bytes.append(contentsOf: text.bytes)
    }
    mutating func put(_ text: ByteString?) {
        put(text != nil)
        put(text ?? ByteString())
    }
    mutating func put(_ pairs: [NamedValue]) {
        put(pairs.count)
        for pair in pairs {
            put(pair.name)
            put(pair.value)
        }
    }
    mutating func put(_ texts: [ByteString]) {
        put(texts.count)
        for text in texts { put(text) }
    }
}

/// Reads what ``PlanWriter`` wrote; after the first thing that does not fit everything is empty.
struct PlanReader {
    private let bytes: [UInt8]
    private var position = 0
    private var failed = false

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isComplete: Bool { !failed && position == bytes.count }

    mutating func number() -> Int {
        guard !failed, bytes.count - position >= 8 else {
            failed = true
            return 0
        }
        defer { position += 8 }
        return bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: position, as: Int64.self)) }
    }
    mutating func flag() -> Bool {
        guard !failed, position < bytes.count else {
            failed = true
            return false
        }
        defer { position += 1 }
        return bytes[position] != 0
    }
    mutating func text() -> ByteString {
        let count = number()
        guard !failed, count >= 0, count <= bytes.count - position else {
            failed = true
            return ByteString()
        }
        defer { position += count }
        return ByteString(bytes[position..<(position + count)])
    }
    mutating func optionalText() -> ByteString? {
        let isThere = flag()
        let value = text()
        return isThere ? value : nil
    }
    mutating func list<Element>(_ element: (inout PlanReader) -> Element) -> [Element] {
        let count = number()
        guard !failed, count >= 0, count <= bytes.count else {
            failed = true
            return []
        }
        var elements: [Element] = []
        for _ in 0..<count where !failed { elements.append(element(&self)) }
        return elements
    }
    mutating func pairs() -> [NamedValue] { list { NamedValue(name: $0.text(), value: $0.text()) } }
    mutating func texts() -> [ByteString] { list { $0.text() } }
}
