internal import Configuration

/// The directives as the manual page fpmd.conf(5).
enum DirectiveManual {
    static var text: String { introduction + list(.global) + poolIntroduction + list(.pool) + closing }

    private static let introduction = #"""
        .\" Written from the directive table in Sources/Configuration by scripts/generate.
        .Dd November 25, 2026
        .Dt FPMD.CONF 5
        .Os
        .Sh NAME
        .Nm fpmd.conf
        .Nd configuration of fpmd, a FastCGI process manager for PHP
        .Sh DESCRIPTION
        .Xr fpmd 8
        reads php-fpm's configuration files.
        A file consists of sections, directives and comments:
        .Bd -literal -offset indent
        ; a comment, to the end of the line
        [section]
        name = value
        name[key] = value
        .Ed
        .Pp
        The section
        .Ic [global]
        is about the master; directives before the first section belong to it.
        A section of any other name is a pool: a set of workers with addresses, a user and PHP settings of its own.
        At least one pool is needed.
        .Pp
        A value with any of
        .Ql = \&; & | ^ ~ \&! \&( \&)
        stands in double quotes.
        .Li ${NAME}
        is replaced by the environment variable of that name, and a PHP constant by its value.
        .Pp
        Values are of these kinds:
        .Bl -tag -width "boolean"
        .It boolean
        .Ql yes , on , true , 1
        or
        .Ql no , off , false , 0 .
        .It time
        A number of seconds, or of minutes, hours or days with the suffix
        .Ql m ,
        .Ql h
        or
        .Ql d .
        .It size
        A number of bytes, or of KiB, MiB or GiB with the suffix
        .Ql K ,
        .Ql M
        or
        .Ql G .
        .It log level
        .Ql debug ,
        .Ql notice ,
        .Ql warning ,
        .Ql error
        or
        .Ql alert .
        .It array
        A directive that may be given many times; each line adds an element.
        .El
        .Pp
        Check a configuration with
        .Ql fpmd -t ,
        and show every value with
        .Ql fpmd -tt .
        A new configuration takes effect on a reload
        .Pq Dv SIGUSR2 ;
        one that is not valid is refused, and the old one goes on serving.
        .Sh GLOBAL DIRECTIVES

        """#

    private static let poolIntroduction = """
        .Sh POOL DIRECTIVES
        .Ql $pool
        in a value is the pool's name.

        """

    private static let closing = #"""
        .Sh FILES
        .Bl -tag -width Ds
        .It Pa /etc/fpmd/fpmd.conf , /etc/fpmd/pool.d/*.conf
        What the packaged service reads.
        .It Pa /etc/php/8.2/fpm/php-fpm.conf
        What
        .Xr fpmd 8
        reads unless
        .Fl y
        names another file.
        .It Pa /usr/share/doc/fpmd/examples/all-directives.conf
        Every directive in a comment, with its default.
        .El
        .Sh EXAMPLES
        A pool of at most ten workers behind a Unix socket:
        .Bd -literal -offset indent
        [shop]
        user = shop
        listen = /run/fpmd/$pool.sock
        listen.owner = www-data
        pm = dynamic
        pm.max_children = 10
        pm.min_spare_servers = 1
        pm.max_spare_servers = 3
        php_admin_value[memory_limit] = 256M
        .Ed
        .Sh SEE ALSO
        .Xr fpmd 8 ,
        .Xr php-fpm8.2 8

        """#

    private static func list(_ scope: Directive.Scope) -> String {
        ".Bl -tag -width Ds\n" + Directive.all(in: scope).map(entry).joined() + ".El\n"
    }

    private static func entry(_ directive: Directive) -> String {
        var lines = [".It Cm \(escaped(directive.name.description)) No = Ar \(argument(directive.kind))"]
        lines += sentences(directive.summary)
        if case .notYet = directive.effect { lines.append("Read and checked, but without effect yet.") }
        if directive.isOurs { lines.append("Not in php-fpm.") }
        let value =
            directive.defaultIsLiteral
            ? "\\fB\(escaped(directive.defaultText))\\fR" : escaped(directive.defaultText)
        lines.append("Default: \(value).")
        return lines.map { $0 + "\n" }.joined()
    }

    /// The kind as the arguments of a macro: words between them would be taken for values.
    private static func argument(_ kind: DirectiveKind) -> String {
        switch kind {
        case .processManager: "static | dynamic | ondemand"
        case .coreLimit: "integer | unlimited"
        case .logLevel: "\"log level\""
        case .facility: "\"syslog facility\""
        case .array: "value"
        case .text, .boolean, .integer, .time, .size: kind.rawValue
        }
    }

    /// One sentence a line, as mdoc wants them; what is between backquotes is bold.
    private static func sentences(_ text: String) -> [String] {
        var words: [String] = []
        var lines: [String] = []
        for word in text.pieces(at: " ") {
            words.append(String(word))
            if word.hasSuffix(".") {
                lines.append(words.joined(separator: " "))
                words = []
            }
        }
        if !words.isEmpty { lines.append(words.joined(separator: " ")) }
        return lines.map { line in
            // Even pieces are outside of backquotes, odd ones inside.
            line.pieces(at: "`").enumerated().map { index, piece in
                index.isMultiple(of: 2) ? escaped(String(piece)) : "\\fB\(escaped(String(piece)))\\fR"
            }
            .joined()
        }
    }

    /// Text without a meaning to the typesetter, in ASCII.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\e"
            case "\"": result += "\\(dq"
            case "-": result += "\\-"
            case _ where scalar.isASCII: result.unicodeScalars.append(scalar)
            default:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                result += "\\[u\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits)]"
            }
        }
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }
}
