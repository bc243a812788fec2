import Foundation
import TestSupport
import Testing

/// Request bodies of every kind, complete and not.
@Suite(.daemons)
struct BodyTests {
    private static let pool = "pm = static\npm.max_children = 1"
    private static let form = "application/x-www-form-urlencoded"

    private static func md5(_ daemon: Daemon, _ bytes: [UInt8]) throws -> String {
        let path = daemon.scratch + "/bytes"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return String(try run(["md5sum", path]).output.prefix(32))
    }

    @Test(arguments: [0, 1, 8191, 8192, 65_536, 1_000_003]) func input(count: Int) throws {
        let daemon = try Daemon.startPool(Self.pool)
        let body = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 + $0 >> 8) }
        var request = daemon.makeRequest(
            "/input.php",
            method: "PUT",
            body: body,
            contentType: "application/x-bytes"
        )
        request.set("CONTENT_LENGTH", "\(count)")
        let seen = try daemon.send(request).json
        #expect(seen["length"] as? Int == count)
        #expect(seen["md5"] as? String == (try Self.md5(daemon, body)))
        #expect(seen["method"] as? String == "PUT")
    }

    @Test func formFields() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let body = "a=1&b%5B%5D=2&b%5B%5D=3&text=%C3%A4+%26&empty="
        let request = daemon.makeRequest(
            "/input.php",
            query: "q=%2B&a=query",
            headers: ["HTTP_COOKIE": "one=1; two=zwei%20"],
            body: Array(body.utf8),
            contentType: Self.form
        )
        let seen = try daemon.send(request).json
        let post = try #require(seen["post"] as? [String: Any])
        #expect(post["a"] as? String == "1")
        #expect(post["b"] as? [String] == ["2", "3"])
        #expect(post["text"] as? String == "ä &")
        #expect(post["empty"] as? String == "")
        #expect(seen["get"] as? [String: String] == ["q": "+", "a": "query"])
        #expect(seen["cookie"] as? [String: String] == ["one": "1", "two": "zwei "])
        #expect(seen["length"] as? Int == body.utf8.count)
    }

    private static func multipart(_ parts: [(head: String, content: [UInt8])]) -> (
        type: String, body: [UInt8]
    ) {
        let boundary = "----fixture5e1a"
        var body: [UInt8] = []
        for part in parts {
            body += Array("--\(boundary)\r\nContent-Disposition: form-data; \(part.head)\r\n\r\n".utf8)
            body += part.content + [13, 10]
        }
        return ("multipart/form-data; boundary=\(boundary)", body + Array("--\(boundary)--\r\n".utf8))
    }

    @Test func upload() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let file = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 + $0 >> 10) }
        let (type, body) = Self.multipart([
            ("name=\"comment\"", Array("some text".utf8)),
            ("name=\"upload\"; filename=\"pic ture.bin\"\r\nContent-Type: image/x-test", file),
        ])
        let seen = try daemon.send(daemon.makeRequest("/input.php", body: body, contentType: type)).json
        #expect(seen["post"] as? [String: String] == ["comment": "some text"])
        let upload = try #require((seen["files"] as? [String: [String: Any]])?["upload"])
        #expect(upload["name"] as? String == "pic ture.bin")
        #expect(upload["type"] as? String == "image/x-test")
        #expect(upload["size"] as? Int == 1 << 20)
        #expect(upload["error"] as? Int == 0)
        #expect(upload["is_uploaded_file"] as? Bool == true)
        #expect(upload["md5"] as? String == (try Self.md5(daemon, file)))
    }

    @Test func uploadThatIsTooLarge() throws {
        let daemon = try Daemon.startPool(
            Self.pool + "\nphp_admin_value[upload_max_filesize] = 1000\nphp_admin_value[post_max_size] = 5000"
        )
        let file = [UInt8](repeating: 65, count: 2000)
        let (type, body) = Self.multipart([("name=\"upload\"; filename=\"a\"", file)])
        let seen = try daemon.send(daemon.makeRequest("/input.php", body: body, contentType: type)).json
        #expect((seen["files"] as? [String: [String: Any]])?["upload"]?["error"] as? Int == 1)
        let (largeType, large) = Self.multipart([("name=\"upload\"; filename=\"a\"", file + file + file)])
        let refused = try daemon.send(daemon.makeRequest("/input.php", body: large, contentType: largeType))
        #expect((refused.json["post"] as? [Any])?.isEmpty == true)
        #expect(refused.errors.contains("exceeds the limit of 5000 bytes"))
        #expect(try daemon.get("/hello.php").errors.isEmpty)
    }

    @Test func unreadBodyDoesNotDisturbTheNextRequest() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let connection = try daemon.connect()
        for number in 1...3 {
            var request = daemon.makeRequest(
                "/hello.php",
                body: [UInt8](repeating: 1, count: 200_000),
                contentType: "application/x-bytes"
            )
            request.keepsConnection = number < 3
            try connection.send(request)
            #expect(try connection.readResponse().text == "hello, world\n")
        }
    }

    /// As nginx does, which sends no more of a body when it has seen the beginning of the answer.
    @Test(.fpmdOnly("waits for the body before it ends the answer"), arguments: [false, true])
    func answerDoesNotWaitForABodyThatNobodyReads(keep: Bool) throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest(
            "/large.php",
            query: "bytes=400000&whole",
            method: "PUT",
            body: [UInt8](repeating: 1, count: 200_000),
            contentType: "application/x-bytes"
        )
        request.set("CONTENT_LENGTH", "3000000")
        request.keepsConnection = keep
        let connection = try daemon.connect()
        for record in request.records.dropLast() { try connection.send(record.encoded()) }
        let response = try connection.readResponse()
        #expect(response.isComplete)
        #expect(response.body.count == 400_000)
        // Also where the connection was to be kept: the next request would be in place of the rest of the body.
        #expect(try connection.read() == .end)
        if !keep { connection.close() }
        #expect(try daemon.get("/hello.php").isComplete)
        connection.close()
    }

    /// When Apache has seen the end of an answer it sends its next request, and nothing more of the body.
    ///
    /// nginx resets an HTTP/2 stream then.
    @Test(arguments: [false, true]) func answerEndsWithABodyThatNobodyReads(keep: Bool) throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest(
            "/hello.php",
            method: "PUT",
            body: [UInt8](repeating: 1, count: 2_000_000),
            contentType: "application/x-bytes"
        )
        request.keepsConnection = keep
        let connection = try daemon.connect()
        let records = request.records
        for record in records.dropLast(3) { try connection.send(record.encoded()) }
        #expect(!connection.isReadable(within: .milliseconds(100)))
        for record in records.suffix(3) { try connection.send(record.encoded()) }
        #expect(try connection.readResponse().isComplete)
        if keep {
            try connection.send(daemon.makeRequest("/hello.php"))
            #expect(try connection.readResponse().isComplete)
        }
        connection.close()
    }

    @Test func declaredBodyThatNeverCame() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/input.php", method: "POST", contentType: Self.form)
        request.set("CONTENT_LENGTH", "100")
        let seen = try daemon.send(request).json
        #expect(seen["length"] as? Int == 0)
    }

    @Test(.fpmdOnly("waits for the rest until the client closes")) func bodyShorterThanDeclared() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/input.php", body: Array("a=1".utf8), contentType: Self.form)
        request.set("CONTENT_LENGTH", "100")
        #expect(try daemon.send(request).json["length"] as? Int == 3)
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func bodyShorterThanDeclaredAndClosed() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest("/input.php", body: Array("a=1".utf8), contentType: Self.form)
        request.set("CONTENT_LENGTH", "100")
        let connection = try daemon.connect()
        try connection.send(request)
        connection.close()
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func bodyLongerThanDeclared() throws {
        let daemon = try Daemon.startPool(Self.pool)
        var request = daemon.makeRequest(
            "/input.php",
            body: Array("a=1&b=2&c=3".utf8),
            contentType: Self.form
        )
        request.set("CONTENT_LENGTH", "3")
        request.keepsConnection = true
        let connection = try daemon.connect()
        try connection.send(request)
        let first = try connection.readResponse()
        #expect(first.json["post"] as? [String: String] == ["a": "1"])
        // What is left over must not be taken for a request.
        try? connection.send(daemon.makeRequest("/hello.php"))
        if let second = try? connection.readResponse(), !second.records.isEmpty {
            #expect(second.text == "hello, world\n")
        }
        connection.close()
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test func smuggledRequestIsNotRun() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let hidden = daemon.makeRequest("/hold.php", query: "dir=\(daemon.scratch)&name=smuggled").bytes
        var request = daemon.makeRequest(
            "/input.php",
            body: Array("a=1".utf8) + hidden,
            contentType: Self.form
        )
        request.set("CONTENT_LENGTH", "3")
        request.keepsConnection = true
        let connection = try daemon.connect()
        try connection.send(request)
        #expect(try connection.readResponse().json["length"] as? Int == 3)
        connection.close()
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(!daemon.hasStarted("smuggled"))
    }
}
