import Foundation
import TestSupport

/// A request to both programs, as a change of the usual one.
struct Case: Sendable {
    let name: String
    var script = "/server.php"
    var query = ""
    var method: String?
    var headers: [String: String] = [:]
    var body = ""
    var contentType = ""
    /// Parameters to set or, with nil, to remove.
    var changes: [(String, String?)] = []

    func request(_ daemon: Daemon) -> FastCGIRequest {
        var request = daemon.makeRequest(
            script,
            query: query,
            method: method,
            headers: headers,
            body: Array(body.utf8),
            contentType: contentType
        )
        for (name, value) in changes {
            request.set(name, value?.replacingOccurrences(of: "{ROOT}", with: daemon.documentRoot))
        }
        return request
    }
}

extension Pair {
    /// Compares what both programs answer in each case.
    func compare(_ cases: [Case]) throws {
        for test in cases { try compare(test.name, test.request) }
    }
}
