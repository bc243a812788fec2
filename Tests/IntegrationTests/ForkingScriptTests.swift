import Foundation
import TestSupport
import Testing

/// A script's fork that outlives the request holds a copy of all that its worker has open, the client's connection among it.
@Suite(
    .daemons,
    .fpmdOnly("tells a worker's sleep by its own epoll set"),
    .enabled(if: hasFFI, "PHP has no FFI")
) struct ForkingScriptTests {
    enum Connection: CaseIterable { case new, kept }

    /// Its end is not reported for ever to the worker, which has closed it.
    @Test(arguments: Connection.allCases, [false, true]) func worker(
        sleepsAfter connection: Connection,
        finishes: Bool
    ) throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\nphp_admin_value[ffi.enable] = true"
        )
        let worker = try #require(daemon.workers().first).pid
        // The worker has learned by then what its clients do after an answer.
        for _ in 1...50 { #expect(try daemon.get("/hello.php").isComplete) }
        let client = try daemon.connect()
        if connection == .kept {
            var first = daemon.makeRequest("/hello.php")
            first.keepsConnection = true
            try client.send(first)
            #expect(try client.readResponse().isComplete)
        }
        try client.send(
            daemon.makeRequest("/forking.php", query: "dir=\(daemon.scratch)&finishes=\(finishes ? 1 : 0)")
        )
        #expect(try client.readResponse().text == "forked\n")
        client.close()
        try daemon.waitUntilStarted(["fork"])
        try wait(for: "the worker to sleep for a third of a second") {
            let before = try Self.nanosecondsRun(by: worker)
            poll(nil, 0, 333)
            return try Self.nanosecondsRun(by: worker) - before < 10_000_000
        }
        #expect(try daemon.get("/hello.php").isComplete)
        try daemon.releaseHeld()
        try wait(for: "the fork to end") {
            FileManager.default.fileExists(atPath: daemon.scratch + "/ended.fork")
        }
    }

    /// proc(5), schedstat: time on a processor.
    private static func nanosecondsRun(by process: pid_t) throws -> Int {
        let fields = readText("/proc/\(process)/schedstat").split(separator: " ")
        return try #require(fields.first.flatMap { Int($0) })
    }
}
