import Foundation
import TestSupport

/// A client of the metrics listener on loopback.
struct Metrics {
    let port: UInt16

    /// The samples of a page, by name and labels as they are spelt.
    struct Page {
        let text: String
        let samples: [(name: String, value: Double)]

        init(_ text: String) {
            self.text = text
            samples = text.split(separator: "\n").filter { $0.first != "#" }.compactMap { line in
                guard let blank = line.lastIndex(of: " "),
                    let value = Double(line[line.index(after: blank)...])
                else { return nil }
                return (String(line[..<blank]), value)
            }
        }

        subscript(name: String) -> Double? { samples.first { $0.name == name }?.value }

        func values(of prefix: String, including part: String = "") -> [Double] {
            samples.filter { $0.name.hasPrefix(prefix) && (part.isEmpty || $0.name.contains(part)) }.map(
                \.value
            )
        }
    }

    func page() throws -> Page { Page(try get("/metrics").text) }

    func get(_ path: String, accept: String = "text/plain") throws -> HTTPResponse {
        try HTTPClient(port: port).request("GET", path, headers: ["Accept": accept])
    }

    func connect() throws -> FastCGIConnection { try FastCGIConnection(.tcp("127.0.0.1", port)) }

    /// Sends these bytes and reads until the server closes.
    func exchange(_ text: String) throws -> String {
        let connection = try connect()
        try connection.send(Array(text.utf8))
        return String(decoding: try connection.readToEnd(), as: UTF8.self)
    }
}
