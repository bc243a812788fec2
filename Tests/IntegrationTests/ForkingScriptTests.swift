import Foundation
import TestSupport
import Testing

/// A script's fork that outlives the request holds a copy of all that its worker has open, the client's connection among it.
@Suite(.daemons, .enabled(if: hasFFI, "PHP has no FFI")) struct ForkingScriptTests {
    enum Connection: CaseIterable { case new, kept }

    private static func start() throws -> Daemon {
        try Daemon.startPool(
            "pm = static\npm.max_children = 1\nphp_admin_value[ffi.enable] = true\n"
                + "pm.status_path = /status\npm.status_listen = {{SOCKET:status}}"
        )
    }

    /// The process that a script of the worker leaves behind.
    private static func awaitFork(_ daemon: Daemon) throws -> pid_t {
        try #require(pid_t(try daemon.waitForScratch("fork")))
    }

    /// Lets it end; its exit status.
    @discardableResult
    private static func end(_ fork: pid_t, of daemon: Daemon) throws -> CInt {
        try daemon.releaseHeld()
        var status: CInt = -1
        // The tests' process is the parent of whoever has lost his own.
        try wait(for: "the fork to end") { waitpid(fork, &status, WNOHANG) == fork }
        return status & 0x7f == 0 ? status >> 8 & 0xff : -1
    }

    @Test func clientSeesTheEndOfItsConnection() throws {
        let daemon = try Self.start()
        let client = try daemon.begin("/forking.php", query: "dir=\(daemon.scratch)")
        #expect(try client.readResponse().text == "forked\n")
        #expect(try client.read() == .end)
        try Self.end(Self.awaitFork(daemon), of: daemon)
    }

    /// The end of a connection is not reported for ever to the worker, which has closed it.
    @Test(.fpmdOnly("its workers hold connections"), arguments: Connection.allCases, [false, true])
    func worker(sleepsAfter connection: Connection, finishes: Bool) throws {
        let daemon = try Self.start()
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
        let fork = try Self.awaitFork(daemon)
        try wait(for: "the worker to sleep for a third of a second") {
            let before = try Self.nanosecondsRun(by: worker)
            poll(nil, 0, 333)
            return try Self.nanosecondsRun(by: worker) - before < 10_000_000
        }
        #expect(try daemon.get("/hello.php").isComplete)
        try Self.end(fork, of: daemon)
    }

    /// proc(5), schedstat: time on a processor.
    private static func nanosecondsRun(by process: pid_t) throws -> Int {
        let fields = readText("/proc/\(process)/schedstat").split(separator: " ")
        return try #require(fields.first.flatMap { Int($0) })
    }

    /// It is no second worker, and its end is not the end of a request.
    @Test(.fpmdOnly("php-fpm's goes on as a second worker"), arguments: ["return", "exit", "finish"])
    func forkThatEndsItsScript(by how: String) throws {
        let daemon = try Self.start()
        let client = try daemon.begin("/forking.php", query: "dir=\(daemon.scratch)&how=\(how)")
        #expect(try client.readResponse().text == "forked\n")
        #expect(try Self.end(Self.awaitFork(daemon), of: daemon) == (how == "exit" ? 7 : 0))
        // From the master: the worker has had no other request.
        let status = try daemon.get("/status", query: "json", from: "status").json
        #expect(status["active processes"] as? Int == 0)
        #expect(status["idle processes"] as? Int == 1)
        #expect(status["accepted conn"] as? Int == 1)
        #expect(daemon.workers().count == 1)
    }
}
