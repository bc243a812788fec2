import FastCGI
import Testing

@Suite struct AllowedExtensionsTests {
    @Test(
        arguments: [
            ("/d/x.php", [".php"], true), ("/d/x.phar", [".php", ".phar"], true),
            ("/d/x.PHP", [".php"], false),
            ("/d/evil.jpg", [".php"], false), (".php", [".php"], false), ("a.php", [".php"], true),
            ("", [".php"], false),
            ("/d/x.php5", [".php"], false), ("/d/xphp", ["php"], true), ("/d/evil.jpg", [], true),
            ("", [], true),
            ("/long.name", [".much.longer.than.it"], false),
        ] as [(String, [String], Bool)]
    )
    func suffixes(path: String, suffixes: [String], isAllowed: Bool) {
        let bytes = Array(path.utf8)
        #expect(AllowedExtensions(suffixes.map { Array($0.utf8) }).allow(bytes.span) == isAllowed)
    }

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
