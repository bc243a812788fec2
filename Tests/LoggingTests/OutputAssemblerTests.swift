import Logging
import Testing

/// Lines of a zygote's output, without decoration or wrapping.
@Suite struct OutputAssemblerTests {
    func take(_ text: String, _ stream: Int = 2, _ assembler: inout OutputAssembler) -> [String] {
        Array(text.utf8).withUnsafeBytes { assembler.take($0, from: stream) }
            .map { "\($0.stream):" + String(decoding: $0.text, as: UTF8.self) }
    }

    @Test func linesAreCutAtNewlines() {
        var assembler = OutputAssembler(limit: 1024)
        #expect(take("a\n\nb\r\nc", 2, &assembler) == ["2:a", "2:b\r"])
        #expect(take("d", 2, &assembler) == [])
        #expect(take("e\n", 2, &assembler) == ["2:cde"])
        #expect(assembler.flush() == nil)
    }

    @Test func streamsAndMarkersEndLines() {
        var assembler = OutputAssembler(limit: 1024)
        #expect(take("a", 2, &assembler) == [])
        #expect(take("b", 1, &assembler) == ["2:a"])
        #expect(take("\0fscf", 1, &assembler) == [])
        #expect(take("\0c\0fs", 1, &assembler) == ["1:b"])
        #expect(assembler.flush().map { String(decoding: $0.text, as: UTF8.self) } == "c\\x00fs")
    }

    /// Text without end is not kept without end.
    @Test(arguments: [512, 100_000]) func pendingTextIsBounded(limit: Int) {
        var assembler = OutputAssembler(limit: limit)
        let bound = max(limit, 64 << 10)
        let text = String(repeating: "x", count: bound - 1)
        #expect(take(text, 2, &assembler) == [])
        #expect(take("x", 2, &assembler).map(\.utf8.count) == [bound + 2])
        #expect(assembler.flush() == nil)
    }

    @Test(
        arguments: [
            (
                [0x61, 0, 0x1f, 0x7f, 9, 13, 0x80, 0xff],
                [0x61] + Array("\\x00\\x1f\\x7f".utf8) + [9, 13, 0x80, 0xff]
            ),
            ([], []), (Array("plain".utf8), Array("plain".utf8)), ([10], Array("\\x0a".utf8)),
        ] as [([UInt8], [UInt8])]
    )
    func controlCharactersAreShown(bytes: [UInt8], expected: [UInt8]) {
        #expect(OutputAssembler.visible(bytes) == expected)
    }
}
