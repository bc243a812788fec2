import Configuration
import Logging
import Testing

/// Lines that a worker's output becomes.
@Suite struct OutputLinesTests {
    static let marker = "\0fscf\0"
    static let origin = OutputLines.Origin(time: "22-Nov-2026 11:44:40", process: "1234")
    /// What stands before the text.
    static let head = "[22-Nov-2026 11:44:40] WARNING: [pool www] child 1234 said into std"

    /// Where a test's bytes come from.
    enum Step {
        case out(String), err(String), end, closed
    }

    static func lines(_ steps: [Step], decorates: Bool = true, limit: Int = 1024) -> [String] {
        var output = OutputLines(pool: "www", decorates: decorates, limit: limit)
        return steps.flatMap { step in
            switch step {
            case .out(let text): take(Array(text.utf8), .standardOutput, &output)
            case .err(let text): take(Array(text.utf8), .standardError, &output)
            case .end: output.end(origin)
            case .closed: output.end(origin, isPipeClosed: true)
            }
        }.map { String(decoding: $0, as: UTF8.self) }
    }

    static func take(_ bytes: [UInt8], _ stream: OutputLines.Stream, _ output: inout OutputLines) -> [[UInt8]]
    {
        bytes.withUnsafeBytes { output.take($0, from: stream, origin) }
    }

    struct Case: CustomTestStringConvertible {
        var name: String
        var steps: [Step]
        /// Stream and text of each line.
        var expected: [(String, String)]
        init(_ name: String, _ steps: [Step], _ expected: [(String, String)]) {
            (self.name, self.steps, self.expected) = (name, steps, expected)
        }
        var testDescription: String { name }
    }

    static let cases = [
        Case("nothing", [.end], []),
        Case("one line", [.err("a\n")], [("err", "a")]),
        Case("stdout", [.out("a\n")], [("out", "a")]),
        Case("several lines in one read", [.err("a\nb\nc\n")], [("err", "a"), ("err", "b"), ("err", "c")]),
        Case("empty lines are nothing", [.err("\n\na\n\n\nb\n\n"), .end], [("err", "a"), ("err", "b")]),
        Case("carriage return and tab are kept", [.err("a\r\n\tb\n")], [("err", "a\r"), ("err", "\tb")]),
        Case("pieces join", [.err("a"), .err("b"), .err("c\nd"), .end], [("err", "abc"), ("err", "d")]),
        Case("unfinished text waits", [.err("abc")], []),
        Case(
            "a change of stream ends the line",
            [.err("a"), .out("b"), .err("c\n")],
            [("err", "a"), ("out", "b"), ("err", "c")]
        ),
        Case("a stream without bytes changes nothing", [.err("a"), .out(""), .err("b\n")], [("err", "ab")]),
        Case("marker", [.err("a" + marker)], [("err", "a")]),
        Case("marker after a line", [.err("a\n" + marker + "b\n")], [("err", "a"), ("err", "b")]),
        Case("marker alone", [.err(marker + marker), .end], []),
        Case("marker inside", [.err("a" + marker + "b" + marker)], [("err", "a"), ("err", "b")]),
        Case(
            "marker ends stdout's line",
            [.out("a"), .err(marker), .out("b\n")],
            [("out", "a"), ("out", "b")]
        ),
        Case("look-alike at the end", [.err("a\0fscf"), .end], [("err", "a\\x00fscf")]),
        Case("look-alike before a newline", [.err("a\0fsc\nb\n")], [("err", "a\\x00fsc"), ("err", "b")]),
        Case("look-alike before text", [.err("a\0fsX\n")], [("err", "a\\x00fsX")]),
        Case("look-alike before the marker", [.err("a\0fsc" + marker)], [("err", "a\\x00fsc")]),
        Case("zero before the marker", [.err("a\0" + marker)], [("err", "a\\x00")]),
        Case(
            "the marker's last byte begins no other",
            [.err("a" + marker + "fscf\0b\n")],
            [("err", "a"), ("err", "fscf\\x00b")]
        ),
        Case(
            "look-alike before another stream",
            [.err("a\0fs"), .out("cf\0b\n")],
            [("err", "a\\x00fs"), ("out", "cf\\x00b")]
        ),
        Case(
            "control characters are shown",
            [.err("a\u{1b}[2Jb\u{7f}\u{8}\n")],
            [("err", "a\\x1b[2Jb\\x7f\\x08")]
        ),
        Case("other bytes are kept", [.err("é\"\\x41\n")], [("err", "é\"\\x41")]),
    ]

    @Test(arguments: cases) func decorated(example: Case) {
        let expected = example.expected.map { "\(Self.head)\($0.0): \"\($0.1)\"\n" }
        #expect(Self.lines(example.steps) == expected)
    }

    @Test(arguments: cases) func plain(example: Case) {
        // Plain output is as the worker wrote it.
        let shown = Self.lines(example.steps, decorates: false).map { line in
            String(decoding: OutputAssembler.visible(Array(line.utf8.dropLast())), as: UTF8.self)
        }
        #expect(shown == example.expected.map { $0.1 })
    }

    /// However the bytes are cut into reads, the lines are the same.
    @Test(arguments: [
        "one\(marker)two\n\(marker)three\(marker)", "a\0fscf\0fscf\0\0fsc\0fscf\0b\n", "\0\0\0fscf\0\n\0f\n",
        "text without end",
    ])
    func readsMayBeCutAnywhere(text: String) {
        let bytes = Array(text.utf8)
        let whole = Self.lines([.err(text), .end])
        for first in 0...bytes.count {
            for second in first...bytes.count {
                var output = OutputLines(pool: "www", decorates: true, limit: 1024)
                var lines: [[UInt8]] = []
                for piece in [bytes[..<first], bytes[first..<second], bytes[second...]] {
                    lines += Self.take(Array(piece), .standardError, &output)
                }
                lines += output.end(Self.origin)
                #expect(
                    lines.map { String(decoding: $0, as: UTF8.self) } == whole,
                    "cut at \(first), \(second)"
                )
            }
        }
    }

    @Test func bytesThatAreNotTextAreKept() {
        var output = OutputLines(pool: "www", decorates: false, limit: 1024)
        #expect(Self.take([0xff, 0xfe, 0x80, 10], .standardError, &output) == [[0xff, 0xfe, 0x80, 10]])
    }

    // MARK: - Wrapping

    /// Lengths with their newline; text of one letter, so that pieces can be counted.
    @Test(arguments: [
        (512, 1), (512, 439), (512, 440), (512, 441), (512, 880), (512, 881), (1050, 2048), (1050, 2900),
        (8000, 4096),
        (1024, 200_000),
    ])
    func decoratedLinesAreWrapped(limit: Int, length: Int) {
        let head = Self.head + "err: \""
        let lines = Self.lines([.err(String(repeating: "t", count: length) + "\n")], limit: limit)
        let room = limit - head.utf8.count - 2
        #expect(lines.count == (length + room - 1) / room)
        for line in lines {
            #expect(line.hasPrefix(head) && line.hasSuffix("\"\n"))
            #expect(line.dropFirst(head.count).dropLast(2).allSatisfy { $0 == "t" })
        }
        #expect(lines.dropLast().allSatisfy { $0.utf8.count == limit })
        #expect(lines.map { $0.utf8.count - head.utf8.count - 2 }.reduce(0, +) == length)
    }

    @Test(arguments: [
        // php-fpm's own example: 100 bytes pending, 2500 more.
        ([100, 2500], 1024, [1024, 1024, 555]), ([120], 1024, [121]), ([3300], 1500, [1500, 1500, 303]),
        ([2000], 1000, [1000, 1000, 3]), ([1023], 1024, [1024]), ([1024], 1024, [1024, 2]),
        ([1023, 1], 1024, [1024, 2]),
        ([70_000, 70_000], 65_000, [65_000, 65_000, 10_003]),
    ])
    func plainLinesAreWrapped(pieces: [Int], limit: Int, expected: [Int]) {
        let steps = pieces.map { Step.err(String(repeating: "p", count: $0)) }
        let lines = Self.lines(steps + [.err("\n")], decorates: false, limit: limit)
        #expect(lines.map(\.utf8.count) == expected)
        #expect(lines.allSatisfy { $0.hasSuffix("p\n") })
    }

    @Test func fullLinesDoNotWaitForTheirEnd() {
        #expect(
            Self.lines([.err(String(repeating: "p", count: 5000))], decorates: false, limit: 1000).count == 5
        )
    }

    @Test func eachLineHasTheTimeOfItsRead() {
        var output = OutputLines(pool: "p", decorates: true, limit: 512)
        func take(_ text: String, _ time: String) -> [[UInt8]] {
            Array(text.utf8).withUnsafeBytes {
                output.take($0, from: .standardError, OutputLines.Origin(time: time, process: "7"))
            }
        }
        #expect(take(String(repeating: "a", count: 400), "then") == [])
        let lines = take(String(repeating: "a", count: 400) + "\n", "now").map {
            String(decoding: $0, as: UTF8.self)
        }
        #expect(lines.count == 2)
        #expect(lines.first?.hasPrefix("[then]") == true)
        #expect(lines.last?.hasPrefix("[now]") == true)
    }

    @Test func namesLongerThanTheLimitLeaveRoomForText() {
        let name = String(repeating: "n", count: 2000)
        var output = OutputLines(pool: ByteString(name), decorates: true, limit: 512)
        let lines = Self.take(Array("some text\n".utf8), .standardError, &output)
        #expect(lines.count == 1)
        #expect(
            lines.first.map { String(decoding: $0, as: UTF8.self) }?.hasSuffix(": \"some text\"\n") == true
        )
    }

    // MARK: - A pipe that is closed at once

    @Test func closedPipeIsTold() {
        #expect(Self.lines([.err("a"), .closed]) == ["\(Self.head)err: \"a\", pipe is closed\n"])
        #expect(
            Self.lines([.out("a\nb"), .closed]) == [
                "\(Self.head)out: \"a\"\n", "\(Self.head)out: \"b\", pipe is closed\n",
            ]
        )
        #expect(
            Self.lines([.err("a\n"), .closed]) == ["\(Self.head)err: \"a\"\n"],
            "no line is left to say it on"
        )
        #expect(Self.lines([.closed]) == [])
        #expect(Self.lines([.err("a"), .closed], decorates: false) == ["a\n"])
    }

    /// The words may not fit: what is left of them follows after the head, without quotes.
    @Test(arguments: 0...18) func closingWordsAreWrapped(left: Int) {
        let head = Self.head + "err: "
        let suffix = ", pipe is closed"
        let text = String(repeating: "s", count: 512 - head.utf8.count - 3 - left)
        let lines = Self.lines([.err(text), .closed], limit: 512)
        if left >= suffix.utf8.count {
            #expect(lines == ["\(head)\"\(text)\"\(suffix)\n"])
        } else {
            #expect(
                lines == ["\(head)\"\(text)\"\(suffix.prefix(left))\n", "\(head)\(suffix.dropFirst(left))\n"]
            )
            #expect(lines.first?.utf8.count == 512)
        }
    }
}
