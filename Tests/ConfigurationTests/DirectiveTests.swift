import Configuration
import DirectiveDocuments
import Foundation
import Testing

@Suite struct DirectiveTests {
    /// `scripts/generate` writes them.
    @Test(arguments: DirectiveDocument.allCases)
    func documentIsInStep(_ document: DirectiveDocument) throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent(document.path), encoding: .utf8)
        #expect(text == document.text, "run scripts/generate to write \(document.path) anew")
    }

    @Test(arguments: DirectiveDocument.allCases)
    func documentHasEveryDirective(_ document: DirectiveDocument) {
        for directive in Directive.all {
            let name = directive.name.description
            #expect(document.text.contains(document == .sample ? "\n;\(name) =" : name))
        }
    }

    /// Without the comment marks, the sample is a configuration whose values are the defaults.
    @Test func sampleLoads() {
        let lines = DirectiveDocument.sample.text.split(separator: "\n").compactMap { line -> String? in
            guard line.hasPrefix(";"), !line.hasPrefix("; ") else { return nil }
            let text = line.dropFirst()
            return text.hasSuffix("=") ? nil : String(text)
        }
        let required = "user = www\nslowlog = slow.log\nlisten = 9000\npm = static\npm.max_children = 2\n"
        let sample = FakeHost(lines.joined(separator: "\n") + "\n" + required).load()
        #expect(lines.count > 40)
        #expect(sample.diagnostics.isEmpty)
        guard let configuration = sample.configuration, let plain = FakeHost(plainPool).load().configuration
        else {
            Issue.record("refused: \(texts(sample))")
            return
        }
        #expect(configuration.pools[0].maxQueue == plain.pools[0].maxQueue)
        #expect(configuration.pools[0].responseBuffer == plain.pools[0].responseBuffer)
        #expect(configuration.pools[0].limitedExtensions == plain.pools[0].limitedExtensions)
        #expect(configuration.pools[0].processIdleTimeout == plain.pools[0].processIdleTimeout)
        #expect(configuration.global.logLimit == plain.global.logLimit)
    }

    @Test func namesAreUniqueInASection() {
        for scope in [Directive.Scope.global, .pool] {
            let names = Directive.all.filter { $0.scope == scope }.map(\.name)
            #expect(Set(names).count == names.count)
        }
        #expect(Directive.all.count == 1 + 23 + 53)
    }

    @Test(
        arguments: [
            ("[global]\nlisten = 1\n", "'listen' belongs in a pool's section"),
            ("[www]\npid = 1\n", "'pid' belongs in the [global] section; the one in force here is [www]"),
            ("[www]\npm.max_childern = 1\n", "did you mean 'pm.max_children'?"),
            ("[www]\nMax_Children = 1\n", "did you mean 'pm.max_children'?"),
            ("[www]\nenv = 1\n", "'env' needs brackets: env[NAME] = …"),
            ("[www]\nENV[x] = 1\n", "did you mean 'env'?"),
            (
                "[www]\naccess.suppress_path = /\n",
                "'access.suppress_path' needs brackets: access.suppress_path[] = …"
            ),
            ("[www]\nlisten[x] = 1\n", "'listen' takes no brackets"),
            ("[www]\nInclude = x\n", "did you mean 'include'?"),
            ("[www]\nphp_vlaue[x] = 1\n", "did you mean 'php_value'?"),
            ("[www]\nsomething.else = 1\n", nil),
            ("\n# a comment\n", "expected NAME = VALUE; a comment begins with ';'"),
            ("\n  [www\n", "this is main.conf:2; the name of a section stands between [ and ]"),
            (
                "\n\na = (1\n",
                "this is main.conf:3; put a value with any of = ; & | ^ ~ ! ( ) in double quotes"
            ),
        ] as [(String, String?)]
    )
    func suggests(_ text: String, _ hint: String?) {
        #expect(FakeHost(text).load().diagnostics.first?.hint?.description == hint)
    }
}
