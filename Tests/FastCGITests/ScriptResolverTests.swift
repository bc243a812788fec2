import Foundation
import Testing

@testable import FastCGI

@Suite struct ScriptResolverTests {
    /// Files below /srv/ap, as they were when php-fpm answered the fixtures: name, whether a regular file.
    private static let files: [String: Bool] = [
        "/": false, "//": false, "/srv/ap/d": false, "/srv/ap/d/": false, "/srv/ap/d/x.php": true,
        "/srv/ap/d/../d/x.php": true, "/srv/ap/d/y.php": true, "/srv/ap/d/../d/y.php": true,
        "/srv/ap/d/link.php": true, "/srv/ap/d/sub": false, "/d": false, "/d/x.php": true,
    ]

    private struct Outcome: Equatable {
        var uri: String?
        var path: String?
        var status = 200
        var hasScriptParameter = true
        var parameters: [String: String] = [:]
        var probes: [String] = []
    }

    private func resolve(
        _ settings: ScriptResolver.Settings,
        _ parameters: [(String, String)],
        isRegularFile: ((Span<UInt8>) -> Bool)? = nil
    ) throws -> Outcome {
        var table = ParameterTable(seed: 1)
        table.reset()
        try table.append(Wire.pairs(parameters).span)
        try table.finish()
        var probes: [String] = []
        func look(_ path: Span<UInt8>) -> Bool? {
            let text = String(decoding: path.indices.map { path[$0] }, as: UTF8.self)
            path.withUnsafeBufferPointer { path in
                #expect(path.baseAddress.map { $0[path.count] } == 0, "no NUL behind \(text)")
            }
            probes.append(text)
            return Self.files[text]
        }
        let resolution = ScriptResolver(settings).resolve(
            &table,
            exists: { look($0) != nil },
            isRegularFile: isRegularFile ?? { look($0) == true }
        )
        var outcome = Outcome()
        outcome.uri = table.text(resolution.requestURI)
        outcome.path = table.text(resolution.scriptPath)
        outcome.status = resolution.initialStatus
        outcome.hasScriptParameter = resolution.hasScriptParameter
        for pair in table.pairs { outcome.parameters[pair[0]] = pair[1] }
        outcome.probes = probes
        // C reads by terminator, Swift by length: both must see the same.
        table.withEntries { entries, arena in
            for entry in entries {
                #expect(String(cString: arena + Int(entry.valueOffset)).utf8.count == Int(entry.valueLength))
                #expect(String(cString: arena + Int(entry.nameOffset)).utf8.count == Int(entry.nameLength))
            }
        }
        return outcome
    }

    /// Random parameter sets with what php-fpm 8.2.36 made of them (from its access log).
    ///
    /// A line holds `fix_pathinfo;discard_path;doc_root`, the parameters, `>`, and the results; what is unset
    /// is left out.
    @Test func randomSetsResolveAsInPHPFPM() throws {
        let url = try #require(Bundle.module.url(forResource: "Fixtures/resolver", withExtension: "tsv"))
        let lines = try String(contentsOf: url, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 275)
        for line in lines {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            let arrow = try #require(fields.firstIndex(of: ">"))
            let settings = fields[0].split(separator: ";", omittingEmptySubsequences: false).map(String.init)
            func pairs(_ fields: ArraySlice<String>) -> [(String, String)] {
                fields.map { field in
                    let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                    return (String(parts[0]), String(parts[1]))
                }
            }
            let outcome = try resolve(
                .init(
                    fixPathinfo: settings[0] == "1",
                    discardPath: settings[1] == "1",
                    documentRoot: Array(settings[2].utf8)
                ),
                pairs(fields[1..<arrow])
            )
            var expected = Dictionary(uniqueKeysWithValues: pairs(fields[(arrow + 1)...]))
            // php-fpm logs an absent URI as an empty one.
            #expect(outcome.uri ?? "" == expected.removeValue(forKey: "URI") ?? "-", "\(line)")
            #expect(outcome.path == expected.removeValue(forKey: "PATH"), "\(line)")
            #expect(outcome.parameters.filter { $0.key != "SERVER_SOFTWARE" } == expected, "\(line)")
        }
    }

    private static let f = "/d/x.php"
    private static let n = "/x.php"
    private static let proxy = "proxy:fcgi://127.0.0.1:9008"

    /// One row of the compatibility table; nil is an unset parameter.
    struct Row: Sendable {
        var settings: ScriptResolver.Settings
        var sf, sn, pi, pt: String?
        var dr: String? = "/d"
        /// SCRIPT_NAME, SCRIPT_FILENAME, PATH_INFO, PHP_SELF, and the script that runs.
        var name, filename, info, phpSelf: String?
        var runs: String?
        var originalName: String?
    }

    private static let fix = ScriptResolver.Settings()
    private static let keep = ScriptResolver.Settings(fixPathinfo: false, discardPath: false)
    private static let discard = ScriptResolver.Settings(fixPathinfo: false, discardPath: true)

    static let rows: [Row] = [
        Row(
            settings: fix,
            sf: proxy + f,
            sn: n,
            pi: "/pinfo",
            pt: "/d/pinfo",
            name: n,
            filename: f,
            info: "/pinfo",
            phpSelf: "/x.php/pinfo",
            runs: f
        ),
        Row(
            settings: fix,
            sf: proxy + f + "?q=1",
            sn: n,
            pi: "/pinfo",
            pt: "/d/pinfo",
            name: n,
            filename: f,
            info: "/pinfo",
            phpSelf: "/x.php/pinfo",
            runs: f
        ),
        Row(
            settings: fix,
            sf: proxy + f,
            sn: n,
            pi: "/pinfo",
            pt: "/d/pinfo",
            dr: nil,
            name: n,
            filename: f,
            info: "/pinfo",
            phpSelf: "/x.php/pinfo",
            runs: f
        ),
        Row(
            settings: fix,
            sf: "proxy:balancer://127.0.0.1:9008" + f,
            sn: n,
            pi: "/pinfo",
            pt: "/d/pinfo",
            name: n,
            filename: f,
            info: "/pinfo",
            phpSelf: "/x.php/pinfo",
            runs: f
        ),
        Row(
            settings: fix,
            sf: "proxy:fcgi://localhost" + f,
            sn: n,
            name: n,
            filename: f,
            info: nil,
            phpSelf: n,
            runs: f
        ),
        Row(
            settings: fix,
            sf: proxy + f + "/pinfo",
            sn: n + "/pinfo",
            name: n,
            filename: f,
            info: "/pinfo",
            phpSelf: "/x.php/pinfo",
            runs: f,
            originalName: n + "/pinfo"
        ),
        Row(
            settings: fix,
            sf: proxy + f + "/1%202",
            sn: n + "/1 2",
            name: n,
            filename: f,
            info: "/1%202",
            phpSelf: "/x.php/1%202",
            runs: f,
            originalName: n + "/1 2"
        ),
        Row(
            settings: fix,
            sf: proxy + f + "/1%20+2",
            sn: n + "/1 +2",
            name: n,
            filename: f,
            info: "/1%20+2",
            phpSelf: "/x.php/1%20+2",
            runs: f,
            originalName: n + "/1 +2"
        ),
        Row(
            settings: fix,
            sf: proxy + f + "/pinfoy",
            sn: n + "/pinfox",
            name: n + "/pinfox",
            filename: f,
            info: "/pinfoy",
            phpSelf: "/x.php/pinfox/pinfoy",
            runs: f
        ),
        Row(
            settings: fix,
            sf: f + "/pinfo",
            sn: "",
            pi: f + "/pinfo",
            pt: "proxy:balancer://x" + f + "/pinfo",
            name: f,
            filename: f,
            info: "/pinfo",
            phpSelf: f + "/pinfo",
            runs: f,
            originalName: ""
        ),
        // CVE-2019-11043: the tail is longer than PATH_INFO.
        Row(
            settings: fix,
            sf: f + "/" + String(repeating: "A", count: 35),
            sn: n,
            pi: "",
            name: n,
            filename: f,
            info: "",
            phpSelf: n,
            runs: f
        ),
        Row(
            settings: keep,
            sf: f,
            sn: n,
            pi: "/pinfo",
            name: n,
            filename: f,
            info: "/pinfo",
            phpSelf: "/pinfo",
            runs: f
        ),
        Row(settings: keep, sf: f, sn: n, name: n, filename: f, info: nil, phpSelf: n, runs: f),
        Row(
            settings: keep,
            sf: f + "/pinfo",
            sn: n,
            pi: "/pinfo",
            pt: f,
            name: n,
            filename: f + "/pinfo",
            info: "/pinfo",
            phpSelf: "/pinfo",
            runs: f
        ),
        Row(
            settings: keep,
            sf: f + "/pinfo",
            sn: n,
            pt: f,
            name: n,
            filename: f + "/pinfo",
            info: nil,
            phpSelf: n,
            runs: f
        ),
        Row(
            settings: discard,
            sf: f,
            sn: n,
            pi: "/pinfo",
            pt: "/d",
            name: n,
            filename: f,
            info: "/pinfo",
            phpSelf: "/pinfo",
            runs: f
        ),
        Row(
            settings: discard,
            sf: proxy + f,
            sn: n,
            pi: "/pinfo",
            pt: "/d/pinfo",
            name: n,
            filename: f,
            info: "/pinfo",
            phpSelf: "/pinfo",
            runs: f
        ),
        Row(
            settings: discard,
            sn: n,
            pi: "/pinfo",
            pt: f,
            name: n,
            filename: nil,
            info: "/pinfo",
            phpSelf: "/pinfo",
            runs: f
        ),
    ]

    @Test(arguments: rows.indices)
    func compatibilityTable(index: Int) throws {
        let row = Self.rows[index]
        let sent = [
            ("SCRIPT_FILENAME", row.sf), ("SCRIPT_NAME", row.sn), ("PATH_INFO", row.pi),
            ("PATH_TRANSLATED", row.pt), ("DOCUMENT_ROOT", row.dr),
        ].compactMap { name, value in value.map { (name, $0) } }
        let outcome = try resolve(row.settings, sent)
        #expect(outcome.path == row.runs)
        #expect(outcome.parameters["SCRIPT_NAME"] == row.name)
        #expect(outcome.parameters["SCRIPT_FILENAME"] == row.filename)
        #expect(outcome.parameters["PATH_INFO"] == row.info)
        #expect(outcome.parameters["ORIG_SCRIPT_NAME"] == row.originalName)
        let info = row.settings.fixPathinfo ? outcome.parameters["PATH_INFO"] ?? "" : ""
        #expect((outcome.uri ?? "") + info == row.phpSelf)
        #expect(outcome.status == 200)
    }

    @Test func usualRequestIsOneProbe() throws {
        let sent = [("SCRIPT_FILENAME", Self.f), ("SCRIPT_NAME", Self.n), ("DOCUMENT_ROOT", "/d")]
        let outcome = try resolve(Self.fix, sent)
        #expect(outcome.probes == [Self.f])
        #expect(outcome.path == Self.f)
        #expect(outcome.uri == Self.n)
        #expect(outcome.parameters == Dictionary(uniqueKeysWithValues: sent))
    }

    @Test func withoutScriptParametersNothingHappens() throws {
        let outcome = try resolve(Self.fix, [("SCRIPT_NAME", "/status"), ("DOCUMENT_ROOT", "/d")])
        #expect(
            outcome.uri == nil && outcome.path == nil && outcome.status == 200 && !outcome.hasScriptParameter
        )
        #expect(outcome.probes.isEmpty)
    }

    /// The client's names are searched for in each other: what they hold must not make that long.
    ///
    /// One start of the search after the other is tens of seconds here.
    @Test func longNamesAreSearchedAtOnce() throws {
        let length = 400_000
        let begin = ContinuousClock.now
        let outcome = try resolve(
            Self.fix,
            [
                ("SCRIPT_FILENAME", "/" + String(repeating: "a", count: length) + ".php/"),
                ("SCRIPT_NAME", String(repeating: "a", count: length / 2) + "b"),
            ],
            isRegularFile: { _ in true }
        )
        #expect(outcome.path == "/" + String(repeating: "a", count: length) + ".php")
        #expect(outcome.parameters["PATH_TRANSLATED"] == nil)
        #expect(ContinuousClock.now - begin < .seconds(5))
    }

    /// Neither does a path that can be cut at each of its characters.
    @Test func manySeparatorsAreFoundAtOnce() throws {
        let begin = ContinuousClock.now
        let path = String(repeating: "\\", count: 50_000)
        var probes = 0
        let outcome = try resolve(Self.fix, [("SCRIPT_FILENAME", "x" + path)]) { _ in
            probes += 1
            return false
        }
        #expect(outcome.path == nil && probes == 50_000)
        #expect(ContinuousClock.now - begin < .seconds(5))
    }

    /// Against the plain search, on texts that repeat themselves.
    @Test func searchFindsWhatIsThere() {
        var generator = SystemRandomNumberGenerator()
        func text(_ length: Range<Int>) -> [UInt8] {
            (0..<Int.random(in: length, using: &generator)).map { _ in UInt8.random(in: 97...98) }
        }
        var found = 0
        for _ in 0..<5000 {
            let whole = text(0..<24)
            let part = text(0..<8)
            let starts = whole.count - part.count
            let occurs = starts >= 0 && (0...starts).contains { whole[$0...].starts(with: part) }
            #expect(whole.span.contains(part.span) == occurs, "\(part) in \(whole)")
            found += occurs ? 1 : 0
        }
        #expect((1000...4900).contains(found))
    }

    @Test func missingScriptIs404() throws {
        let outcome = try resolve(Self.fix, [("SCRIPT_FILENAME", "/d/none/x"), ("SCRIPT_NAME", "/none/x")])
        #expect(outcome.path == nil)
        #expect(outcome.status == 404)
        #expect(outcome.uri == "/none/x")
        #expect(outcome.hasScriptParameter)
        #expect(outcome.parameters["SCRIPT_FILENAME"] == nil)
        #expect(outcome.parameters["ORIG_SCRIPT_FILENAME"] == "/d/none/x")
        // Nothing is a file: the whole path, then it without each of its components.
        #expect(outcome.probes == ["/d/none/x", "/d/none", "/d"])
    }

    @Test(arguments: [
        ("/d/../d/x.php", false), ("..", false), ("../x.php", false), ("/d/..", false), ("/d/a..b", true),
        ("/d/...", true), ("/d/..x", true), ("/d/x..", true), ("/d/.", true), ("", false),
    ])
    func parentComponentsAreRefused(path: String, isAccepted: Bool) throws {
        let outcome = try resolve(Self.keep, [("SCRIPT_FILENAME", path), ("SCRIPT_NAME", "/a")])
        #expect(outcome.path == (isAccepted ? path : nil))
        #expect(outcome.uri == "/a")
    }

    @Test(
        arguments: [
            // SERVER_SOFTWARE, SCRIPT_NAME, PATH_INFO, PATH_INFO afterwards, ORIG_PATH_INFO
            ("Microsoft-IIS/7.5", "/x.php", "/x.php/info", "/info", "/x.php/info"),
            ("Microsoft-IIS/7.5", "/x.php", "/x.php", nil, "/x.php"),
            ("Microsoft-IIS/7.5", "", "/info", "/info", "/info"),
            ("Microsoft-IIS/7.5", "/x.php", "/info", "/info", nil),
            ("nginx", "/x.php", "/x.php/info", "/x.php/info", nil),
            ("microsoft-iis", "/x.php", "/x.php/info", "/x.php/info", nil),
        ] as [(String, String, String, String?, String?)]
    )
    func iisPathInfo(software: String, name: String, info: String, after: String?, original: String?) throws {
        let outcome = try resolve(
            Self.fix,
            [
                ("SERVER_SOFTWARE", software), ("SCRIPT_FILENAME", Self.f), ("SCRIPT_NAME", name),
                ("PATH_INFO", info),
            ]
        )
        #expect(outcome.parameters["PATH_INFO"] == after)
        #expect(outcome.parameters["ORIG_PATH_INFO"] == original)
    }

    @Test(arguments: [
        // No slash behind the scheme: the value stays, up to its query.
        ("proxy:fcgi://host", "proxy:fcgi://host"), ("proxy:fcgi://host?q", "proxy:fcgi://host"),
        ("PROXY:FCGI://host/d/x.php", "/d/x.php"), ("proxy:balancer://b/d/x.php?a?b", "/d/x.php"),
        ("proxy:http://host/d/x.php", "proxy:http://host/d/x.php"), ("/d/x.php?q", "/d/x.php?q"),
        ("proxy:fcgi://host?a/b", "/b"), ("proxy:fcgi:///", "/"),
    ])
    func proxyForms(sent: String, shown: String) throws {
        let outcome = try resolve(Self.keep, [("SCRIPT_FILENAME", sent)])
        #expect(outcome.parameters["SCRIPT_FILENAME"] == shown)
        #expect(outcome.path == shown)
        #expect(outcome.uri == nil)
    }

    @Test func documentRootIsSetWhenMissing() throws {
        let settings = ScriptResolver.Settings(documentRoot: Array("/root".utf8))
        let filled = try resolve(settings, [("SCRIPT_FILENAME", Self.f)])
        #expect(filled.parameters["DOCUMENT_ROOT"] == "/root")
        let kept = try resolve(settings, [("SCRIPT_FILENAME", Self.f), ("DOCUMENT_ROOT", "")])
        #expect(kept.parameters["DOCUMENT_ROOT"] == "")
    }
}
