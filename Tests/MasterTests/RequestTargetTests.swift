import FastCGI
import Testing

@testable import Master

/// What a request asks for, as the master sees it.
@Suite struct RequestTargetTests {
    private struct Seen: Equatable {
        var uri: String?
        var pathInfo: String?
    }

    private func look(_ filename: String, _ name: String, _ info: String? = nil) -> Seen {
        let scratch = RequestScratch()
        scratch.table.set("SCRIPT_FILENAME", to: Array(filename.utf8).span)
        scratch.table.set("SCRIPT_NAME", to: Array(name.utf8).span)
        if let info { scratch.table.set("PATH_INFO", to: Array(info.utf8).span) }
        let target = RequestTarget(&scratch.table)
        #expect(target.namesScript)
        return Seen(
            uri: target.uri.map { "\($0)" },
            pathInfo: scratch.table.value(of: "PATH_INFO")
                .map { String(decoding: scratch.table.bytes(of: $0), as: UTF8.self) }
        )
    }

    @Test func pathsOfFilesAreResolved() {
        #expect(look("/srv/x.php", "/status") == Seen(uri: "/status"))
        let path = "/" + String(repeating: "a", count: 4093)
        #expect(look(path + "/", "/x", "/status/") == Seen(uri: "/status", pathInfo: "/"))
    }

    /// No file has such a name: nothing is looked for in it.
    @Test func longerOnesAreNot() {
        let path = "/" + String(repeating: "a", count: 4094)
        #expect(look(path + "/", "/x", "/status/") == Seen(uri: "/x", pathInfo: "/status/"))
    }
}
