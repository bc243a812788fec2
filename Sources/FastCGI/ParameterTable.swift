/// The parameters of one request, in order of arrival, as NUL-terminated strings that C can read in place.
///
/// Filled from the PARAMS stream in one or several pieces: ``reset(role:)``, then ``append(_:)`` for each
/// piece, then ``finish()``. Bytes from a NUL on are dropped from names and values, so that every reader sees
/// the same string whether it goes by length or by terminator. A name that comes again replaces the
/// value and keeps its place.
///
/// One table serves many requests: memory is kept, and after a few requests nothing is allocated any more.
public struct ParameterTable: ~Copyable {
    /// One parameter: where its strings lie in the arena, each followed by a NUL.
    ///
    /// The layout is that of four `uint32_t`.
    public struct Entry: Equatable, Sendable, BitwiseCopyable {
        /// Start of the name, in bytes from the start of the arena.
        public var nameOffset: UInt32
        /// Length of the name in bytes.
        public var nameLength: UInt32
        /// Start of the value, in bytes from the start of the arena.
        public var valueOffset: UInt32
        /// Length of the value in bytes.
        public var valueLength: UInt32

        /// The name.
        public var name: Slice { Slice(offset: nameOffset, length: nameLength) }

        /// The value.
        public internal(set) var value: Slice {
            get { Slice(offset: valueOffset, length: valueLength) }
            set {
                valueOffset = newValue.offset
                valueLength = newValue.length
            }
        }
    }

    /// Memory kept from one request to the next, in bytes; what a larger request needed is given back.
    private static let retainedBytes = 256 << 10

    let maximumCount: Int
    var arena: Arena
    var entries: [Entry] = []
    var index: NameIndex
    /// A pair whose end has not arrived.
    var pending: [UInt8] = []
    /// Pairs seen, repeated names counted.
    var pairCount = 0

    /// Makes an empty table.
    ///
    /// - Parameters:
    ///   - maximumCount: Limit for the name-value pairs of one request, repeated names counted.
    ///   - seed: Start value of the hash of names; differs from process to process, tests fix it.
    public init(maximumCount: Int = 65536, seed: UInt64 = .random(in: .min ... .max)) {
        self.maximumCount = maximumCount
        arena = Arena(capacity: 8 << 10)
        index = NameIndex(seed: seed)
        entries.reserveCapacity(64)
    }

    /// Number of parameters.
    public var count: Int { entries.count }

    /// Empties the table, keeping its memory, and sets `FCGI_ROLE` if a role is given.
    public mutating func reset(role: Role? = nil) {
        arena.reset(retaining: Self.retainedBytes)
        entries.removeAll(keepingCapacity: true)
        index.reset()
        pending.removeAll(keepingCapacity: true)
        pairCount = 0
        if let role { set("FCGI_ROLE", to: role.parameterValue) }
    }

    /// The value of a parameter; nil when it was not sent, which is not the same as empty.
    public func value(of name: StaticString) -> Slice? {
        name.withUTF8Buffer { name in unsafe value(of: name.span) }
    }

    /// The value of a parameter; nil when it was not sent, which is not the same as empty.
    public func value(of name: Span<UInt8>) -> Slice? {
        guard case .found(let position) = search(name) else { return nil }
        return entries[position].value
    }

    /// Gives a parameter a value, a copy of `value`; a new name goes to the end.
    @inline(__always)
    public mutating func set(_ name: Span<UInt8>, to value: Span<UInt8>) {
        switch search(name) {
        case .found(let position): entries[position].value = arena.append(value)
        case .free(let slot):
            let pair = arena.append(name, value)
            insert(pair.name, pair.value, at: slot)
        }
    }

    /// Gives a parameter a constant value; a new name goes to the end.
    public mutating func set(_ name: StaticString, to value: StaticString) {
        name.withUTF8Buffer { name in value.withUTF8Buffer { value in unsafe set(name.span, to: value.span) }
        }
    }

    /// Gives a parameter a value, a copy of `value`; a new name goes to the end.
    public mutating func set(_ name: StaticString, to value: Span<UInt8>) {
        let slice = arena.append(value)
        set(name, to: slice)
    }

    /// Gives a parameter the string that `value` stands for, without copying it.
    public mutating func set(_ name: StaticString, to value: Slice) {
        name.withUTF8Buffer { buffer in
            let name = unsafe buffer.span
            switch search(name) {
            case .found(let position): entries[position].value = value
            case .free(let slot): insert(arena.append(name), value, at: slot)
            }
        }
    }

    /// Takes a parameter away; those behind it move up.
    public mutating func remove(_ name: StaticString) {
        let found = name.withUTF8Buffer { name in unsafe search(name.span) }
        guard case .found(let position) = found else { return }
        entries.remove(at: position)
        rebuildIndex()
    }

    /// Lends the bytes of a string; a NUL follows them in memory.
    public func withBytes<Result: ~Copyable>(of slice: Slice, _ body: (Span<UInt8>) -> Result) -> Result {
        arena.withSpan(slice, body)
    }

    /// Copies the bytes of a string.
    public func bytes(of slice: Slice) -> [UInt8] {
        withBytes(of: slice) { bytes in
            var copy: [UInt8] = []
            copy.reserveCapacity(bytes.count)
            for position in bytes.indices { copy.append(bytes[position]) }
            return copy
        }
    }

    /// Lends all parameters to C: the entries in order, and the arena their offsets count from.
    ///
    /// Nothing is copied. Both pointers are valid inside `body`, which may last for the whole request; the
    /// table cannot change meanwhile. Any ``Slice`` of this table is found at its offset in the same arena.
    public func withEntries<Result>(
        _ body: (_ entries: UnsafeBufferPointer<Entry>, _ arena: UnsafePointer<CChar>) -> Result
    ) -> Result {
        let start = unsafe arena.start
        return unsafe entries.withUnsafeBufferPointer { entries in unsafe body(entries, start) }
    }

    /// Calls `body` with each name and value, in order.
    public func forEach(_ body: (_ name: Span<UInt8>, _ value: Span<UInt8>) -> Void) {
        for entry in entries {
            arena.withSpan(entry.name) { name in arena.withSpan(entry.value) { value in body(name, value) } }
        }
    }
}
