/// Something in which fpmd differs from php-fpm on purpose.
struct DeliberateDifference {
    /// The case, as named in its test; a trailing `*` stands for anything.
    let test: String
    /// The part of the exchange; nil for all.
    let part: String?
    let reason: String

    func covers(_ name: String, _ part: String) -> Bool {
        guard self.part == nil || self.part == part else { return false }
        guard test.hasSuffix("*") else { return test == name }
        return name.hasPrefix(test.dropLast())
    }
}

/// All of them.
///
/// Whatever is not listed here must be the same.
let deliberateDifferences: [DeliberateDifference] = [
    DeliberateDifference(
        test: "HTTP_PROXY in getenv()",
        part: "body",
        reason: "php-fpm shows the header Proxy in the array of getenv() (CVE-2016-5385 class)"
    ),
    DeliberateDifference(
        test: "PHP_VALUE afterwards",
        part: "body",
        reason: "php-fpm keeps settings of one request's parameters for the life of the worker"
    ),
    DeliberateDifference(
        test: "PHP_BINARY",
        part: "body",
        reason: "the path of the program that runs PHP is another"
    ),
    DeliberateDifference(
        test: "cgi.fix_pathinfo=1 doc_root=*",
        part: nil,
        reason: "with doc_root fpmd applies limit_extensions to the file that is opened, php-fpm to another"
    ),
    DeliberateDifference(
        test: "empty script",
        part: nil,
        reason:
            "an empty SCRIPT_FILENAME is no script: 404; php-fpm says 403, and its worker ends without a list"
    ),
    DeliberateDifference(
        test: "worker output, control characters",
        part: "line",
        reason: "fpmd writes them as \\xNN, so that a script cannot control the terminal that shows the log"
    ),
    DeliberateDifference(
        test: "arguments [\"-tt\", \"-y\", \"/etc\"]",
        part: "text",
        reason: "php-fpm reads a directory as an empty file, fpmd says that it is one"
    ),
    DeliberateDifference(
        test: "configuration global error_log = syslog",
        part: "text",
        reason: "what goes to stderr keeps its form although the log is syslog"
    ),
]

/// Log lines that only one of the programs writes, or both in their own words, on purpose.
struct DeliberateLine: Sendable {
    /// What the line contains; it is left out on both sides.
    let text: String
    let reason: String
}

/// What fpmd adds to a line of php-fpm's, on purpose: a hint at the remedy, or at what was probably meant.
///
/// - Parameter text: Lines of a log.
/// - Returns: The same without it.
func withoutHints(_ text: String) -> String {
    text.replacing(
        #/; (did you mean '|'[^']*' (belongs in|takes no|needs) |expected NAME = |this is .*:\d+; (put|the name of a section) |make the directory |write one, as |a part of |let the user |[^;]* is (a directory|read-only here): ).*$/#
            .anchorsMatchLineEndings(),
        with: ""
    )
}

/// All of them.
let deliberateLines: [DeliberateLine] = [
    DeliberateLine(
        text: "NOTICE: systemd monitor ",
        reason: "fpmd speaks of systemd only when it runs under it"
    ),
    DeliberateLine(
        text: "NOTICE: reloading: ",
        reason: "php-fpm executes itself anew, fpmd starts a new generation of its pools"
    ),
]
