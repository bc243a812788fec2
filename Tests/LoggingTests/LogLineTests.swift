import Configuration
import Logging
import Testing

/// The text of the master's own lines.
@Suite struct LogLineTests {
    @Test(arguments: [
        (LogLevel.debug, "DEBUG"), (.notice, "NOTICE"), (.warning, "WARNING"), (.error, "ERROR"),
        (.alert, "ALERT"),
    ])
    func lineHasTimeLevelAndText(level: LogLevel, name: String) {
        let line = LogLine.format(time: "22-Nov-2026 11:44:40", level: level, message: "ready", limit: 1024)
        #expect(String(decoding: line, as: UTF8.self) == "[22-Nov-2026 11:44:40] \(name): ready\n")
        let bare = LogLine.format(time: nil, level: level, message: "ready", limit: 1024)
        #expect(String(decoding: bare, as: UTF8.self) == "\(name): ready\n")
    }

    @Test func messagesAreWrittenAsTheyAre() {
        let line = LogLine.format(
            time: nil,
            level: .notice,
            message: ByteString([0xff, 10, 0, 10]),
            limit: 512
        )
        #expect(line == Array("NOTICE: ".utf8) + [0xff, 10, 0, 10, 10])
        #expect(LogLine.format(time: nil, level: .error, message: "", limit: 512) == Array("ERROR: \n".utf8))
    }

    /// Lines of up to 2048 bytes with the newline are whole, whatever the limit; longer ones are cut to the limit, which
    /// means nothing beyond 2048.
    @Test(arguments: [
        (512, 500, 501), (512, 513, 514), (512, 2047, 2048), (512, 2048, 512), (512, 100_000, 512),
        (1024, 2047, 2048), (1024, 2048, 1024), (2048, 2048, 2048), (8000, 2047, 2048), (8000, 2048, 2048),
        (8000, 4000, 2048),
    ])
    func longLinesAreCut(limit: Int, length: Int, expected: Int) {
        let label = "NOTICE: "
        let message = ByteString([UInt8](repeating: 0x78, count: length - label.utf8.count))
        let line = LogLine.format(time: nil, level: .notice, message: message, limit: limit)
        #expect(line.count == expected)
        #expect(line.last == 10)
        let text = String(decoding: line.dropLast(), as: UTF8.self)
        #expect(text.hasPrefix("NOTICE: xxx"))
        #expect(text.hasSuffix("...") == (length >= 2048))
        #expect(text.dropFirst(label.count).allSatisfy { $0 == "x" || $0 == "." })
    }

    @Test func theTimeCountsToo() {
        let message = ByteString([UInt8](repeating: 0x78, count: 2017))
        let line = LogLine.format(time: "22-Nov-2026 11:44:40", level: .notice, message: message, limit: 1000)
        #expect(line.count == 2017 + 31 + 1 - 1049)
    }
}
