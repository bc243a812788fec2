import Configuration
import Foundation
import Logging
import Syscalls
import Testing

/// Where lines go.
@Suite struct LogTests {
    /// A log that writes to a file of its own.
    static func fileLog(_ level: LogLevel = .notice) throws -> (Log, FileHandle) {
        var template = Array("/tmp/fpmd-unit-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw currentErrno }
        unlink(template)
        let log = Log()
        log.level = level
        log.use(.file(path: "log", descriptor: SharedDescriptor(adopting: descriptor)))
        // Of its own: a log that is pinned to standard error closes its file.
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw currentErrno }
        return (log, FileHandle(fileDescriptor: copy, closeOnDealloc: true))
    }

    /// What is in the file; reading leaves the log's place in it at the end.
    static func text(_ file: FileHandle) throws -> String {
        try file.seek(toOffset: 0)
        return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
    }

    /// Only debug lines: before its start-up has ended, a log copies the others to stderr.
    @Test(arguments: LogLevel.allCases) func levelDecides(level: LogLevel) throws {
        let (log, file) = try Self.fileLog(level)
        log.debug("d")
        #expect(try Self.text(file).contains("DEBUG: d") == (level == .debug))
    }

    @Test func startupIsShownOnStandardErrorToo() async throws {
        let result = try await #require(processExitsWith: .success, observing: [\.standardErrorContent]) {
            let (log, file) = try LogTests.fileLog(.debug)
            log.debug("first")
            log.notice("second")
            log.finishStartup()
            log.warning("third")
            log.level = .error
            log.warning("not written")
            log.error("fourth")
            log.alert("fifth")
            let time = #"\[\d\d-[A-Z][a-z][a-z]-\d{4} \d\d:\d\d:\d\d"#
            let expected =
                #"\#(time)\.\d{6}\] DEBUG: first\n\#(time)\.\d{6}\] NOTICE: second\n"#
                + #"\#(time)\.\d{6}\] WARNING: third\n\#(time)\] ERROR: fourth\n\#(time)\] ALERT: fifth\n"#
            let text = try LogTests.text(file)
            #expect(try Regex(expected).wholeMatch(in: text) != nil, "\(text)")
        }
        let shown = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(shown.contains("NOTICE: second\n"))
        #expect(!shown.contains("first") && !shown.contains("third"), "\(shown)")
    }

    @Test func standardErrorIsTiedToTheFile() async {
        await #expect(processExitsWith: .success) {
            let (log, file) = try LogTests.fileLog()
            log.finishStartup()
            _ = write(2, "stray\n", 6)
            #expect(try LogTests.text(file) == "stray\n")
        }
    }

    @Test func pinnedLogStaysOnStandardError() async throws {
        let result = try await #require(processExitsWith: .success, observing: [\.standardErrorContent]) {
            let (unused, file) = try LogTests.fileLog()
            let log = Log()
            log.pinToStandardError()
            log.use(unused.destination)
            log.notice("shown")
            log.finishStartup()
            log.notice("shown again")
            log.writeRaw(Array("raw\n".utf8))
            #expect(try LogTests.text(file) == "")
        }
        let shown = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(shown.split(separator: "\n").count == 3, "each line once: \(shown)")
        #expect(shown.hasSuffix("NOTICE: shown again\nraw\n"))
    }

    /// As with `daemonize = no` in the file, which is known only once the log is open.
    @Test func logPinnedLaterLeavesItsFile() async throws {
        let result = try await #require(processExitsWith: .success, observing: [\.standardErrorContent]) {
            let (log, file) = try LogTests.fileLog()
            let opened = log.destination
            log.pinToStandardError()
            log.notice("shown")
            log.finishStartup()
            log.notice("shown again")
            log.writeRaw(Array("raw\n".utf8))
            #expect(try LogTests.text(file) == "")
            // The log has closed it.
            withExtendedLifetime(opened) {}
        }
        let shown = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(shown.split(separator: "\n").count == 3, "each line once: \(shown)")
        #expect(shown.hasSuffix("NOTICE: shown again\nraw\n"))
    }

    @Test func rawLinesGoToTheFileAlone() throws {
        let (log, file) = try Self.fileLog()
        log.writeRaw(Array("a finished line\n".utf8))
        #expect(try Self.text(file) == "a finished line\n")
    }

    /// Microseconds belong to the same clock as the seconds before them.
    @Test func timestampsOfDebugLogsAreOfOneClock() throws {
        let log = Log()
        #expect(log.timestamp().utf8.count == 20)
        log.level = .debug
        // Only a stamp that was taken quickly can be compared.
        for _ in 0..<1000 {
            let before = Date().timeIntervalSince1970
            let stamp = log.timestamp()
            let passed = Date().timeIntervalSince1970 - before
            guard passed < 0.1 else { continue }
            #expect(stamp.utf8.count == 27)
            let fraction = try #require(Double("0." + String(stamp.suffix(6))))
            let second = before.rounded(.down)
            let moments = [second + fraction, second + 1 + fraction]
            #expect(
                moments.contains { $0 > before - 0.001 && $0 < before + passed + 0.001 },
                "\(stamp) at \(before)"
            )
            return
        }
        Issue.record("the machine is too busy")
    }
}
