internal import Configuration
internal import FastCGI
internal import Glibc

/// An answer of the master in place of a worker's, and what the access log says of it.
struct OwnAnswer {
    /// The records to send.
    let records: [UInt8]
    /// Code of the response.
    let status: Int
    /// Lines of the response's head that its page has set, without their ends.
    let headers: [ByteString]

    /// Value of the first header of that name, in the letter case in which it is sent.
    func header(_ name: ByteString) -> [UInt8]? {
        let start = name.bytes + Array(": ".utf8)
        return headers.first { $0.bytes.starts(with: start) }.map { Array($0.bytes.dropFirst(start.count)) }
    }
}

/// What a request asks for, as far as its parameters say it.
///
/// Nothing a client sends is looked up in the file system: the path of a script is taken as found, so that the URI is
/// what SCRIPT_NAME says, as for an existing script.
struct RequestTarget {
    /// There is a script's path; to PHP a request without one has neither method nor URI nor anything else.
    let namesScript: Bool
    /// The URI that status, ping and access log go by.
    let uri: ByteString?

    /// Looks at the parameters, and changes them as PHP does.
    ///
    /// A path that is too long for any file is left alone, as PHP leaves it when it does not find the script.
    init(_ table: inout ParameterTable) {
        if Self.isTooLong(table.value(of: "SCRIPT_FILENAME"))
            || Self.isTooLong(table.value(of: "PATH_TRANSLATED"))
        {
            namesScript = true
            uri = table.value(of: "SCRIPT_NAME").map { ByteString(table.bytes(of: $0)) }
            return
        }
        let resolver = ScriptResolver(
            ScriptResolver.Settings(fixPathinfo: true, discardPath: false, documentRoot: [])
        )
        let resolution = resolver.resolve(&table, exists: { _ in true }, isRegularFile: { _ in true })
        namesScript = resolution.hasScriptParameter
        uri = resolution.requestURI.map { ByteString(table.bytes(of: $0)) }
    }

    private static func isTooLong(_ path: Slice?) -> Bool { path.map { $0.length >= PATH_MAX } ?? false }
}
