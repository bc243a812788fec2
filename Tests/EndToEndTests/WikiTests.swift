import Foundation
import TestSupport
import Testing

/// DokuWiki and MediaWiki as Debian packages them, visited in the same way over php-fpm and over fpmd.
@Suite(.daemons, .needsNginx, .needsReference)
struct WikiTests {
    /// A wiki with fresh data behind nginx and one of the two programs.
    private struct Site {
        let daemon: Daemon
        let server: WebServer
        let client: HTTPClient
        /// Where the wiki keeps its data; the worker's user owns it.
        let data: String
        var steps: [Step] = []

        init(_ program: Program, prepare: (_ data: String) throws -> String) throws {
            data = try TestContext.required().makeDirectory("wiki")
            let lines = try prepare(data)
            #expect(try run(["chown", "-R", "www-data:www-data", data]).status == .code(0))
            let pool =
                "pm = static\npm.max_children = 3\nlisten.owner = www-data\ncatch_workers_output = yes\n\(lines)"
            daemon = try Daemon.startPool(pool, .init(program: program, ini: .distribution))
            server = try WebServer(
                upstream: "unix:\(daemon.socketPaths[0])",
                root: "/usr/share",
                keepsConnections: false
            )
            client = HTTPClient(port: server.port)
            // What the wikis' own scripts warn of; both programs' servers must report the same.
            daemon.allowLog(/said into stderr: "NOTICE: PHP message: PHP (Warning|Notice|Deprecated)/)
        }

        /// Notes an answer as a step of the visit.
        @discardableResult
        mutating func note(_ name: String, status: Int = 200, _ response: HTTPResponse) -> HTTPResponse {
            steps.append(Step(name: name, response: response))
            #expect(response.status == status, "\(daemon.program.path): \(name)")
            return response
        }

        /// What differs between two sites, and between two visits, in any case.
        func normalise(_ text: String) -> String {
            text.replacingOccurrences(of: data, with: "DATA").replacingOccurrences(
                of: "127.0.0.1:\(server.port)",
                with: "HOST"
            )
            .replacingOccurrences(of: "127.0.0.1%3A\(server.port)", with: "HOST")
            .replacing(#/[0-9a-f]{20,}/#, with: "TOKEN")
            .replacing(#/tok=[0-9a-f]{6}\b/#, with: "TOKEN")
            .replacing(#/\b20\d{12}\b/#, with: "STAMP").replacing(#/\b1[789]\d{8}\b/#, with: "EPOCH")
            .replacing(#/\b20\d\d(-|\\?\/)\d\d(-|\\?\/)\d\d[T ]\d\d:\d\d(:\d\d)?Z?/#, with: "TIME")
            .replacing(#/\d\d:\d\d(:\d\d)?, \d+ \w+ 20\d\d/#, with: "TIME")
            .replacing(#/\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d [+-]\d{4}/#, with: "TIME")
        }
    }

    private static let picture = Data(
        base64Encoded:
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )

    /// Expects an answer to contain some text, without printing the whole of it.
    private func expectText(
        _ response: HTTPResponse,
        _ text: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let isContained = response.text.contains(text)
        #expect(isContained, "\(text)", sourceLocation: sourceLocation)
    }

    private func compare(_ visit: (Program) throws -> Site, also mask: @escaping (String) -> String = { $0 })
        throws
    {
        guard let program = Program.reference else { return }
        let expected = try visit(program)
        let actual = try visit(Program.underTest)
        expectSameVisit(expected.steps, actual.steps) { mask(actual.normalise(expected.normalise($0))) }
        let complaints = [expected, actual].map { site in
            site.server.stop()
            return site.server.complaints.map { line in
                // How far nginx had read when the message came depends on where the stream was cut.
                site.normalise(line.replacing(#/^.*?: \*\d+ /#, with: "").replacing(#/ while .*$/#, with: ""))
            }
        }
        #expect(complaints[0] == complaints[1])
        #expect(complaints[0].allSatisfy { $0.contains("FastCGI sent in stderr") })
    }

    // MARK: DokuWiki

    private static func hasDokuWiki() -> Bool {
        FileManager.default.fileExists(atPath: "/usr/share/dokuwiki/doku.php")
    }

    private func prepareDokuWiki(_ data: String) throws -> String {
        let conf = data + "/conf"
        #expect(try run(["cp", "-r", "/etc/dokuwiki", conf]).status == .code(0))
        #expect(try run(["cp", "-r", "/var/lib/dokuwiki/data", data + "/data"]).status == .code(0))
        let main = readText(conf + "/dokuwiki.php").replacingOccurrences(
            of: "/var/lib/dokuwiki/data",
            with: data + "/data"
        )
        let users =
            "# users.auth.php\n# <?php exit()?>\nadmin:5ebe2294ecd0e0f08eab7690d2a6ee69:The Admin:a@example.test:admin,user\n"
        let files = [
            "conf/dokuwiki.php": main,
            "conf/local.php":
                "<?php\n$conf['title'] = 'Test Wiki';\n$conf['useacl'] = 1;\n$conf['superuser'] = '@admin';\n",
            // The password is "secret".
            "conf/users.auth.php": users,
            "conf/acl.auth.php": "# acl.auth.php\n# <?php exit()?>\n*\t@ALL\t1\n*\t@user\t8\n",
            "prepend.php": "<?php\ndefine('DOKU_MAIN_CONF', '\(conf)/');\ndefine('DOKU_CONF', '\(conf)/');\n",
        ]
        for (name, text) in files {
            // Debian's are links to the installed wiki's.
            try? FileManager.default.removeItem(atPath: "\(data)/\(name)")
            try text.write(toFile: "\(data)/\(name)", atomically: false, encoding: .utf8)
        }
        return "php_admin_value[auto_prepend_file] = \(data)/prepend.php\n"
    }

    private func visitDokuWiki(_ program: Program) throws -> Site {
        var site = try Site(program, prepare: prepareDokuWiki)
        let client = site.client
        let page = "/dokuwiki/doku.php?id="
        site.note("start page", try client.get(page + "start"))
        site.note("a page", try client.get(page + "wiki:syntax"))
        site.note("the page again, from the cache", try client.get(page + "wiki:syntax"))
        site.note("edit without rights", try client.get(page + "playground&do=edit"))

        let login = site.note("login form", try client.get(page + "start&do=login"))
        func token(_ response: HTTPResponse) -> String {
            formFields(response.text).first { $0.0 == "sectok" }?.1 ?? ""
        }
        func credentials(_ password: String, _ form: HTTPResponse) -> [(String, String)] {
            [("sectok", token(form)), ("id", "start"), ("do", "login"), ("u", "admin"), ("p", password)]
        }
        site.note(
            "wrong password",
            status: 403,
            try client.post(page + "start&do=login", form: credentials("wrong", login))
        )
        site.note(
            "login",
            status: 302,
            try client.post(page + "start&do=login", form: credentials("secret", login))
        )
        let mine = site.note("start page of a user", try client.get(page + "start"))
        expectText(mine, "The Admin")

        let edit = site.note("editor", try client.get(page + "playground&do=edit"))
        let text =
            "====== Heading ======\nSome **bold** text, ümläute, [[start]].\n\n  * a list\n\n<code php>\n<?php echo 1;\n</code>\n"
        let fields = setFields(
            formFields(edit.text).filter { !["q", "do"].contains($0.0) },
            [("wikitext", text), ("summary", "a test")]
        )
        let preview = site.note(
            "preview",
            try client.post("/dokuwiki/doku.php", form: fields + [("do[preview]", "1")])
        )
        expectText(preview, "<strong>bold</strong>")
        site.note(
            "save",
            status: 302,
            try client.post("/dokuwiki/doku.php", form: fields + [("do[save]", "1")])
        )
        let saved = site.note("saved page", try client.get(page + "playground"))
        expectText(saved, "<strong>bold</strong>")
        expectText(saved, "ümläute")
        site.note("old revisions", try client.get(page + "playground&do=revisions"))
        site.note("search", try client.get("/dokuwiki/doku.php?do=search&q=bold"))
        site.note("feed", try client.get("/dokuwiki/feed.php"))
        site.note("raw text", try client.get("/dokuwiki/doku.php/playground?do=export_raw"))
        site.note("path info", try client.get("/dokuwiki/doku.php/playground"))

        let media = site.note("media manager", try client.get("/dokuwiki/lib/exe/mediamanager.php?ns=wiki"))
        let picture = Array(try #require(Self.picture))
        let upload = site.note(
            "upload",
            try client.upload(
                "/dokuwiki/lib/exe/mediamanager.php",
                form: [("sectok", token(media)), ("ns", "wiki"), ("mediaid", "dot.png"), ("do", "media")],
                field: "upload",
                name: "dot.png",
                content: picture
            )
        )
        expectText(upload, "Upload successful")
        let fetched = site.note("picture", try client.get("/dokuwiki/lib/exe/fetch.php?media=wiki:dot.png"))
        #expect(fetched.body == picture)
        site.note("style sheet", try client.get("/dokuwiki/lib/exe/css.php?t=dokuwiki"))
        site.note("scripts", try client.get("/dokuwiki/lib/exe/js.php?t=dokuwiki"))
        site.note("task runner", try client.get("/dokuwiki/lib/exe/taskrunner.php?id=playground"))
        site.note("admin page", try client.get(page + "start&do=admin"))
        site.note("logout", status: 302, try client.get(page + "start&do=logout&sectok=\(token(mine))"))
        site.note("start page afterwards", try client.get(page + "start"))
        return site
    }

    @Test(.enabled(if: hasDokuWiki(), "DokuWiki is not installed: see install-apps.sh")) func dokuWiki()
        throws
    {
        try compare(visitDokuWiki)
    }

    // MARK: MediaWiki

    private static func hasMediaWiki() -> Bool {
        FileManager.default.fileExists(atPath: "/usr/share/mediawiki/index.php")
    }

    private func prepareMediaWiki(_ data: String) throws -> String {
        for name in ["images", "cache"] {
            try FileManager.default.createDirectory(
                atPath: "\(data)/\(name)",
                withIntermediateDirectories: false
            )
        }
        return "env[MW_CONFIG_FILE] = \(data)/LocalSettings.php\nenv[PATH] = /usr/bin:/bin\n"
    }

    /// Goes through the installer in the browser's way and stores the settings it offers.
    private func installMediaWiki(_ site: inout Site) throws {
        let client = site.client
        let installer = "/mediawiki/mw-config/index.php"
        site.note("installer", try client.get(installer))
        var page = site.note("installer, language", try client.get(installer + "?page=Language"))
        let answers: [(String, [(String, String?)])] = [
            ("Language", [("uselang", "en"), ("ContLang", "en")]),
            ("Welcome", []),
            (
                "DBConnect",
                [
                    ("DBType", "sqlite"), ("sqlite_wgDBname", "wiki"),
                    ("sqlite_wgSQLiteDataDir", site.data + "/db"),
                ]
            ),
            (
                "Name",
                [
                    ("config_wgSitename", "Test Wiki"), ("config__NamespaceType", "site-name"),
                    ("config__AdminName", "Admin"),
                    ("config__AdminPassword", "long-secret-42"),
                    ("config__AdminPasswordConfirm", "long-secret-42"),
                    ("config_wgPingback", nil), ("config__SkipOptional", "skip"),
                ]
            ),
            ("Install", []),
            ("Install", []),
        ]
        for (name, changes) in answers {
            let form = setFields(formFields(page.text), changes) + [("submit-continue", "Continue")]
            let answer = try client.post("\(installer)?page=\(name)", form: form)
            page = answer
            while page.status == 302 { page = try client.get(page.header("Location") ?? "") }
            site.note("installer, after \(name)", page)
        }
        expectText(page, "LocalSettings.php")
        let settings = site.note("installer, settings", try client.get(installer + "?localsettings=1"))
        let more = """

            $wgEnableUploads = true;
            $wgUploadDirectory = '\(site.data)/images';
            $wgUploadPath = '/images';
            $wgCacheDirectory = '\(site.data)/cache';
            $wgJobRunRate = 0;
            """
        try (settings.text + more).write(
            toFile: site.data + "/LocalSettings.php",
            atomically: false,
            encoding: .utf8
        )
    }

    private func visitMediaWiki(_ program: Program) throws -> Site {
        var site = try Site(program, prepare: prepareMediaWiki)
        try installMediaWiki(&site)
        let client = site.client
        let page = "/mediawiki/index.php?title="
        site.note("main page, first", try client.get(page + "Main_Page"))
        site.note("main page", try client.get(page + "Main_Page"))
        site.note("missing page", status: 404, try client.get(page + "Missing"))
        site.note("path info", try client.get("/mediawiki/index.php/Main_Page"))

        let login = site.note("login form", try client.get(page + "Special:UserLogin"))
        func credentials(_ password: String) -> [(String, String)] {
            setFields(
                formFields(login.text).filter { !["title", "search"].contains($0.0) },
                [("wpName", "Admin"), ("wpPassword", password), ("wploginattempt", "Log in")]
            )
        }
        site.note("wrong password", try client.post(page + "Special:UserLogin", form: credentials("wrong")))
        site.note(
            "login",
            status: 302,
            try client.post(page + "Special:UserLogin", form: credentials("long-secret-42"))
        )

        let edit = site.note("editor", try client.get(page + "Sandbox&action=edit"))
        let text =
            "== Heading ==\nSome '''bold''' text, ümläute, [[Main Page]].\n* a list\n{| class=\"wikitable\"\n| 1 || 2\n|}\n"
        let fields = setFields(
            formFields(edit.text).filter { !["title", "search"].contains($0.0) },
            [("wpTextbox1", text), ("wpSummary", "a test"), ("wpUnicodeCheck", "ℳ𝒲♥𝓊𝓃𝒾𝒸ℴ𝒹ℯ")]
        )
        let preview = site.note(
            "preview",
            try client.post(page + "Sandbox&action=submit", form: fields + [("wpPreview", "Show preview")])
        )
        expectText(preview, "<b>bold</b>")
        site.note(
            "save",
            status: 302,
            try client.post(page + "Sandbox&action=submit", form: fields + [("wpSave", "Save page")])
        )
        let saved = site.note("saved page", try client.get(page + "Sandbox"))
        expectText(saved, "<b>bold</b>")
        expectText(saved, "ümläute")
        site.note("history", try client.get(page + "Sandbox&action=history"))
        site.note("raw text", try client.get(page + "Sandbox&action=raw"))
        site.note("recent changes", try client.get(page + "Special:RecentChanges"))
        site.note("search", try client.get(page + "Special:Search&search=bold&fulltext=1"))
        site.note("version", try client.get(page + "Special:Version"))

        let uploadForm = site.note("upload form", try client.get(page + "Special:Upload"))
        let picture = Array(try #require(Self.picture))
        let form = setFields(
            formFields(uploadForm.text).filter { !["title", "search", "wpUploadFile"].contains($0.0) },
            [
                ("wpDestFile", "Dot.png"), ("wpUploadDescription", "A dot"), ("wpUpload", "Upload file"),
                ("wpIgnoreWarning", "1"),
            ]
        )
        site.note(
            "upload",
            status: 302,
            try client.upload(
                page + "Special:Upload",
                form: form,
                field: "wpUploadFile",
                name: "Dot.png",
                content: picture
            )
        )
        let file = site.note("file page", try client.get(page + "File:Dot.png"))
        expectText(file, "A dot")

        site.note(
            "API",
            try client.get(
                "/mediawiki/api.php?action=query&prop=revisions&titles=Sandbox&rvprop=content&format=json"
            )
        )
        site.note("REST API", try client.get("/mediawiki/rest.php/v1/page/Sandbox"))
        site.note(
            "style sheet",
            try client.get("/mediawiki/load.php?lang=en&modules=site.styles&only=styles&skin=vector")
        )
        site.note(
            "scripts",
            try client.get("/mediawiki/load.php?lang=en&modules=startup&only=scripts&skin=vector")
        )
        return site
    }

    @Test(.enabled(if: hasMediaWiki(), "MediaWiki is not installed: see install-apps.sh")) func mediaWiki()
        throws
    {
        try compare(visitMediaWiki) { text in
            // The count of edits changes after the answer, in the time behind fastcgi_finish_request().
            text.replacing(#/"(wgBackendResponseTime|wgUserRegistration|wgUserEditCount)":\d+/#, with: "N")
                .replacing(#/"wgRequestId":"[^"]*"|"wgPageParseReport":.*?\}\}/#, with: "N")
                .replacing(
                    #/(CPU|Real) time usage(: |<\/th><td>)[\d.]+ seconds|Transclusion expansion time report .*/#,
                    with: "N"
                )
                .replacing(#/\d+\.\d\d% +[\d.]+ .*/#, with: "N")
                .replacing(
                    #/Served from parser cache.*|Saved in parser cache.*|Cache expiry: .*|Cached time: .*|Reduced expiry: .*/#,
                    with: "N"
                )
                .replacing(#/(version|hash|v)=[0-9a-z]{4,5}\b|"[0-9a-z]{5}"/#, with: "VERSION")
                .replacing(
                    #/, at \d\d:\d\d\.|changeslist-time">\d\d:\d\d|fromFormatted=\d\d%3A\d\d/#,
                    with: "TIME"
                )
                .replacing(#/\$wgUpgradeKey = .*|\$wgSecretKey = .*/#, with: "KEY")
        }
    }
}
