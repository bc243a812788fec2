/// The line in which PHP says that it cannot read php.ini to its end (`ini_error` in Zend/zend_ini_parser.y).
public enum INIErrorLine {
    /// What stands before the error itself.
    public static let prefix = "PHP:  "

    /// Whether a line that PHP has printed while it started is one.
    public static func matches(_ line: some Sequence<UInt8>) -> Bool {
        line.starts(with: "\(prefix)syntax error".utf8)
    }
}
