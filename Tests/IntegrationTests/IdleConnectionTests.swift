import Foundation
import TestSupport
import Testing

/// Connections that do nothing, or little, beside those that work.
@Suite(.daemons, .fpmdOnly("an idle or slow connection holds a worker"))
struct IdleConnectionTests {
    private static let pool = "pm = static\npm.max_children = 2"

    @Test func silentClients() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.markDescriptors()
        var silent: [FastCGIConnection] = []
        for number in 1...500 {
            silent.append(try daemon.connect())
            if number % 10 == 0 {
                #expect(try daemon.get("/hello.php", within: .seconds(5)).text == "hello, world\n")
            }
        }
        // They may still have something to say.
        for connection in silent.prefix(20) {
            try connection.send(daemon.makeRequest("/hello.php"))
            #expect(try connection.finalResponse().text == "hello, world\n")
        }
        silent.removeAll()
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// What a worker gives back must not lead to a service, and those have names: a client that has one is served, but not waited for.
    @Test func clientWithAName() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        daemon.markDescriptors()
        let pid = try #require(try daemon.waitForWorkers(1).first).pid
        let request = daemon.makeRequest("/hello.php")
        for (number, pieces) in [[request.bytes], [Array(request.bytes.prefix(20))], []].enumerated() {
            let client = try daemon.connect()
            try client.name("\(daemon.scratch)/client.\(number)")
            for piece in pieces { try client.send(piece) }
            if number == 0 {
                #expect(try client.finalResponse().text == "hello, world\n")
            } else {
                _ = try? client.readToEnd()
            }
        }
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        #expect(try daemon.waitForWorkers(1).map(\.pid) == [pid])
    }

    @Test func keptConnections() throws {
        let daemon = try Daemon.startPool(Self.pool)
        daemon.markDescriptors()
        func ask(_ connection: FastCGIConnection) throws {
            var request = daemon.makeRequest("/hello.php")
            request.keepsConnection = true
            try connection.send(request)
            #expect(try connection.readResponse(within: .seconds(10)).text == "hello, world\n")
        }
        let kept = try (1...64).map { _ in try daemon.connect() }
        for connection in kept { try ask(connection) }
        for _ in 1...100 { #expect(try daemon.get("/hello.php", within: .seconds(5)).isComplete) }
        for _ in 1...3 { for connection in kept.shuffled() { try ask(connection) } }
        #expect(try daemon.waitForWorkers(2).count == 2)
    }

    @Test func keptConnectionsAreNotActive() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 4\npm.status_path = /status")
        let kept = try (1...3).map { _ in try daemon.connect() }
        for connection in kept {
            var request = daemon.makeRequest("/hello.php")
            request.keepsConnection = true
            try connection.send(request)
            #expect(try connection.readResponse().isComplete)
        }
        // A worker says that it is idle again just after its answer.
        try wait(for: "idle workers to be counted as such") {
            let status = try daemon.get("/status", query: "json").json
            return status["active processes"] as? Int == 1 && status["idle processes"] as? Int == 3
        }
    }

    @Test func clientsThatSendSlowly() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let bytes = daemon.makeRequest("/hello.php").bytes
        let slow = try (1...20).map { _ in try daemon.connect() }
        for piece in stride(from: 0, to: bytes.count, by: 100) {
            for connection in slow {
                try connection.send(Array(bytes[piece..<min(piece + 100, bytes.count)]))
            }
            #expect(try daemon.get("/hello.php", within: .seconds(5)).isComplete)
        }
        for connection in slow { #expect(try connection.finalResponse().text == "hello, world\n") }
    }

    @Test func clientsThatSendTheirBodySlowly() throws {
        let daemon = try Daemon.startPool(Self.pool)
        let body = [UInt8](repeating: 65, count: 100_000)
        let request = daemon.makeRequest("/input.php", body: body, contentType: "application/x-bytes")
        let bytes = request.bytes
        let slow = try (1...4).map { _ in try daemon.connect() }
        let half = bytes.count / 2
        for connection in slow { try connection.send(Array(bytes[..<half])) }
        for _ in 1...20 { #expect(try daemon.get("/hello.php", within: .seconds(5)).isComplete) }
        for connection in slow { try connection.send(Array(bytes[half...])) }
        for connection in slow { #expect(try connection.finalResponse().json["length"] as? Int == 100_000) }
    }
}
