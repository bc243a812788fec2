import Foundation
import TestSupport
import Testing

/// The FastCGI protocol as web servers speak it, and as they could.
@Suite(.daemons)
struct ConnectionTests {
    private static let pool = "pm = static\npm.max_children = 2"

    @Test func keepAlive() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.markDescriptors()
        let connection = try daemon.connect()
        for number in 1...50 {
            var request = daemon.makeRequest("/input.php", query: "n=\(number)")
            request.keepsConnection = number < 50
            request.id = UInt16(number)
            try connection.send(request)
            let response = try connection.readResponse()
            #expect(response.json["get"] as? [String: String] == ["n": "\(number)"])
            #expect(response.records.allSatisfy { $0.id == UInt16(number) })
        }
        #expect(try connection.read() == .end)
    }

    @Test func keptConnectionClosedByTheClient() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        for _ in 1...5 {
            let connection = try daemon.connect()
            var request = daemon.makeRequest("/hello.php")
            request.keepsConnection = true
            try connection.send(request)
            #expect(try connection.readResponse().isComplete)
            connection.close()
        }
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
    }

    /// The last padding may come after everything that a script needs, and meanwhile somebody else may be served: the next
    /// request is understood, whoever has the connection then.
    @Test(.fpmdOnly("an idle connection holds a worker"), arguments: [[], [UInt8]("body".utf8)])
    func paddingThatComesLate(_ body: [UInt8]) throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        let connection = try daemon.connect()
        var request = daemon.makeRequest("/input.php", body: body, contentType: "application/x-bytes")
        request.keepsConnection = true
        let records = request.records
        for late in records.indices.suffix(body.isEmpty ? 2 : 3) {
            let bytes = records.indices.flatMap { records[$0].encoded(padding: $0 == late ? 8 : 0) }
            let rest = 4 + records[(late + 1)...].reduce(0) { $0 + $1.encoded().count }
            try connection.send(Array(bytes.dropLast(rest)))
            #expect(try daemon.get("/hello.php").text == "hello, world\n")
            try connection.send(Array(bytes.suffix(rest)))
            #expect(try connection.readResponse().json["length"] as? Int == body.count)
            #expect(try daemon.get("/hello.php").text == "hello, world\n")
        }
        try connection.send(request)
        #expect(try connection.readResponse().json["length"] as? Int == body.count)
    }

    @Test func requestsSentAhead() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.connect()
        var bytes: [UInt8] = []
        for number in 1...5 {
            var request = daemon.makeRequest(
                "/input.php",
                query: "n=\(number)",
                body: Array("a=\(number)".utf8),
                contentType: "application/x-www-form-urlencoded"
            )
            request.keepsConnection = number < 5
            bytes += request.bytes
        }
        try connection.send(bytes)
        for number in 1...5 {
            let answer = try connection.readResponse().json
            #expect(answer["get"] as? [String: String] == ["n": "\(number)"])
            #expect(answer["post"] as? [String: String] == ["a": "\(number)"])
        }
    }

    @Test(arguments: [1, 3, 8, 100]) func requestInPieces(size: Int) throws {
        let daemon = try Daemon.startPool(Self.pool)
        let body = Array("name=value&other=\(String(repeating: "y", count: 300))".utf8)
        let request = daemon.makeRequest(
            "/input.php",
            body: body,
            contentType: "application/x-www-form-urlencoded"
        )
        let connection = try daemon.connect()
        try connection.send(request.bytes, inPiecesOf: size)
        let post = try connection.readResponse().json["post"] as? [String: String]
        #expect(post?["name"] == "value")
        #expect(post?["other"]?.count == 300)
    }

    @Test(arguments: [1, 7, 8, 255]) func padding(count: Int) throws {
        let daemon = try Daemon.startPool(Self.pool)
        let request = daemon.makeRequest(
            "/input.php",
            body: Array("some bytes".utf8),
            contentType: "text/plain"
        )
        let connection = try daemon.connect()
        // php-fpm takes no padding behind records without content.
        try connection.send(
            request.records.flatMap { $0.encoded(padding: $0.content.isEmpty ? 0 : UInt8(count)) }
        )
        #expect(try connection.readResponse().json["length"] as? Int == 10)
    }

    @Test(.fpmdOnly("loses step at padding behind an empty record")) func paddingOfEmptyRecords() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.connect()
        for number in 1...3 {
            var request = daemon.makeRequest(
                "/input.php",
                body: Array("some bytes".utf8),
                contentType: "text/plain"
            )
            request.keepsConnection = number < 3
            try connection.send(request.records.flatMap { $0.encoded(padding: 8) })
            #expect(try connection.readResponse().json["length"] as? Int == 10)
        }
    }

    @Test func manySmallRecords() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let body = (0..<2000).map { UInt8($0 & 0xff) }
        let request = daemon.makeRequest("/input.php", body: body, contentType: "application/octet-stream")
        let records = request.records.flatMap { record in
            record.kind == RecordKind.stdin && !record.content.isEmpty
                ? Record.split(RecordKind.stdin, id: 1, record.content, limit: 3) : [record]
        }
        let connection = try daemon.connect()
        try connection.send(records.flatMap { $0.encoded(padding: $0.content.isEmpty ? 0 : 1) })
        #expect(try connection.readResponse().json["length"] as? Int == 2000)
    }

    @Test func parametersInSeveralRecords() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/server.php")
        for number in 0..<30 { request.set("HTTP_X_\(number)", String(repeating: "v", count: 100 * number)) }
        let records = request.records.flatMap { record in
            record.kind == RecordKind.parameters && !record.content.isEmpty
                ? request.parameters.map {
                    Record(RecordKind.parameters, id: 1, encodePair($0.name, $0.value))
                } : [record]
        }
        let connection = try daemon.connect()
        try connection.send(records.flatMap { $0.encoded() })
        let seen = try connection.readResponse().json
        for number in 0..<30 { #expect((seen["HTTP_X_\(number)"] as? String)?.count == 100 * number) }
    }

    @Test(.fpmdOnly("closes the connection when a pair is split over two records"), arguments: [1, 10, 333])
    func parameterSplitOverRecords(size: Int) throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/server.php")
        request.set("HTTP_X_LONG", String(repeating: "v", count: 1000))
        let records = request.records.flatMap { record in
            record.kind == RecordKind.parameters && !record.content.isEmpty
                ? Record.split(RecordKind.parameters, id: 1, record.content, limit: size) : [record]
        }
        let connection = try daemon.connect()
        try connection.send(records.flatMap { $0.encoded() })
        #expect((try connection.readResponse().json["HTTP_X_LONG"] as? String)?.count == 1000)
    }

    @Test func largeParameters() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/server.php")
        for number in 0..<40 { request.set("HTTP_X_\(number)", String(repeating: "v", count: 6000)) }
        let pairs = request.parameters.map {
            Record(RecordKind.parameters, id: 1, encodePair($0.name, $0.value))
        }
        let records = request.records.filter { $0.kind != RecordKind.parameters || $0.content.isEmpty }
        let connection = try daemon.connect()
        try connection.send((records.prefix(1) + pairs + records.dropFirst()).flatMap { $0.encoded() })
        let seen = try connection.readResponse().json
        #expect((seen["HTTP_X_39"] as? String)?.count == 6000)
    }

    @Test(
        arguments: [
            0, 1, 8183, 8184, 8185, 65_527, 65_528, 65_529, 65_535, 65_536, 98_287, 98_288, 98_289,
            131_056, 1_048_576, 3_000_000,
        ],
        ["", "&whole"]
    )
    func answerSizes(count: Int, manner: String) throws {
        let daemon = try Daemon.startPool(Self.pool)
        let response = try daemon.get("/large.php", query: "bytes=\(count)\(manner)")
        #expect(response.body.count == count)
        #expect(response.isComplete)
        let expected = (0..<(count / 64)).map {
            String(repeating: "0", count: 63 - String($0 * 64).count) + "\($0 * 64)\n"
        }
        .joined().utf8
        #expect(response.body.prefix(expected.count).elementsEqual(expected))
    }

    /// A page goes in one piece; what is larger goes on in halves of that, which follow each other sooner in a socket.
    @Test func sizesOfRecords() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/large.php", query: "bytes=160000")
        request.keepsConnection = true
        let connection = try daemon.connect()
        for _ in 1...2 {
            try connection.send(request)
            var sizes: [Int] = []
            while let record = try connection.readRecord(), record.kind == RecordKind.stdout {
                sizes.append(record.content.count)
            }
            #expect(sizes.dropLast() == [65_528, 32_760, 32_760])
        }
    }

    /// A directory is entered by a descriptor while requests for it follow each other closely, and let go of after that:
    /// its file system can be unmounted.
    @Test func idleWorkerHoldsNoDirectory() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        let worker = try #require(try daemon.waitForWorkers(1).first).pid
        func holdsDirectory() -> Bool {
            (0..<64).contains { number in
                let target = try? FileManager.default.destinationOfSymbolicLink(
                    atPath: "/proc/\(worker)/fd/\(number)"
                )
                return target == daemon.documentRoot
            }
        }
        let connection = try daemon.connect()
        var request = daemon.makeRequest("/hello.php")
        request.keepsConnection = true
        try wait(for: "the directory to be held between two requests") {
            for _ in 1...3 {
                try connection.send(request)
                #expect(try connection.readResponse().text == "hello, world\n")
            }
            kill(worker, SIGSTOP)
            defer { kill(worker, SIGCONT) }
            return holdsDirectory()
        }
        try wait(for: "the idle worker to let go of it") { !holdsDirectory() }
    }

    /// What is sent from where PHP has it stays in order with what is not.
    @Test(arguments: [0, 65_527, 65_528, 1_200_000])
    func largePiecesAmongSmallOnes(count: Int) throws {
        let daemon = try Daemon.startPool(
            Self.pool + "\nphp_value[log_errors] = on\nphp_value[output_buffering] = 0"
        )
        let response = try daemon.get("/mixed.php", query: "bytes=\(count)")
        #expect(response.isComplete)
        let expected =
            "head\n" + String(repeating: "a", count: 70_000) + "b" + String(repeating: "c", count: count)
            + "tail\n"
        #expect(response.text == expected)
        #expect(response.errors.contains("PHP message: between"))
    }

    @Test func outputArrivesWhenFlushed() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.begin("/flush.php", query: "dir=\(daemon.scratch)")
        let first = try #require(try connection.readRecord())
        #expect(first.kind == RecordKind.stdout)
        #expect(String(decoding: first.content, as: UTF8.self).hasSuffix("first\n"))
        try daemon.releaseHeld()
        let rest = try connection.readResponse()
        #expect(String(decoding: rest.output, as: UTF8.self) == "second\n")
        #expect(rest.isComplete)
    }

    @Test func slowReader() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.begin("/large.php", query: "bytes=5000000")
        #expect(connection.isReadable(within: patience))
        // The other worker goes on although nobody reads the first answer.
        for _ in 1...20 { #expect(try daemon.get("/hello.php").isComplete) }
        let response = try connection.readResponse()
        #expect(response.body.count == 5_000_000)
    }

    @Test func getValues() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.connect()
        let question = Record(
            RecordKind.getValues,
            id: 0,
            encodePair("FCGI_MPXS_CONNS", "") + encodePair("UNKNOWN_NAME", "")
        )
        for _ in 1...2 {
            try connection.send(question.encoded())
            let answer = try #require(try connection.readRecord())
            #expect(answer.kind == RecordKind.getValuesResult)
            #expect(answer.id == 0)
            let values = decodePairs(answer.content)
            #expect(values.contains { $0.name == "FCGI_MPXS_CONNS" && $0.value == "0" })
            #expect(!values.contains { $0.name == "UNKNOWN_NAME" })
            var request = daemon.makeRequest("/hello.php")
            request.keepsConnection = true
            try connection.send(request)
            #expect(try connection.readResponse().text == "hello, world\n")
        }
    }

    @Test(arguments: [(UInt16(1), "RESPONDER"), (2, "AUTHORIZER"), (3, "FILTER")])
    func roles(role: UInt16, name: String) throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/server.php")
        request.role = role
        #expect(try daemon.send(request).json["FCGI_ROLE"] as? String == name)
    }

    @Test func clientGoesAwayInTheMiddleOfAnAnswer() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        daemon.markDescriptors()
        let connection = try daemon.begin("/stream.php", query: "dir=\(daemon.scratch)")
        guard case .bytes = try connection.read() else { throw TestFailure("no output") }
        connection.abort()
        #expect(try daemon.waitForScratch("aborted") == "1")
        let next = try daemon.get("/hello.php")
        #expect(next.text == "hello, world\n")
        #expect(next.errors.isEmpty)
    }

    /// A script that waits for something, and asks now and then whether anybody waits for its answer.
    @Test func flushWithoutOutputFindsThatTheClientHasGone() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        let connection = try daemon.begin("/flush-nothing.php", query: "dir=\(daemon.scratch)")
        #expect(try daemon.waitForScratch("started") == "1")
        connection.abort()
        #expect(try daemon.waitForScratch("aborted") == "1")
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
    }

    @Test func clientGoesAwayBeforeAnAnswer() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        let worker = try #require(try daemon.waitForWorkers(1).first)
        for number in 1...3 {
            let connection = try daemon.startHolding("\(number)")
            connection.abort()
            try daemon.releaseHeld()
            #expect(try daemon.get("/hello.php").isComplete)
            try FileManager.default.removeItem(atPath: daemon.scratch + "/release")
        }
        #expect(worker.exists)
    }

    @Test func abortRecordDoesNoHarm() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.connect()
        let records = daemon.makeRequest("/hello.php").records.dropLast()
        try connection.send(
            records.flatMap { $0.encoded() } + Record(RecordKind.abortRequest, id: 1).encoded()
        )
        connection.finishSending()
        _ = try connection.readToEnd()
        #expect(try daemon.get("/hello.php").isComplete)
    }
}
