import Foundation
import TestSupport
import Testing

/// From the web server's parameters to the script and the variables it sees.
@Suite(.daemons, .needsReference)
struct PathParityTests {
    private static let pool = "pm = static\npm.max_children = 1\nsecurity.limit_extensions = .php .html\n"

    /// Values of SCRIPT_FILENAME, SCRIPT_NAME, PATH_INFO and PATH_TRANSLATED; nil is not sent.
    ///
    /// `{F}` is the script's file, `{D}` the document root.
    struct Variant: Sendable {
        let file: String?
        let name: String?
        var info: String?
        var translated: String?
        var others: [(String, String?)] = []
    }

    static let variants: [Variant] = [
        Variant(file: "{F}", name: "/server.php"),
        Variant(file: "{F}", name: "/server.php", info: ""),
        Variant(file: "{F}", name: "/server.php", info: "/pinfo"),
        Variant(file: "{F}", name: "/server.php", info: "/pinfo", translated: "{D}/pinfo"),
        Variant(file: "{F}", name: "/server.php", info: "/pinfo", translated: "{D}"),
        Variant(file: "{F}/pinfo", name: "/server.php/pinfo", info: "/pinfo"),
        Variant(file: "{F}/pinfo", name: "/server.php/pinfo"),
        Variant(file: "{F}/pinfo", name: "/server.php", info: "/pinfo"),
        Variant(file: "{F}/pinfo", name: "/server.php", info: "/other"),
        Variant(file: "{F}/pinfo", name: "/server.php", info: "/longer/than/pinfo"),
        Variant(file: "{F}/pinfo", name: "/server.php", info: "/p"),
        Variant(
            file: "{F}/pinfo",
            name: "",
            info: "{F}/pinfo",
            translated: "proxy:balancer://cluster{F}/pinfo"
        ),
        Variant(file: "{F}/" + String(repeating: "A", count: 35), name: "/server.php", info: ""),
        Variant(file: "{F}/a\nb", name: "/server.php/a\nb", info: ""),
        Variant(file: "{F}/a/b/c", name: "/server.php/a/b/c", info: "/a/b/c"),
        Variant(file: "{F}/", name: "/server.php/", info: "/"),
        Variant(file: "{F}/", name: "/server.php/"),
        Variant(file: "{D}/", name: "/"),
        Variant(file: "{D}", name: "/"),
        Variant(file: "{D}/user-ini/", name: "/user-ini/"),
        Variant(file: "{D}/missing.php", name: "/missing.php"),
        Variant(file: "{D}/missing/x.php", name: "/missing/x.php", info: "/x.php"),
        Variant(file: "{D}/page.html/x.php", name: "/page.html/x.php"),
        Variant(file: "{D}/page.html/x.php", name: "/page.html", info: "/x.php"),
        Variant(file: "{D}/user-ini/../server.php", name: "/server.php"),
        Variant(file: "{D}/./server.php", name: "/server.php"),
        Variant(file: "{D}//server.php", name: "//server.php"),
        Variant(file: "{D}/link.php", name: "/link.php"),
        Variant(file: "{D}/link.php/pinfo", name: "/link.php", info: "/pinfo"),
        Variant(file: "server.php", name: "/server.php"),
        Variant(file: nil, name: "/server.php", info: "/pinfo", translated: "{F}"),
        Variant(file: nil, name: "/server.php", translated: "{F}"),
        Variant(file: nil, name: "/server.php", translated: "{F}/pinfo"),
        Variant(file: nil, name: nil),
        Variant(file: "{F}", name: nil),
        Variant(file: "{F}", name: nil, info: "/pinfo"),
        Variant(file: "{F}/pinfo", name: nil, info: "/pinfo"),
        // Apache
        Variant(file: "proxy:fcgi://127.0.0.1:9000{F}", name: "/server.php"),
        Variant(
            file: "proxy:fcgi://127.0.0.1:9000{F}",
            name: "/server.php",
            info: "/pinfo",
            translated: "{D}/pinfo"
        ),
        Variant(
            file: "proxy:fcgi://127.0.0.1:9000{F}?q=1",
            name: "/server.php",
            info: "/pinfo",
            translated: "{D}/pinfo"
        ),
        Variant(
            file: "proxy:balancer://cluster{F}",
            name: "/server.php",
            info: "/pinfo",
            translated: "{D}/pinfo"
        ),
        Variant(file: "PROXY:FCGI://localhost{F}", name: "/server.php"),
        Variant(file: "proxy:fcgi://127.0.0.1:9000{F}/pinfo", name: "/server.php/pinfo"),
        Variant(file: "proxy:fcgi://127.0.0.1:9000{F}/1%202", name: "/server.php/1 2"),
        Variant(file: "proxy:fcgi://127.0.0.1:9000{F}/1%20+2", name: "/server.php/1 +2"),
        Variant(file: "proxy:fcgi://127.0.0.1:9000{F}/pinfoy", name: "/server.php/pinfox"),
        Variant(file: "proxy:fcgi://127.0.0.1:9000{F}/pinfo", name: "/server.php", info: "/pinfo"),
        Variant(file: "proxy:fcgi://127.0.0.1:9000{F}/pinfo", name: "/server.php", info: "/x"),
        Variant(file: "proxy:fcgi://nothing", name: "/server.php"),
        Variant(file: "proxy:fcgi://nothing?x", name: "/server.php"),
        Variant(file: "proxy:fcgi://localhost{D}/missing.php", name: "/missing.php"),
        Variant(file: "{F}?q=1", name: "/server.php"),
        // Others
        Variant(
            file: "{D}/cgi-handler",
            name: "/cgi-handler",
            info: "/server.php",
            translated: "{F}",
            others: [("REDIRECT_URL", "/server.php")]
        ),
        Variant(
            file: "{F}",
            name: "/server.php",
            info: "/x",
            translated: "{F}",
            others: [("REDIRECT_URL", "/server.php")]
        ),
        Variant(file: "{F}", name: "/server.php", info: "/x", others: [("REDIRECT_URL", "/elsewhere")]),
        Variant(
            file: "{F}/pinfo",
            name: "/server.php",
            info: "/server.php/pinfo",
            others: [("SERVER_SOFTWARE", "Microsoft-IIS/10.0")]
        ),
        Variant(
            file: "{F}",
            name: "/server.php",
            info: "/server.php",
            others: [("SERVER_SOFTWARE", "Microsoft-IIS/10.0")]
        ),
    ]

    @Test(arguments: [
        ["cgi.fix_pathinfo=1"], ["cgi.fix_pathinfo=0"], ["cgi.fix_pathinfo=0", "cgi.discard_path=1"],
        ["cgi.fix_pathinfo=1", "doc_root=/tmp"],
    ])
    func variants(settings: [String]) throws {
        let pair = try Pair(Self.pool, settings: settings)
        for daemon in [pair.reference, pair.subject] {
            try FileManager.default.createSymbolicLink(
                atPath: daemon.documentRoot + "/link.php",
                withDestinationPath: "server.php"
            )
        }
        for variant in Self.variants {
            for root in ["{D}", "{D}/", nil] {
                let name = "\(settings.joined(separator: " ")), root \(root ?? "none"): \(variant)"
                try pair.compare(name.replacingOccurrences(of: "\n", with: "\\n")) { daemon in
                    var request = daemon.makeRequest("/server.php", query: "a=b")
                    func fill(_ text: String?) -> String? {
                        text?.replacingOccurrences(of: "{F}", with: daemon.documentRoot + "/server.php")
                            .replacingOccurrences(of: "{D}", with: daemon.documentRoot)
                    }
                    request.set("SCRIPT_FILENAME", fill(variant.file))
                    request.set("SCRIPT_NAME", fill(variant.name))
                    request.set("PATH_INFO", fill(variant.info))
                    request.set("PATH_TRANSLATED", fill(variant.translated))
                    request.set("DOCUMENT_ROOT", fill(root))
                    for (name, value) in variant.others { request.set(name, fill(value)) }
                    return request
                }
            }
        }
    }

    @Test func documentRootOfPHP() throws {
        let pair = try Pair(Self.pool + "php_admin_value[doc_root] = {{WWW}}/\n")
        for name in ["/hello.php", "hello.php", "/missing.php", "/page.html", "/user-ini/settings.php"] {
            try pair.compare("doc_root \(name)") { daemon in
                var request = daemon.makeRequest("/hello.php", query: "names=precision")
                request.set("SCRIPT_NAME", name)
                return request
            }
        }
    }
}
