/// Finds the keys in what a terminal sends: arrow and function keys are several bytes, none of which is a key of its own.
///
///     key        one byte
///     ESC [ … z  a sequence: everything up to a byte from @ to ~
///     ESC O z    a function key
struct KeyReader {
    private enum State { case key, escape, sequence, functionKey }

    private var bytes: [UInt8] = []
    private var state = State.key

    /// Whether a sequence has begun whose end has not come.
    var isInSequence: Bool { state != .key }

    /// Takes bytes as they came.
    mutating func take(_ more: some Sequence<UInt8>) {
        for byte in more {
            switch (state, byte) {
            case (_, 3), (_, 28), (_, 26):
                // Whatever came before: these end or suspend the program.
                bytes.append(byte)
                state = .key
            case (_, 0x1b): state = .escape
            case (.key, _): bytes.append(byte)
            case (.escape, UInt8(ascii: "[")): state = .sequence
            case (.escape, UInt8(ascii: "O")): state = .functionKey
            case (.escape, _), (.functionKey, _): state = .key
            case (.sequence, 0x40...0x7e): state = .key
            case (.sequence, _): break
            }
        }
    }

    /// Nothing has come for a moment: what looked like a sequence was the escape key, which means nothing.
    mutating func endSequence() { state = .key }

    /// The next key; nil when there is none.
    mutating func next() -> UInt8? { bytes.isEmpty ? nil : bytes.removeFirst() }
}
