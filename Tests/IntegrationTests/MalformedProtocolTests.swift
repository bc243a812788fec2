import Foundation
import TestSupport
import Testing

/// Bytes that are no FastCGI request: the connection may end, the daemon answers the next one.
@Suite(.daemons)
struct MalformedProtocolTests {
    private static let pool = "pm = static\npm.max_children = 2"

    /// Sends bytes, reads what comes, and closes; neither a reset nor silence is wrong.
    private func provoke(_ daemon: Daemon, _ bytes: [UInt8], closing: Bool = true) throws {
        let connection = try daemon.connect()
        try? connection.send(bytes)
        if closing {
            connection.finishSending()
            _ = try connection.readToEnd()
        }
    }

    private func expectHealth(_ daemon: Daemon, workers: [ProcessSnapshot]) throws {
        // Twice the number of workers at once: none of them is stuck.
        let connections = try (0..<4).map { _ in try daemon.begin("/hello.php") }
        for connection in connections { #expect(try connection.finalResponse().text == "hello, world\n") }
        let names = ["1", "2"]
        let held = try names.map { try daemon.hold($0) }
        try daemon.waitUntilStarted(names)
        try daemon.releaseHeld()
        for connection in held { #expect(try connection.finalResponse().isComplete) }
        #expect(daemon.workers() == workers)
    }

    @Test func requestCutOffAtEveryByte() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let workers = try daemon.waitForWorkers(2)
        daemon.markDescriptors()
        var request = daemon.makeRequest("/input.php", body: Array("a=1".utf8), contentType: "text/plain")
        for name in ["REMOTE_PORT", "SERVER_ADDR", "SERVER_PORT", "SERVER_SOFTWARE", "GATEWAY_INTERFACE"] {
            request.set(name, nil)
        }
        let bytes = request.bytes
        for count in 0..<bytes.count { try provoke(daemon, Array(bytes[..<count])) }
        try expectHealth(daemon, workers: workers)
    }

    @Test func requestCutOffByAReset() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let workers = try daemon.waitForWorkers(2)
        daemon.markDescriptors()
        let bytes = daemon.makeRequest("/input.php", body: Array("a=1".utf8), contentType: "text/plain").bytes
        for count in stride(from: 0, to: bytes.count, by: 5) {
            let connection = try daemon.connect()
            try connection.send(Array(bytes[..<count]))
            connection.abort()
        }
        try expectHealth(daemon, workers: workers)
    }

    @Test func randomBytes() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let workers = try daemon.waitForWorkers(2)
        daemon.markDescriptors()
        var generator = Generator(state: 0x5eed)
        for number in 0..<300 {
            var bytes = (0..<(number * 7 % 3000)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            // Every second one gets past the first check.
            if number % 2 == 0, !bytes.isEmpty { bytes[0] = 1 }
            try provoke(daemon, bytes)
        }
        try expectHealth(daemon, workers: workers)
    }

    @Test func changedBytes() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let workers = try daemon.waitForWorkers(2)
        daemon.markDescriptors()
        let original = daemon.makeRequest("/hello.php", body: Array("a=1".utf8), contentType: "text/plain")
            .bytes
        var generator = Generator(state: 0xbad)
        for _ in 0..<400 {
            var bytes = original
            for _ in 0...2 {
                let position = Int.random(in: 0..<min(bytes.count, 40), using: &generator)
                bytes[position] = UInt8.random(in: 0...255, using: &generator)
            }
            try provoke(daemon, bytes)
        }
        try expectHealth(daemon, workers: workers)
    }

    struct Corpus: Sendable, CustomStringConvertible {
        let description: String
        let bytes: [UInt8]
    }

    private static let begin = Record(RecordKind.beginRequest, id: 1, [0, 1, 0, 0, 0, 0, 0, 0]).encoded()
    private static let endOfParameters = Record(RecordKind.parameters, id: 1).encoded()

    private static func parameters(_ content: [UInt8]) -> [UInt8] {
        begin + Record(RecordKind.parameters, id: 1, content).encoded() + endOfParameters
    }

    @Test(arguments: [
        Corpus(description: "version 0", bytes: [0, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        Corpus(
            description: "unknown role",
            bytes: Record(RecordKind.beginRequest, id: 1, [0, 9, 0, 0, 0, 0, 0, 0]).encoded()
        ),
        Corpus(
            description: "role 0",
            bytes: Record(RecordKind.beginRequest, id: 1, [0, 0, 0, 0, 0, 0, 0, 0]).encoded()
        ),
        Corpus(
            description: "short BEGIN",
            bytes: Record(RecordKind.beginRequest, id: 1, [0, 1, 0]).encoded()
        ),
        Corpus(
            description: "long BEGIN",
            bytes: Record(RecordKind.beginRequest, id: 1, [UInt8](repeating: 0, count: 64)).encoded()
        ),
        Corpus(description: "unknown type", bytes: Record(99, id: 1, [1, 2, 3]).encoded()),
        Corpus(description: "unknown management type", bytes: Record(99, id: 0, [1, 2, 3]).encoded()),
        Corpus(
            description: "PARAMS first",
            bytes: Record(RecordKind.parameters, id: 1, encodePair("A", "B")).encoded()
        ),
        Corpus(description: "STDIN first", bytes: Record(RecordKind.stdin, id: 1, [65]).encoded()),
        Corpus(description: "ABORT first", bytes: Record(RecordKind.abortRequest, id: 1).encoded()),
        Corpus(
            description: "END from the client",
            bytes: begin + Record(RecordKind.endRequest, id: 1, [0, 0, 0, 0, 0, 0, 0, 0]).encoded()
        ),
        Corpus(description: "two BEGIN", bytes: begin + begin),
        Corpus(
            description: "STDIN instead of PARAMS",
            bytes: begin + Record(RecordKind.stdin, id: 1, [65, 66]).encoded()
        ),
        Corpus(description: "name longer than the record", bytes: parameters([200, 1, 65, 66])),
        Corpus(description: "value longer than the record", bytes: parameters([1, 100, 65, 66])),
        Corpus(
            description: "huge lengths",
            bytes: parameters([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 65])
        ),
        Corpus(description: "length cut off", bytes: parameters([0x80, 0, 0])),
        Corpus(description: "no name", bytes: parameters([0, 1, 65])),
        Corpus(description: "NUL in a name", bytes: parameters([3, 1, 65, 0, 66, 67])),
        Corpus(
            description: "largest record",
            bytes: begin + [1, 4, 0, 1, 0xff, 0xff, 0xff, 0] + [UInt8](repeating: 1, count: 65_790)
        ),
        Corpus(
            description: "content longer than sent",
            bytes: begin + [1, 4, 0, 1, 0xff, 0xf0, 0, 0, 1, 1, 65, 66]
        ),
        Corpus(
            description: "other id in PARAMS",
            bytes: begin + Record(RecordKind.parameters, id: 9, encodePair("A", "B")).encoded()
                + endOfParameters
        ),
        Corpus(
            description: "GET_VALUES cut off",
            bytes: [1, 9, 0, 0, 0, 20, 0, 0, 15, 0] + Array("FCGI".utf8)
        ),
        Corpus(
            description: "GET_VALUES with lying lengths",
            bytes: Record(RecordKind.getValues, id: 0, [0xff, 0xff, 0xff, 0xff, 1]).encoded()
        ),
        Corpus(
            description: "empty STDIN without end",
            bytes: [UInt8](repeating: 0, count: 0)
                + (0..<50).flatMap { _ in Record(RecordKind.stdin, id: 1).encoded() }
        ),
        Corpus(description: "HTTP", bytes: Array("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n".utf8)),
        Corpus(
            description: "TLS",
            bytes: [0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3] + [UInt8](repeating: 7, count: 200)
        ),
        Corpus(
            description: "negative CONTENT_LENGTH",
            bytes: parameters(encodePair("REQUEST_METHOD", "POST") + encodePair("CONTENT_LENGTH", "-5"))
        ),
        Corpus(
            description: "huge CONTENT_LENGTH",
            bytes: parameters(
                encodePair("REQUEST_METHOD", "POST") + encodePair("CONTENT_LENGTH", "99999999999999999999")
            )
        ),
    ])
    func corpus(test: Corpus) throws {
        let daemon = try Daemon.startPool(Self.pool)
        let workers = try daemon.waitForWorkers(2)
        daemon.markDescriptors()
        for _ in 1...3 { try provoke(daemon, test.bytes) }
        // The same, and the client just goes.
        for _ in 1...3 { try provoke(daemon, test.bytes, closing: false) }
        try expectHealth(daemon, workers: workers)
    }

    @Test func garbageAfterARequest() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let workers = try daemon.waitForWorkers(2)
        for garbage: [UInt8] in [
            [1], [0xff, 0xff, 0xff], Array("garbage garbage".utf8), [UInt8](repeating: 0, count: 999),
        ] {
            var request = daemon.makeRequest("/hello.php")
            request.keepsConnection = true
            let connection = try daemon.connect()
            try connection.send(request.bytes + garbage)
            #expect(try connection.readResponse().text == "hello, world\n")
            connection.finishSending()
            _ = try connection.readToEnd()
        }
        try expectHealth(daemon, workers: workers)
    }

    /// A fixed sequence of random numbers (SplitMix64), so that a failure comes again.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
            return value ^ (value >> 31)
        }
    }
}
