import Configuration

/// Constants of PHP 8.2 whose values depend on nothing but Linux, for a host without PHP at hand.
enum PHPConstants {
    /// The text PHP's INI parser puts in the place of `name`; nil for a name that is not in the table.
    static func value(of name: ByteString) -> ByteString? { values[name] }

    private static let values: [ByteString: ByteString] = [
        "E_ERROR": "1", "E_WARNING": "2", "E_PARSE": "4", "E_NOTICE": "8", "E_CORE_ERROR": "16",
        "E_CORE_WARNING": "32", "E_COMPILE_ERROR": "64", "E_COMPILE_WARNING": "128", "E_USER_ERROR": "256",
        "E_USER_WARNING": "512", "E_USER_NOTICE": "1024", "E_STRICT": "2048", "E_RECOVERABLE_ERROR": "4096",
        "E_DEPRECATED": "8192", "E_USER_DEPRECATED": "16384", "E_ALL": "32767",
        "PHP_OS": "Linux", "PHP_OS_FAMILY": "Linux", "PHP_SAPI": "fpm-fcgi", "PHP_EOL": "\n",
        "PHP_INT_MAX": "9223372036854775807", "PHP_INT_MIN": "-9223372036854775808", "PHP_INT_SIZE": "8",
        "PHP_MAXPATHLEN": "4096", "DIRECTORY_SEPARATOR": "/", "PATH_SEPARATOR": ":",
        "INF": "INF", "NAN": "NAN",
    ]
}
