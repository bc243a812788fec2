import Foundation
import TestSupport
import Testing

/// What a worker keeps between requests that follow each other closely.
@Suite(.daemons, .fpmdOnly("the script's directory is found anew for each request"))
struct RestingWorkerTests {
    /// A directory that nobody uses can be unmounted, though requests have just come from there.
    @Test func directoryIsGivenBack() throws {
        let daemon = try Daemon.startPool("pm = static\npm.max_children = 1")
        let worker = try #require(try daemon.waitForWorkers(1).first).pid
        let client = try daemon.connect()
        var request = daemon.makeRequest("/hello.php")
        request.keepsConnection = true
        try wait(for: "the directory to be kept for a moment") {
            try client.send((1...32).flatMap { _ in request.bytes })
            for _ in 1...32 { _ = try client.readResponse() }
            return Self.holdsDirectory(worker, of: daemon)
        }
        try wait(for: "it to be given back") { !Self.holdsDirectory(worker, of: daemon) }
        #expect(try daemon.get("/hello.php").isComplete)
    }

    private static func holdsDirectory(_ process: Int32, of daemon: Daemon) -> Bool {
        let descriptors = "/proc/\(process)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: descriptors)) ?? []
        let targets = names.compactMap {
            try? FileManager.default.destinationOfSymbolicLink(atPath: "\(descriptors)/\($0)")
        }
        return targets.contains(daemon.documentRoot)
    }
}
