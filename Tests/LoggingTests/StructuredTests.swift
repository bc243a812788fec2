import Configuration
import Foundation
import Syscalls
import Testing

@testable import Logging

/// Lines with fields: JSON and the journal's protocol.
@Suite struct StructuredTests {
    private static var context: LogContext {
        var context = LogContext.pool("www", worker: "4711")
        context.add(.uri, "/a?\"b\"")
        context.add(.script, "")
        context.add(.status, "200")
        return context
    }

    private func object(_ line: [UInt8]) throws -> [String: Any] {
        #expect(line.last == UInt8(ascii: "\n"))
        #expect(line.filter { $0 == UInt8(ascii: "\n") }.count == 1)
        return try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
    }

    @Test func jsonHasFields() throws {
        let line = JSONLine.format(
            microseconds: 1_764_058_445_123_456,
            level: .warning,
            message: "text",
            context: Self.context
        )
        let read = try object(line)
        #expect(read["time"] as? String == "2025-11-25T08:14:05.123456Z")
        #expect(read["level"] as? String == "warning")
        #expect(read["message"] as? String == "text")
        #expect(read["pool"] as? String == "www")
        #expect(read["worker"] as? Int == 4711)
        #expect(read["status"] as? Int == 200)
        #expect(read["uri"] as? String == "/a?\"b\"")
        #expect(read["script"] == nil)
    }

    @Test(arguments: [
        Array("quote \" backslash \\ newline \n return \r tab \t".utf8), Array(0...127), Array(128...255),
        [0xc3],
        [0xed, 0xa0, 0x80], Array("ä€😀".utf8), [],
    ])
    func jsonTakesAnyBytes(bytes: [UInt8]) throws {
        let line = JSONLine.format(microseconds: 0, level: .error, message: ByteString(bytes), context: nil)
        #expect(try object(line)["message"] as? String == String(decoding: bytes, as: UTF8.self))
    }

    @Test func aNumberIsOnlyWhatIsOne() throws {
        var context = LogContext()
        context.add(.worker, "12x")
        context.add(.status, "007")
        let read = try object(JSONLine.format(microseconds: 0, level: .error, message: "", context: context))
        #expect(read["worker"] as? String == "12x")
        #expect(read["status"] as? String == "007")
    }

    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00.000000Z"), (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (951_868_799_999_999, "2000-02-29T23:59:59.999999Z"),
        (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
        (1_704_067_199_000_000, "2023-12-31T23:59:59.000000Z"),
    ])
    func timeIsUTC(microseconds: Int64, expected: String) { #expect(JSONLine.time(microseconds) == expected) }

    @Test func journalEntryHasFields() {
        let entry = JournalEntry("text", priority: 4, identifier: "fpmd", context: Self.context)
        #expect(
            String(decoding: entry.bytes, as: UTF8.self)
                == "PRIORITY=4\nSYSLOG_IDENTIFIER=fpmd\nSYSLOG_FACILITY=3\nFPMD_POOL=www\nFPMD_WORKER=4711\n"
                + "FPMD_URI=/a?\"b\"\nFPMD_STATUS=200\nMESSAGE=text\n"
        )
    }

    /// A value with a newline has its length before it: it cannot add a field.
    @Test func journalValuesCannotAddFields() {
        let entry = JournalEntry("a\nPRIORITY=0", priority: 4, identifier: "fpmd", context: nil)
        let expected: [UInt8] =
            Array("SYSLOG_FACILITY=3\nMESSAGE\n".utf8) + [12, 0, 0, 0, 0, 0, 0, 0]
            + Array("a\nPRIORITY=0\n".utf8)
        #expect(entry.bytes.suffix(expected.count) == expected[...])
    }

    @Test func journalMessagesAreBounded() {
        let long = ByteString([UInt8](repeating: UInt8(ascii: "a"), count: 1 << 20))
        let entry = JournalEntry(long, priority: 4, identifier: "fpmd", context: nil)
        #expect(entry.bytes.count < JournalEntry.longestMessage + 256)
    }

    @Test(arguments: [
        ("PHP Fatal error:  x", LogLevel.error), ("PHP Parse error:  x", .error),
        ("PHP Warning:  x", .warning),
        ("PHP Notice:  x", .notice), ("PHP Deprecated:  x", .notice), ("NOTICE: PHP message: hello", .notice),
        ("NOTICE: PHP message: PHP Fatal error:  x", .error), ("anything", .warning), ("", .warning),
        ("PHP message: PHP Fatal error:  x", .error), ("PHP message: hello", .warning),
        ("ERROR: x", .error),
    ])
    func severityIsPHPs(text: String, level: LogLevel) {
        #expect(OutputSeverity.of(ByteString(text)) == level)
    }

    @Test func aLogInJSONWritesObjects() throws {
        let (log, file) = try LogTests.fileLog()
        log.format = .json
        #expect(log.isStructured)
        log.writeOutput(.error, "said", .pool("www"))
        log.writeRaw(Array("[time] WARNING: finished line\n".utf8))
        let lines = try LogTests.text(file).split(separator: "\n").map { try object(Array("\($0)\n".utf8)) }
        #expect(lines.count == 2)
        #expect(lines.first?["pool"] as? String == "www")
        #expect(lines.last?["message"] as? String == "finished line")
        #expect(lines.last?["level"] as? String == "warning")
    }
}
