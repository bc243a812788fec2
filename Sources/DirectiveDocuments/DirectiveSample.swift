internal import Configuration

/// The directives as a configuration file in which every line is a comment.
enum DirectiveSample {
    static var text: String {
        """
        ; fpmd: every directive, with its default. Nothing here is in force: copy the lines you want to change
        ; into fpmd.conf or a file of pool.d, without the semicolon. Where there is no value, the default is told in words.
        ; fpmd.conf(5) has the language. This file is written from the directive table in Sources/Configuration.

        ;[global]

        \(section(.global))

        ;[www]

        \(section(.pool))

        """
    }

    private static func section(_ scope: Directive.Scope) -> String {
        Directive.all(in: scope).map(entry).joined(separator: "\n\n")
    }

    private static func entry(_ directive: Directive) -> String {
        var remarks = directive.isOurs ? ["Not in php-fpm."] : []
        if !directive.defaultIsLiteral { remarks.append("Default: \(directive.defaultText).") }
        if case .notYet = directive.effect { remarks.append("Read, but without effect yet.") }
        let words = ([directive.summary] + remarks).joined(separator: " ")
        let value = directive.defaultIsLiteral ? " \(quoted(directive.defaultText))" : ""
        return "; \(words)\n;\(directive.name) =\(value)"
    }

    /// A value as it must stand in a file: in quotes where it has a character that means something there.
    private static func quoted(_ value: String) -> String {
        let special: Set<Character> = ["=", ";", "&", "|", "^", "~", "!", "(", ")", "\"", "%", "{", "}", "$"]
        guard value.contains(where: { special.contains($0) }) else { return value }
        return "\"\(value.pieces(at: "\"").joined(separator: "\\\""))\""
    }
}
