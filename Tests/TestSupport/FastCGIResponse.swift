import Foundation

/// What came back for one request.
package struct FastCGIResponse: Sendable {
    /// All records in the order of arrival, END_REQUEST last if it came.
    package internal(set) var records: [Record] = []
    /// The application status of END_REQUEST; nil when the connection ended without one.
    package internal(set) var applicationStatus: UInt32?
    /// The protocol status of END_REQUEST; 0 is "request complete".
    package internal(set) var protocolStatus: UInt8?

    /// Whether END_REQUEST came.
    package var isComplete: Bool { protocolStatus != nil }

    /// The joined STDOUT records: header block and body.
    package var output: [UInt8] { joined(RecordKind.stdout) }

    /// The joined STDERR records as text.
    package var errors: String { String(decoding: joined(RecordKind.stderr), as: UTF8.self) }

    private func joined(_ kind: UInt8) -> [UInt8] {
        records.filter { $0.kind == kind }.flatMap(\.content)
    }

    /// Offset of the body in ``output``; nil when the header block has no end.
    private var bodyOffset: Int? {
        let bytes = output
        let mark: [UInt8] = [13, 10, 13, 10]
        return bytes.indices.first { bytes[$0...].starts(with: mark) }.map { $0 + 4 }
    }

    /// The header lines in order, without line ends.
    package var headerLines: [String] {
        guard let offset = bodyOffset else { return [] }
        return String(decoding: output[..<(offset - 4)], as: UTF8.self)
            .components(separatedBy: "\r\n").filter { !$0.isEmpty }
    }

    /// The value of the first header with that name, letter case ignored.
    package func header(_ name: String) -> String? {
        let prefix = name.lowercased() + ":"
        return headerLines.first { $0.lowercased().hasPrefix(prefix) }
            .map { $0.dropFirst(prefix.count).trimmingCharacters(in: .whitespaces) }
    }

    /// The HTTP status: of the Status header, 200 without one, nil when there is no header block.
    package var status: Int? {
        guard bodyOffset != nil else { return nil }
        guard let line = header("Status") else { return 200 }
        return Int(line.prefix(3))
    }

    /// Everything after the header block.
    package var body: [UInt8] {
        bodyOffset.map { Array(output[$0...]) } ?? []
    }

    /// The body as text.
    package var text: String { String(decoding: body, as: UTF8.self) }

    /// The body as a JSON object, empty if it is something else.
    package var json: [String: Any] {
        (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any] ?? [:]
    }
}
