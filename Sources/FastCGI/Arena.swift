/// A string in the memory of a ``ParameterTable``, followed there by a NUL byte.
public struct Slice: Equatable, Sendable, BitwiseCopyable {
    /// Distance from the start of the memory, in bytes.
    public var offset: UInt32
    /// Bytes without the NUL.
    public var length: UInt32

    /// The string from `start` on.
    func dropFirst(_ start: Int) -> Slice {
        precondition(start >= 0 && start <= Int(length))
        return Slice(offset: offset + UInt32(start), length: length - UInt32(start))
    }
}

/// Growing memory for NUL-terminated strings, addressed by offset.
///
/// The one place in this module that owns raw memory: C reads the strings where they are, so they must not
/// move between two changes, and an array would promise that only inside a closure. Every access checks
/// its bounds.
@safe
struct Arena: ~Copyable {
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0
    /// Strings stored, so NUL bytes written on purpose.
    private var terminators = 0

    init(capacity: Int) {
        unsafe base = .allocate(byteCount: capacity, alignment: 16)
        self.capacity = capacity
    }

    deinit { unsafe base.deallocate() }

    /// The start of the memory, valid until the next change.
    var start: UnsafePointer<CChar> { unsafe UnsafePointer(base.assumingMemoryBound(to: CChar.self)) }

    /// Empties the arena, and gives memory beyond `retained` bytes back.
    mutating func reset(retaining retained: Int) {
        count = 0
        terminators = 0
        guard capacity > retained else { return }
        unsafe base.deallocate()
        unsafe base = .allocate(byteCount: retained, alignment: 16)
        capacity = retained
    }

    /// Makes room for `additional` bytes.
    @inline(__always)
    mutating func reserve(_ additional: Int) {
        if additional > capacity - count { grow(additional) }
    }

    @inline(never)
    private mutating func grow(_ additional: Int) {
        let grown = max(capacity * 2, count + additional)
        precondition(grown <= Int(UInt32.max), "parameters beyond 4 GiB")
        let moved = UnsafeMutableRawPointer.allocate(byteCount: grown, alignment: 16)
        unsafe moved.copyMemory(from: base, byteCount: count)
        unsafe base.deallocate()
        unsafe base = moved
        capacity = grown
    }

    /// Copies `bytes` and a NUL to the end.
    @inline(__always)
    mutating func append(_ bytes: Span<UInt8>) -> Slice {
        reserve(bytes.count + 1)
        let slice = store(bytes, at: count)
        count += bytes.count + 1
        terminators += 1
        return slice
    }

    /// Copies two strings to the end, a NUL after each.
    @inline(__always)
    mutating func append(_ name: Span<UInt8>, _ value: Span<UInt8>) -> (name: Slice, value: Slice) {
        reserve(name.count + value.count + 2)
        let first = store(name, at: count)
        let second = store(value, at: count + name.count + 1)
        count += name.count + value.count + 2
        terminators += 2
        return (first, second)
    }

    /// Copies a string and a NUL to where there is room for them.
    @inline(__always)
    private mutating func store(_ bytes: Span<UInt8>, at offset: Int) -> Slice {
        let length = bytes.count
        let target = unsafe base + offset
        unsafe bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { unsafe target.copyMemory(from: start, byteCount: length) }
        }
        unsafe target.storeBytes(of: 0, toByteOffset: length, as: UInt8.self)
        return Slice(offset: UInt32(truncatingIfNeeded: offset), length: UInt32(truncatingIfNeeded: length))
    }

    /// Copies a string of the arena itself and a NUL to its end.
    mutating func append(_ slice: Slice) -> Slice {
        check(slice)
        let length = Int(slice.length)
        reserve(length + 1)
        let offset = count
        unsafe (base + offset).copyMemory(from: base + Int(slice.offset), byteCount: length)
        unsafe base.storeBytes(of: 0, toByteOffset: offset + length, as: UInt8.self)
        count = offset + length + 1
        terminators += 1
        return Slice(offset: UInt32(truncatingIfNeeded: offset), length: slice.length)
    }

    /// Copies two strings of the arena, joined, and a NUL to its end.
    mutating func append(_ first: Slice, _ second: Slice) -> Slice {
        let start = append(first)
        count -= 1
        terminators -= 1
        let rest = append(second)
        return Slice(offset: start.offset, length: start.length + rest.length)
    }

    /// Takes the string that was stored last away again.
    mutating func removeLast(_ slice: Slice) {
        precondition(Int(slice.offset) + Int(slice.length) + 1 == count)
        count = Int(slice.offset)
        terminators -= 1
    }

    /// One byte.
    subscript(offset: Int) -> UInt8 {
        get {
            precondition(offset >= 0 && offset < count)
            return unsafe base.load(fromByteOffset: offset, as: UInt8.self)
        }
        set {
            precondition(offset >= 0 && offset < count)
            unsafe base.storeBytes(of: newValue, toByteOffset: offset, as: UInt8.self)
        }
    }

    /// Lends the bytes of a string.
    @inline(__always)
    func withSpan<Result: ~Copyable>(_ slice: Slice, _ body: (Span<UInt8>) -> Result) -> Result {
        check(slice)
        let start = unsafe (base + Int(slice.offset)).assumingMemoryBound(to: UInt8.self)
        let bytes = unsafe UnsafeBufferPointer(start: start, count: Int(slice.length))
        return unsafe body(bytes.span)
    }

    /// Whether a string holds a NUL of its own: the memory has more than one for each string.
    var holdsStrayNUL: Bool {
        typealias Block = SIMD4<UInt64>
        let width = MemoryLayout<Block>.size
        let low = Block(repeating: 0x7f7f_7f7f_7f7f_7f7f)
        let bits = Block(repeating: 0x0101_0101_0101_0101)
        var zeros = 0
        var offset = 0
        while offset + width <= count {
            // 32 counters side by side, one for each byte of a block, summed up before one can overflow.
            var counters = Block.zero
            let end = min(offset + 255 * width, count - width + 1)
            while offset < end {
                let block = unsafe base.loadUnaligned(fromByteOffset: offset, as: Block.self)
                counters &+= ~(((block & low) &+ low | block) &>> 7) & bits
                offset += width
            }
            let even = Block(repeating: 0x00ff_00ff_00ff_00ff)
            let pairs = (counters & even) &+ ((counters &>> 8) & even)
            for lane in 0..<4 {
                zeros += Int(truncatingIfNeeded: (pairs[lane] &* 0x0001_0001_0001_0001) >> 48)
            }
        }
        while offset < count {
            if self[offset] == 0 { zeros += 1 }
            offset += 1
        }
        return zeros != terminators
    }

    /// The part of a string before its first NUL.
    func cutAtNUL(_ slice: Slice) -> Slice {
        check(slice)
        var length: UInt32 = 0
        while length < slice.length, self[Int(slice.offset + length)] != 0 { length += 1 }
        return Slice(offset: slice.offset, length: length)
    }

    @inline(__always)
    private func check(_ slice: Slice) {
        precondition(Int(slice.offset) + Int(slice.length) < count)
    }
}
