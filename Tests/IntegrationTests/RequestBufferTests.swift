import Foundation
import TestSupport
import Testing

/// `request_buffer`: up to that size a request of a slow client is received without a worker.
@Suite(.daemons, .fpmdOnly("a slow client holds a worker"))
struct RequestBufferTests {
    private static func start(_ buffer: String) throws -> Daemon {
        try Daemon.startPool(
            "pm = static\npm.max_children = 1\npm.status_path = /status\n"
                + (buffer.isEmpty ? "" : "request_buffer = \(buffer)\n")
        )
    }

    private static func body(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 + $0 >> 10) }
    }

    private static func upload(_ daemon: Daemon, _ count: Int) -> FastCGIRequest {
        var request = daemon.makeRequest(
            "/input.php",
            method: "PUT",
            body: body(count),
            contentType: "application/x-bytes"
        )
        request.keepsConnection = true
        return request
    }

    private static func expect(_ seen: [String: Any], _ daemon: Daemon, _ count: Int) throws {
        let path = daemon.scratch + "/bytes"
        try Data(body(count)).write(to: URL(fileURLWithPath: path))
        let sum = String(try run(["md5sum", path]).output.prefix(32))
        #expect(seen["length"] as? Int == count)
        #expect(seen["md5"] as? String == sum)
    }

    /// Larger than what is always received first, smaller than what is configured; the connection serves on.
    @Test(arguments: [100_000, 600_000, 1_040_000]) func slowUploadHoldsNoWorker(_ count: Int) throws {
        let daemon = try Self.start("1M")
        let connection = try daemon.connect()
        for _ in 1...2 {
            let bytes = Self.upload(daemon, count).bytes
            var sent = 0
            for part in 1...4 {
                let end = part * (bytes.count - 1) / 4
                try connection.send(Array(bytes[sent..<end]))
                sent = end
                #expect(try daemon.get("/hello.php").text == "hello, world\n")
            }
            try connection.send(Array(bytes[sent...]))
            try Self.expect(try connection.readResponse().json, daemon, count)
        }
    }

    /// The worker reads on where the buffer ends.
    @Test(arguments: ["", "16K", "256K", "1M"]) func largerThanTheBuffer(_ buffer: String) throws {
        let daemon = try Self.start(buffer)
        let count = 3_000_003
        let connection = try daemon.connect()
        let bytes = Self.upload(daemon, count).bytes
        try connection.send(Array(bytes[..<10_000]))
        // Waits in the master until the rest comes.
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        try connection.send(Array(bytes[10_000...]))
        try Self.expect(try connection.readResponse().json, daemon, count)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// A large request waits in the queue like any other, also over a reload, which takes it out of the socket.
    @Test func largeRequestsInTheQueue() throws {
        let daemon = try Self.start("1M")
        let blocker = try daemon.startHolding("blocker")
        let count = 700_000
        let uploads = try (1...5).map { _ in
            let connection = try daemon.connect()
            try connection.send(Self.upload(daemon, count))
            return connection
        }
        try wait(for: "the uploads to be queued") {
            try daemon.get("/status", query: "json").json["listen queue"] as? Int == 5
        }
        daemon.signal(SIGUSR2)
        for connection in uploads { try Self.expect(try connection.readResponse().json, daemon, count) }
        try daemon.releaseHeld()
        #expect(try blocker.finalResponse().isComplete)
    }

    /// 0: a script starts when its parameters are there, as in php-fpm, and the worker waits for the body.
    @Test func off() throws {
        let daemon = try Self.start("0")
        // Of a POST PHP reads the body before it starts the script.
        var request = daemon.makeRequest(
            "/hold.php",
            query: "dir=\(daemon.scratch)&name=early",
            method: "PUT",
            body: [1, 2, 3],
            contentType: "application/x-bytes"
        )
        request.keepsConnection = false
        let bytes = request.bytes
        let connection = try daemon.connect()
        // The body's record and the one that ends it.
        let head = request.records.dropLast(2).flatMap { $0.encoded() }.count
        try connection.send(Array(bytes[..<100]))
        try connection.send(Array(bytes[100..<head]))
        try daemon.waitUntilStarted(["early"])
        try connection.send(Array(bytes[head...]))
        try daemon.releaseHeld()
        #expect(try connection.finalResponse().isComplete)
        try Self.expect(try daemon.send(Self.upload(daemon, 500_000)).json, daemon, 500_000)
    }
}
