import CEpoll
import Configuration
import Foundation
import Logging
import Reactor
import Syscalls
import SystemPackage
import Testing

@testable import Master

/// What workers write, on its way into the log.
@Suite struct WorkerOutputTests {
    /// A log in a file, and a worker that writes into a pipe.
    private final class Setting {
        let reactor: Reactor
        let log = Log()
        let output: WorkerOutput
        private let path: String
        private var writer: SharedDescriptor?

        init(decorates: Bool, format: Log.Format = .text) throws {
            reactor = try Reactor()
            path = NSTemporaryDirectory() + "fpmd-output-\(UUID().uuidString)"
            let file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
            try #require(file >= 0)
            log.use(.file(path: "log", descriptor: SharedDescriptor(adopting: file)))
            log.format = format
            output = WorkerOutput(pool: "www", pid: { "7" }, decorates: decorates, log: log)
            var ends: [Int32] = [-1, -1]
            try #require(cepoll_pipe(&ends) == 0)
            writer = SharedDescriptor(adopting: ends[1])
            try output.watch(SharedDescriptor(adopting: ends[0]), .standardError, on: reactor)
        }

        deinit { unlink(path) }

        func say(_ text: String) {
            let bytes = Array(text.utf8)
            #expect(write(writer?.rawValue ?? -1, bytes, bytes.count) == bytes.count)
        }

        func end() { writer = nil }

        var logged: String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
        var lineCount: Int { logged.utf8.count { $0 == 10 } }
    }

    /// Calls of write(2) by this process until now.
    private static func writes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/io", encoding: .utf8)
        return try #require(text.firstMatch(of: /syscw: (\d+)/).flatMap { Int($0.1) })
    }

    @Test func linesAreAsTheyWereWritten() throws {
        let plain = try Setting(decorates: false)
        plain.say("one\n\ntwo\nthr")
        try plain.reactor.turn(until: { plain.lineCount == 2 })
        plain.say("ee\n")
        try plain.reactor.turn(until: { plain.lineCount == 3 })
        #expect(plain.logged == "one\ntwo\nthree\n")
    }

    @Test func decoratedLines() throws {
        let decorated = try Setting(decorates: true)
        decorated.say("one\ntwo\n")
        try decorated.reactor.turn(until: { decorated.lineCount == 2 })
        let lines = decorated.logged.split(separator: "\n")
        #expect(lines[0].contains(/^\[.*\] WARNING: \[pool www\] child 7 said into stderr: "one"$/))
        #expect(lines[1].contains(/^\[.*\] WARNING: \[pool www\] child 7 said into stderr: "two"$/))
    }

    /// The first words of a worker that ends at once say so.
    @Test func pipeThatIsClosedAtOnce() throws {
        let decorated = try Setting(decorates: true)
        decorated.say("last\nwords")
        decorated.end()
        try decorated.reactor.turn(until: { decorated.lineCount == 2 })
        #expect(decorated.logged.hasSuffix("stderr: \"words\", pipe is closed\n"))
    }

    /// One worker's many small lines do not keep the loop from the others.
    @Test(arguments: [true, false]) func linesPerTurnAreBounded(decorates: Bool) throws {
        let setting = try Setting(decorates: decorates)
        setting.say(String(repeating: "x\n", count: 8192))
        try setting.reactor.turn(limit: .seconds(10))
        #expect((1...512).contains(setting.lineCount), "\(setting.lineCount) lines in the first turn")
        try setting.reactor.turn(until: { setting.lineCount == 8192 })
    }

    /// Long lines are read on in the same turn: those of one message stay together.
    @Test func longLinesAreTakenTogether() throws {
        let setting = try Setting(decorates: false)
        setting.say(String(repeating: String(repeating: "y", count: 99) + "\n", count: 100))
        try setting.reactor.turn(limit: .seconds(10))
        #expect(setting.lineCount == 100)
    }

    /// Everything that is in the pipe of a worker that has ended is logged.
    @Test func restOfAnEndedWorker() throws {
        let setting = try Setting(decorates: false)
        setting.say(String(repeating: "z\n", count: 32 << 10))
        setting.end()
        setting.output.finish()
        #expect(setting.lineCount == 32 << 10)
    }

    /// A zygote's output likewise: the pool's preloading script may write there.
    @Test func zygotesLinesPerTurnAreBounded() throws {
        let setting = try Setting(decorates: false)
        var ends: [Int32] = [-1, -1]
        try #require(cepoll_pipe(&ends) == 0)
        let writer = SharedDescriptor(adopting: ends[1])
        let output = ZygoteOutput(pool: "www", log: setting.log)
        try output.watch(SharedDescriptor(adopting: ends[0]), on: setting.reactor)
        let bytes = Array(String(repeating: "x\n", count: 4096).utf8)
        #expect(write(writer.rawValue, bytes, bytes.count) == bytes.count)
        try setting.reactor.turn(limit: .seconds(10))
        #expect((1...512).contains(setting.lineCount), "\(setting.lineCount) lines in the first turn")
        try setting.reactor.turn(until: { setting.lineCount == 4096 })
        #expect(setting.logged.hasSuffix("] NOTICE: [pool www] x\n"))
        #expect(write(writer.rawValue, bytes, bytes.count) == bytes.count)
        output.finish()
        #expect(setting.lineCount == 8192)
    }

    @Test func manyLinesAreFewWrites() async {
        await #expect(processExitsWith: .success) {
            for format in [Log.Format.text, .json] {
                let setting = try Setting(decorates: true, format: format)
                setting.say(String(repeating: "x\n", count: 8192))
                let before = try Self.writes()
                var turns = 0
                while setting.lineCount < 8192 {
                    try setting.reactor.turn(limit: .seconds(10))
                    turns += 1
                }
                let writes = try Self.writes() - before
                #expect(writes <= 2 * turns && writes < 512, "\(writes) writes in \(turns) turns")
            }
        }
    }
}
