import Foundation
import TestSupport
import Testing

/// Many requests: no error, no growing memory, no descriptor or process left over.
///
/// 5000 requests by default; 100 000 with `FPMD_SOAK=1` in the environment.
@Suite(.daemons)
struct SoakTests {
    private static let total = ProcessInfo.processInfo.environment["FPMD_SOAK"] == nil ? 5_000 : 100_000

    struct Load: Sendable, CustomStringConvertible {
        let script: String
        var query = ""
        var bodySize = 0
        let expected: String
        /// How many of the requests this load makes: 1 for all, 10 for every tenth.
        var share = 1
        var description: String { script }
    }

    static let loads: [Load] = [
        Load(script: "/hello.php", expected: "hello, world\n"),
        Load(script: "/server.php", query: "a=b", expected: "\"QUERY_STRING\":\"a=b\""),
        Load(script: "/input.php", bodySize: 2_000, expected: "\"length\":2000"),
        Load(script: "/input.php", bodySize: 200_000, expected: "\"length\":200000", share: 10),
        Load(script: "/large.php", query: "bytes=100000", expected: "99904", share: 10),
        Load(script: "/missing.php", expected: "File not found."),
        Load(script: "/headers.php", query: "code=404&header[]=X-A:%20b&body=x", expected: "Status: 404"),
        Load(script: "/exit.php", expected: "before\n"),
        Load(script: "/static-state.php", expected: "1 1\n"),
        Load(script: "/fatal.php", expected: "Status: 500", share: 5),
        Load(script: "/memory.php", expected: "Status: 500", share: 50),
        Load(script: "/user-ini/settings.php", query: "names=precision", expected: "\"7\""),
    ]

    private struct Usage {
        let master: Int
        let workers: Int
        let descriptors: Int

        init(_ daemon: Daemon) throws {
            guard let snapshot = ProcessSnapshot(pid: daemon.master), let memory = snapshot.anonymousKiB,
                let count = snapshot.descriptorCount
            else { throw TestFailure("the master has gone") }
            master = memory
            descriptors = count
            workers = daemon.workers().compactMap(\.anonymousKiB).max() ?? 0
        }
    }

    /// Sends `count` requests over `width` connections at a time, each new or kept.
    private func send(_ load: Load, count: Int, to daemon: Daemon, keeping: Bool) throws {
        let width = keeping ? 2 : 4
        let body = [UInt8](repeating: 0x61, count: load.bodySize)
        var request = daemon.makeRequest(
            load.script,
            query: load.query,
            body: body,
            contentType: body.isEmpty ? "" : "application/x-bytes"
        )
        request.keepsConnection = keeping
        let bytes = request.bytes
        let kept = keeping ? try (0..<width).map { _ in try daemon.connect() } : []
        for _ in 0..<(count / width) {
            let connections = keeping ? kept : try (0..<width).map { _ in try daemon.connect() }
            for connection in connections { try connection.send(bytes) }
            for connection in connections {
                let response = try connection.readResponse()
                let text = String(decoding: response.output, as: UTF8.self)
                guard response.isComplete, text.contains(load.expected) else {
                    throw TestFailure("\(load.script): \(text.prefix(500)) \(response.errors)")
                }
                if !keeping { connection.close() }
            }
        }
    }

    @Test(arguments: loads, [false, true]) func load(_ load: Load, keeping: Bool) throws {
        // With a ping no worker rests beside long requests: each gets its share of the first ones, too.
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 4\nping.path = /ping\naccess.log = {{DIR}}/access.log\n",
            .init(ini: .neutral("memory_limit = 16M\nlog_errors = Off"))
        )
        let workers = try daemon.waitForWorkers(4)
        let count = Self.total / load.share / 2
        try send(load, count: max(100, count / 5), to: daemon, keeping: keeping)
        daemon.markDescriptors()
        let before = try Usage(daemon)
        try send(load, count: count, to: daemon, keeping: keeping)
        try wait(for: "descriptors to be closed") { try Usage(daemon).descriptors <= before.descriptors }
        let after = try Usage(daemon)
        #expect(after.master - before.master < 1024, "KiB in the master")
        #expect(after.workers - before.workers < 2048, "KiB in a worker")
        #expect(daemon.workers() == workers)
        #expect(ProcessSnapshot.descendants(of: daemon.master).allSatisfy { $0.state != "Z" })
    }

    @Test func workersThatComeAndGo() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2\npm.max_requests = 5\n")
        let load = Load(script: "/hello.php", expected: "hello, world\n")
        try send(load, count: 200, to: daemon, keeping: false)
        try daemon.waitForWorkers(2)
        daemon.markDescriptors()
        let before = try Usage(daemon)
        try send(load, count: Self.total / 5, to: daemon, keeping: false)
        try daemon.waitForWorkers(2)
        #expect(try Usage(daemon).master - before.master < 1024, "KiB in the master")
    }

    @Test func reloads() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 2\n")
        func reload() throws {
            daemon.signal(SIGUSR2)
            try daemon.waitForLog(/Reloading in progress/)
            try daemon.waitForLog(/ready to handle connections/)
            #expect(try daemon.get("/hello.php").isComplete)
            try daemon.waitForWorkers(2)
        }
        for _ in 1...3 { try reload() }
        let before = try Usage(daemon)
        for _ in 1...(Self.total / 500) { try reload() }
        try wait(for: "descriptors to be closed") { try Usage(daemon).descriptors <= before.descriptors }
        #expect(try Usage(daemon).master - before.master < 1024, "KiB in the master")
    }
}
