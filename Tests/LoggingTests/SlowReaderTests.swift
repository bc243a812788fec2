import CEpoll
import Configuration
import Foundation
import Logging
import Syscalls
import Testing

/// A log whose reader does not read: no line waits for it, and what is lost is counted.
@Suite struct SlowReaderTests {
    enum Destination: CaseIterable { case pipe, socket }

    private static func ends(_ destination: Destination) throws -> (read: Int32, write: SharedDescriptor) {
        var ends: [Int32] = [-1, -1]
        let result =
            switch destination {
            case .pipe: cepoll_pipe(&ends)
            case .socket: socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends)
            }
        guard result == 0 else { throw currentErrno }
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        return (ends[0], SharedDescriptor(adopting: ends[1]))
    }

    /// Everything that is there now.
    private static func drain(_ descriptor: Int32) -> String {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = Glibc.read(descriptor, &buffer, buffer.count), count > 0 {
            text += buffer[..<count]
        }
        return String(decoding: text, as: UTF8.self)
    }

    @Test(arguments: Destination.allCases) func linesAreKeptThenCounted(destination: Destination) throws {
        let (reader, writer) = try Self.ends(destination)
        defer { close(reader) }
        let log = Log()
        log.use(.file(path: "log", descriptor: writer))
        var calls = 0
        log.onWaiting = { calls += 1 }
        let total = 20_000
        // 2 MB: more than the pipe and the log's memory hold.
        for number in 0..<total {
            log.writeRaw(Array("line \(number) \(String(repeating: "x", count: 90))\n".utf8))
        }
        #expect(calls > 0)
        #expect(!log.flush())
        var text = ""
        repeat { text += Self.drain(reader) } while !log.flush()
        text += Self.drain(reader)
        let lines = text.split(separator: "\n")
        let notice = try #require(lines.last?.firstMatch(of: /WARNING: (\d+) log line\(s\) lost/))
        let lost = try #require(Int(notice.1))
        #expect(lost > 0 && lost + lines.count - 1 == total)
        // In order, whole, without a gap before the loss.
        for (number, line) in lines.dropLast().enumerated() {
            #expect(line.hasPrefix("line \(number) x") && line.hasSuffix("x"))
        }
        // Said once.
        log.writeRaw(Array("after\n".utf8))
        #expect(Self.drain(reader) == "after\n")
    }

    /// Lines that are written together are kept, lost and counted one by one.
    @Test(arguments: Destination.allCases) func joinedLinesAreKeptThenCounted(destination: Destination) throws
    {
        let (reader, writer) = try Self.ends(destination)
        defer { close(reader) }
        let log = Log()
        log.use(.file(path: "log", descriptor: writer))
        var calls = 0
        log.onWaiting = { calls += 1 }
        let total = 20_000
        for start in stride(from: 0, to: total, by: 250) {
            log.together {
                for number in start..<(start + 250) {
                    log.writeRaw(
                        Array("line \(number) \(String(repeating: "x", count: number % 200))\n".utf8)
                    )
                }
            }
        }
        #expect(calls > 0)
        var text = ""
        repeat { text += Self.drain(reader) } while !log.flush()
        text += Self.drain(reader)
        let lines = text.split(separator: "\n")
        let notice = try #require(lines.last?.firstMatch(of: /WARNING: (\d+) log line\(s\) lost/))
        #expect(Int(notice.1).map { $0 + lines.count - 1 } == total)
        var last = -1
        for line in lines.dropLast() {
            let number = try #require(line.firstMatch(of: /^line (\d+) x*$/).flatMap { Int($0.1) })
            #expect(number > last && line.count == "line \(number) ".count + number % 200)
            last = number
        }
        log.together { log.writeRaw(Array("after\n".utf8)) }
        #expect(Self.drain(reader) == "after\n")
    }

    @Test func readerThatIsGoneCostsLinesOnly() throws {
        let (reader, writer) = try Self.ends(.socket)
        let log = Log()
        log.use(.file(path: "log", descriptor: writer))
        close(reader)
        for _ in 0..<1000 { log.writeRaw(Array("into the void\n".utf8)) }
        #expect(log.flush())
    }

    @Test func countOfLostLinesGoesOnInAnotherFile() throws {
        let log = Log()
        let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
        try #require(full >= 0)
        log.use(.file(path: "/dev/full", descriptor: SharedDescriptor(adopting: full)))
        for _ in 0..<7 { log.writeRaw(Array("nobody keeps this\n".utf8)) }
        let (reader, writer) = try Self.ends(.pipe)
        defer { close(reader) }
        log.use(.file(path: "log", descriptor: writer))
        log.writeRaw(Array("after\n".utf8))
        let lines = Self.drain(reader).split(separator: "\n")
        #expect(lines.count == 2 && lines[0].contains("WARNING: 7 log line(s) lost:"), "\(lines)")
    }

    /// A FIFO whose reader takes nothing yet, and a log that writes to it.
    private final class PausedReader {
        let path = NSTemporaryDirectory() + "fifo-\(getpid())-\(UUID().uuidString)"
        let reader: Int32
        let log = Log()

        init() throws {
            try #require(mkfifo(path, 0o600) == 0)
            reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            try #require(reader >= 0)
            try reopen()
        }

        deinit {
            close(reader)
            unlink(path)
        }

        /// Another open file of the same FIFO, as after USR1.
        func reopen() throws {
            let descriptor = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
            try #require(descriptor >= 0)
            log.use(.file(path: "fifo", descriptor: SharedDescriptor(adopting: descriptor)))
        }
    }

    /// Lines wait, and half of one is out, when the log is opened anew: they go on waiting.
    @Test func linesThatWaitOutliveReopening() throws {
        let paused = try PausedReader()
        let (log, reader) = (paused.log, paused.reader)
        let long = 1 << 18
        log.writeRaw(Array(repeating: UInt8(ascii: "x"), count: long) + [UInt8(ascii: "\n")])
        log.writeRaw(Array("before\n".utf8))
        var pumps = false
        log.onWaiting = { pumps = true }
        try paused.reopen()
        #expect(pumps)
        log.writeRaw(Array("after\n".utf8))
        var text = ""
        while !log.flush() { text += Self.drain(reader) }
        text += Self.drain(reader)
        withExtendedLifetime(paused) {}
        #expect(text.count == long + "\nbefore\nafter\n".count)
        #expect(text.drop { $0 == "x" } == "\nbefore\nafter\n")
    }

    /// In another file a line of which a part was out begins anew.
    @Test func linesThatWaitGoToAnotherFile() throws {
        let paused = try PausedReader()
        let log = paused.log
        let line = String(repeating: "x", count: 1 << 18) + "\n"
        log.writeRaw(Array(line.utf8))
        let file = paused.path + ".file"
        defer { unlink(file) }
        let descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0)
        log.use(.file(path: "file", descriptor: SharedDescriptor(adopting: descriptor)))
        log.writeRaw(Array("after\n".utf8))
        #expect(try String(contentsOfFile: file, encoding: .utf8) == line + "after\n")
    }

    @Test func fullDiskCostsLinesOnly() throws {
        let log = Log()
        let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
        try #require(full >= 0)
        log.use(.file(path: "/dev/full", descriptor: SharedDescriptor(adopting: full)))
        for _ in 0..<1000 { log.writeRaw(Array("nobody keeps this\n".utf8)) }
        log.together { for _ in 0..<1000 { log.writeRaw(Array("nor this\n".utf8)) } }
        #expect(log.flush())
    }

    /// A helper process that shares the log must not write what waits a second time.
    @Test func abandonedLinesAreNotWritten() throws {
        let (reader, writer) = try Self.ends(.pipe)
        defer { close(reader) }
        let log = Log()
        log.use(.file(path: "log", descriptor: writer))
        for _ in 0..<3000 { log.writeRaw(Array("\(String(repeating: "y", count: 99))\n".utf8)) }
        #expect(!log.flush())
        log.abandonWaiting()
        let before = Self.drain(reader)
        #expect(log.flush())
        #expect(!before.isEmpty && Self.drain(reader).isEmpty)
    }
}
