internal import Configuration

/// A document that is made from the directive table, so that a new directive is one row and nothing else.
public enum DirectiveDocument: String, CaseIterable, Sendable {
    /// `docs/directives.md`.
    case page
    /// `man/fpmd.conf.5`, in the mdoc language.
    case manual
    /// `conf/all-directives.conf`: each directive in a comment, with its default.
    case sample

    /// The whole document, with a closing line feed.
    public var text: String {
        switch self {
        case .page: DirectivePage.text
        case .manual: DirectiveManual.text
        case .sample: DirectiveSample.text
        }
    }

    /// Where the document is kept, relative to the project's root.
    public var path: String {
        switch self {
        case .page: "docs/directives.md"
        case .manual: "man/fpmd.conf.5"
        case .sample: "conf/all-directives.conf"
        }
    }
}

extension Directive {
    /// The directives of one section, in the order of the `-tt` dump.
    static func all(in scope: Scope) -> [Directive] { all.filter { $0.scope == scope } }

    /// Whether the default is a value that could stand in a file; else it is told in words.
    var defaultIsLiteral: Bool {
        let words: Set = [
            "none", "required", "unset", "any", "between spares", "the user's", "the master's", "the owner's",
        ]
        return !words.contains(defaultText)
    }
}

extension String {
    /// The text cut at each `mark`, empty pieces included.
    func pieces(at mark: Character) -> [Substring] {
        split(separator: mark, omittingEmptySubsequences: false)
    }
}
