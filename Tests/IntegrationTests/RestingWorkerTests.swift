import TestSupport
import Testing

/// What a worker keeps between requests that follow each other closely.
@Suite(.daemons, .fpmdOnly("the script's directory is found anew for each request"))
struct RestingWorkerTests {
    /// A directory that nobody uses can be unmounted, though requests have just come from there.
    @Test func directoryIsGivenBack() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        let worker = try #require(try daemon.waitForWorkers(1).first)
        let client = try daemon.connect()
        var request = daemon.makeRequest("/hello.php")
        request.keepsConnection = true
        try wait(for: "the directory to be kept for a moment") {
            try client.send((1...32).flatMap { _ in request.bytes })
            for _ in 1...32 { _ = try client.readResponse() }
            return worker.descriptors.contains(daemon.documentRoot)
        }
        try wait(for: "it to be given back") { !worker.descriptors.contains(daemon.documentRoot) }
        #expect(try daemon.get("/hello.php").isComplete)
    }

    /// After requests that came one after the other the worker leaves it to the client to close: not for long.
    @Test(arguments: ["{{SOCKET}}", "127.0.0.1:{{PORT}}"])
    func clientThatDoesNotClose(_ listen: String) throws {
        let daemon = try Daemon.start(
            "[www]\nuser = www-data\ngroup = www-data\nlisten = \(listen)\npm = static\npm.max_children = 1\n"
        )
        let worker = try #require(try daemon.waitForWorkers(1).first)
        #expect(try daemon.get("/hello.php").isComplete)
        let before = worker.descriptors.count
        for _ in 1...10 {
            try daemon.endpoint().hurry(daemon.makeRequest("/hello.php").bytes, times: 100) {
                try wait(for: "the worker to close first") { worker.descriptors.count <= before }
            }
        }
        #expect(try daemon.get("/hello.php").isComplete)
    }
}
