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
}
