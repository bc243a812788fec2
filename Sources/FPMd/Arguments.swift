internal import CEpoll
internal import Configuration
internal import Glibc

/// The command line: php-fpm's options, in php-fpm's grammar.
struct Arguments {
    /// What is asked for at once, in order of appearance, or by the first error.
    enum Immediate { case help, modules, version, usageError }

    var iniPath: ByteString?
    var noIni = false
    var defines: [(name: ByteString, value: ByteString)] = []
    var extendedInfo = false
    var showsInfo = false
    var configurationFile: ByteString?
    /// `-t` given so often.
    var testCount = 0
    var prefix: ByteString?
    var pidFile: ByteString?
    var allowsRoot = false
    var daemonize: Bool?
    var forcesStandardError = false
    var immediate: Immediate?
    /// Nothing is only shown or tested.
    var startsService: Bool { immediate == nil && !showsInfo && testCount == 0 }
    /// What is wrong, for a usage error.
    private(set) var complaint = ""

    private static let options: [(StaticString, Character, Bool)] = [
        ("php-ini", "c", true), ("no-php-ini", "n", false), ("define", "d", true),
        ("profile-info", "e", false),
        ("help", "h", false), ("usage", "?", false), ("info", "i", false), ("modules", "m", false),
        ("version", "v", false), ("fpm-config", "y", true), ("test", "t", false), ("prefix", "p", true),
        ("pid", "g", true), ("allow-to-run-as-root", "R", false), ("daemonize", "D", false),
        ("nodaemonize", "F", false), ("force-stderr", "O", false),
    ]

    /// Reads the process's arguments; an option that acts at once ends the reading.
    ///
    /// - Parameter first: How many words in front are left out.
    init(from first: Int = 0) {
        let count = CommandLine.argc - CInt(first)
        let words = CommandLine.unsafeArgv + first
        let table = Self.options.map { name, letter, hasArgument in
            cepoll_option(
                name: UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self),
                letter: CChar(letter.asciiValue ?? 0),
                has_argument: hasArgument
            )
        }
        var position: CInt = 1
        while immediate == nil {
            var value: UnsafePointer<CChar>?
            let word = position
            let letter = cepoll_next_option(
                count,
                words,
                table,
                table.count,
                &value,
                &position
            )
            if letter == CInt(CEPOLL_OPTIONS_END) { break }
            guard letter >= 0, let scalar = Unicode.Scalar(UInt32(letter)) else {
                immediate = .usageError
                let text = word < count ? words[Int(word)].map { String(cString: $0) } ?? "" : ""
                complaint = "wrong option, or one without its value: '\(text)'"
                return
            }
            take(
                Character(scalar),
                value.map { ByteString(UnsafeRawBufferPointer(start: $0, count: strlen($0))) } ?? ByteString()
            )
        }
        // `-i` comes before this check, as in php-fpm.
        if immediate == nil, !showsInfo, position < count {
            immediate = .usageError
            let text = words[Int(position)].map { String(cString: $0) } ?? ""
            complaint = "there is nothing to do with '\(text)': only options are taken"
        }
    }

    private mutating func take(_ letter: Character, _ value: ByteString) {
        switch letter {
        case "c": iniPath = value
        case "n": noIni = true
        case "d": define(value)
        case "e": extendedInfo = true
        case "h", "?": immediate = .help
        case "i": showsInfo = true
        case "m": immediate = .modules
        case "v": immediate = .version
        case "y": configurationFile = value
        case "t": testCount += 1
        case "p": prefix = value
        case "g": pidFile = value
        case "R": allowsRoot = true
        case "D": daemonize = true
        case "F": daemonize = false
        case "O": forcesStandardError = true
        default: immediate = .usageError
        }
    }

    /// `foo[=bar]`: without a value it is `1`.
    private mutating func define(_ text: ByteString) {
        guard let equals = text.bytes.firstIndex(of: UInt8(ascii: "=")) else {
            return defines.append((text, "1"))
        }
        defines.append((ByteString(text.bytes[..<equals]), ByteString(text.bytes[(equals + 1)...])))
    }

    /// The usage text; its first word is what the program was called if that has a slash, else `php`.
    static func usage(_ executable: String, prefix: String) -> String {
        let name = executable.contains("/") ? String(executable.split(separator: "/").last ?? "php") : "php"
        return """
            Usage: \(name) [-n] [-e] [-h] [-i] [-m] [-v] [-t] [-p <prefix>] [-g <pid>] [-c <file>] [-d foo[=bar]] [-y <file>] [-D] [-F [-O]]
              -c <path>|<file> Look for php.ini file in this directory
              -n               No php.ini file will be used
              -d foo[=bar]     Define INI entry foo with value 'bar'
              -e               Generate extended information for debugger/profiler
              -h               This help
              -i               PHP information
              -m               Show compiled in modules
              -v               Version number
              -p, --prefix <dir>
                               Specify alternative prefix path to FastCGI process manager (default: \(prefix)).
              -g, --pid <file>
                               Specify the PID file location.
              -y, --fpm-config <file>
                               Specify alternative path to FastCGI process manager config file.
              -t, --test       Test FPM configuration and exit
              -D, --daemonize  force to run in background, and ignore daemonize option from config file
              -F, --nodaemonize
                               force to stay in foreground, and ignore daemonize option from config file
              -O, --force-stderr
                               force output to stderr in nodaemonize even if stderr is not a TTY
              -R, --allow-to-run-as-root
                               Allow pool to run as root (disabled by default)

            """
    }
}
