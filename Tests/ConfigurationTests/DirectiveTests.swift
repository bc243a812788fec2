import Configuration
import Foundation
import Testing

@Suite struct DirectiveTests {
    @Test func documentationIsInStep() throws {
        let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/directives.md")
        let expected = DirectivePage.text
        if ProcessInfo.processInfo.environment["FPMD_WRITE_DOCS"] != nil {
            try FileManager.default.createDirectory(
                at: page.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try expected.write(to: page, atomically: true, encoding: .utf8)
        }
        let text = try String(contentsOf: page, encoding: .utf8)
        #expect(text == expected, "run the tests with FPMD_WRITE_DOCS=1 to write the page anew")
    }

    @Test func namesAreUniqueInASection() {
        for scope in [Directive.Scope.global, .pool] {
            let names = Directive.all.filter { $0.scope == scope }.map(\.name)
            #expect(Set(names).count == names.count)
        }
        #expect(Directive.all.count == 1 + 18 + 52)
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

/// `docs/directives.md`, made from the directive table.
enum DirectivePage {
    static var text: String {
        """
        # Directives

        Every directive of fpmd's configuration files, in the order in which `fpmd -tt` lists them. The language
        is php-fpm's. A time is a number of seconds, or of minutes, hours or days with the suffix `m`, `h` or `d`.
        A size is a number of bytes, or of KiB, MiB or GiB with the suffix `K`, `M` or `G`. What php-fpm does not have
        is in the dump only where it is set.
        This page is written from the directive table in `Sources/Configuration`.

        ## Section `[global]`

        \(table(.global))

        ## Pool sections

        A section of any other name is a pool. `$pool` in a value is the pool's name.

        \(table(.pool))

        """
    }

    private static func table(_ scope: Directive.Scope) -> String {
        let rows = Directive.all.filter { $0.scope == scope }.map { directive in
            let effect =
                switch directive.effect {
                case .effective: "yes"
                case .notYet(let issue): "not yet (#\(issue))"
                }
            let cells = [
                "`\(directive.name)`", directive.kind.rawValue, directive.defaultText,
                directive.summary + (directive.isOurs ? " Not in php-fpm." : ""), effect,
            ]
            return
                "| \(cells.map { $0.replacingOccurrences(of: "|", with: "\\|") }.joined(separator: " | ")) |"
        }
        let head = ["| directive | value | default | meaning | effect |", "| --- | --- | --- | --- | --- |"]
        return (head + rows).joined(separator: "\n")
    }
}
