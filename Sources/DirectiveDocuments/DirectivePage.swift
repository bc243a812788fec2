internal import Configuration

/// The directives as a page of Markdown.
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
        let rows = Directive.all(in: scope).map { directive in
            let effect =
                switch directive.effect {
                case .effective: "yes"
                case .notYet(let issue): "not yet (#\(issue))"
                }
            let cells = [
                "`\(directive.name)`", directive.kind.rawValue, directive.defaultText,
                directive.summary + (directive.isOurs ? " Not in php-fpm." : ""), effect,
            ]
            return "| \(cells.map { $0.pieces(at: "|").joined(separator: "\\|") }.joined(separator: " | ")) |"
        }
        let head = ["| directive | value | default | meaning | effect |", "| --- | --- | --- | --- | --- |"]
        return (head + rows).joined(separator: "\n")
    }
}
