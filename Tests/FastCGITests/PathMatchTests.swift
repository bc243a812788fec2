import FastCGI
import Testing

@Suite struct PathMatchTests {
    @Test(arguments: [
        ("/ping", "/ping", true), ("/ping", "/ping/", false), ("/ping", "/pin", false),
        ("/ping", "/PING", false),
        ("", "", false), ("", "/", false), ("/status-of-this-pool", "/status-of-this-pool", true),
        ("/status-of-this-pool", "/status-of-that-pool", false),
    ])
    func exactPaths(configured: String, uri: String, isMatch: Bool) {
        let bytes = Array(uri.utf8)
        #expect(PathMatch(Array(configured.utf8)).matches(bytes.span) == isMatch)
    }
}
