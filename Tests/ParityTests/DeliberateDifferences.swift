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

/// All of them. Whatever is not listed here must be the same.
let deliberateDifferences: [DeliberateDifference] = [
    DeliberateDifference(
        test: "HTTP_PROXY in getenv()", part: "body",
        reason: "php-fpm shows the header Proxy in the array of getenv() (CVE-2016-5385 class)"),
    DeliberateDifference(
        test: "PHP_VALUE afterwards", part: "body",
        reason: "php-fpm keeps settings of one request's parameters for the life of the worker"),
    DeliberateDifference(
        test: "PHP_BINARY", part: "body", reason: "the path of the program that runs PHP is another"),
    DeliberateDifference(
        test: "access log, long line", part: "line", reason: "php-fpm writes a NUL where it cuts a long line"),
]
