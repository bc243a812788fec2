import Control
import Testing

/// JSON as the control socket has it: exact, and bounded against whoever sends it.
struct JSONTests {
    private static func decode(_ text: String) throws -> JSON { try JSONDecoder.decode(Array(text.utf8)) }

    private static func text(_ value: JSON) -> String { String(decoding: value.line, as: UTF8.self) }

    static let values: [(String, JSON)] = [
        ("null", .null), (" true ", true), ("false", false), ("0", 0), ("-12", -12),
        ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
        ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("1.5", .number(1.5)),
        ("-2e3", .number(-2000)),
        (#""""#, ""), (#""a\"\\\/\b\f\n\r\tz""#, "a\"\\/\u{8}\u{c}\n\r\tz"), (#""\u00e9\u20ac""#, "é€"),
        (#""\ud83d\ude00""#, "😀"), ("[]", []), ("[1, [2], {}]", [1, [2], [:]]),
        (#"{"a": 1, "b": {"c": [null]}}"#, ["a": 1, "b": ["c": [.null]]]),
    ]

    @Test(arguments: values)
    func decodes(_ text: String, _ value: JSON) throws {
        #expect(try Self.decode(text) == value)
        #expect(try Self.decode(Self.text(value)) == value)
    }

    @Test(arguments: [
        "", " ", "nul", "tru", "01", "-", "1.", ".5", "1e", "+1", "0x10", "NaN", "Infinity", "1e999", "[1,]",
        "[1 2]", "[",
        "]", "{", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "{a:1}", #"{"a":1,"a":2}"#, #"""#, #""\x""#,
        #""\u12""#,
        #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "\"\n\"", "\"\u{0}\"", "1 2", "// 1", "'a'",
    ])
    func refuses(_ text: String) {
        #expect(throws: JSONDecoder.Malformed.self) { try Self.decode(text) }
    }

    @Test func refusesBytesThatAreNotUTF8() {
        for bytes: [UInt8] in [
            [0xff], [0xc0, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80],
        ] {
            #expect(throws: JSONDecoder.Malformed.self) { try JSONDecoder.decode([0x22] + bytes + [0x22]) }
        }
    }

    @Test func boundsNestingAndNumberOfValues() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try Self.decode(nested(16))
        #expect(throws: JSONDecoder.Malformed.self) { try Self.decode(nested(17)) }
        #expect(throws: JSONDecoder.Malformed.self) { try Self.decode(nested(1_000_000)) }
        let list = Array("[1,2,3]".utf8)
        _ = try JSONDecoder.decode(list, mostValues: 4)
        #expect(throws: JSONDecoder.Malformed.self) { try JSONDecoder.decode(list, mostValues: 3) }
    }

    @Test func writesNothingThatATerminalObeys() {
        #expect(Self.text("\u{1b}[2J\u{7f}\u{9b}") == #""\u001b[2J\u007f\u009b""#)
        #expect(Self.text(.number(.infinity)) == "null")
        #expect(Self.text(.number(0.5)) == "0.5")
    }

    @Test func indents() {
        var bytes: [UInt8] = []
        JSON.object([JSON.Member("a", [1, 2]), JSON.Member("b", [:])]).write(to: &bytes, indent: 2)
        #expect(
            String(decoding: bytes, as: UTF8.self) == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}"
        )
    }

    /// Whatever is read back is the same value, and nothing traps, whichever byte of a text is another one.
    @Test func survivesEveryMutation() {
        let text = Array(
            #"{"version":1,"command":"scale","pool":"w\u00e9","count":-8,"list":[true,null,1.5e3]}"#.utf8
        )
        var random = SystemRandomNumberGenerator()
        for position in text.indices {
            for _ in 0..<40 {
                var mutant = text
                mutant[position] = UInt8.random(in: 0...255, using: &random)
                if Bool.random(using: &random) {
                    mutant.remove(at: Int.random(in: mutant.indices, using: &random))
                }
                if Bool.random(using: &random) {
                    mutant = Array(mutant.prefix(Int.random(in: 0...mutant.count, using: &random)))
                }
                if let value = try? JSONDecoder.decode(mutant) {
                    #expect((try? JSONDecoder.decode(value.line)) == value, "\(mutant)")
                }
                _ = try? ControlRequest(decoding: mutant)
            }
        }
    }
}
