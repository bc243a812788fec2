import Foundation
import TestSupport
import Testing

/// Configuration that is not UTF-8, as files of former times are: every byte goes where it is to go, unchanged.
@Suite(.daemons)
struct RawBytesTests {
    /// Bytes of Latin-1, one for each character.
    private static func latin1(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8($0.value) } }

    private static func cString(_ text: String) -> [CChar] {
        latin1(text).map { CChar(bitPattern: $0) } + [0]
    }

    /// Writes a file whose name and content are Latin-1.
    private static func write(_ text: String, to path: String) throws {
        let descriptor = open(cString(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let bytes = latin1(text)
        try #require(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
    }

    private static func exists(_ path: String) -> Bool { access(cString(path), F_OK) == 0 }

    /// A directory with a configuration in two files; a link named `s` leads to the socket.
    ///
    /// `letter` is in the names of the included file and of the socket.
    private func makeConfiguration(_ global: String, _ pool: String = "", letter: String = "é") throws
        -> String
    {
        let directory = try TestContext.required().makeDirectory("raw")
        try Self.write(
            "[global]\n\(global)\ninclude = \(directory)/caf\(letter).conf\n",
            to: directory + "/fpm.conf"
        )
        try Self.write(
            """
            [www]
            user = www-data
            group = www-data
            listen = \(directory)/s\(letter).sock
            pm = static
            pm.max_children = 1
            \(pool)

            """,
            to: directory + "/caf\(letter).conf"
        )
        try #require(symlink(Self.cString("s\(letter).sock"), directory + "/s") == 0)
        return directory
    }

    private func ask(_ daemon: Daemon, _ directory: String, _ script: String, _ query: String = "") throws
        -> FastCGIResponse
    {
        let connection = try FastCGIConnection(.unix(directory + "/s"))
        try connection.send(daemon.makeRequest(script, query: query))
        return try connection.finalResponse()
    }

    @Test func valuesReachPHP() throws {
        let directory = try makeConfiguration(
            "error_log = /dev/null",
            """
            env[WORD] = "päss"
            php_value[user_agent] = "é"
            php_admin_value[arg_separator.output] = "è"
            """,
            letter: "e"
        )
        var options = Daemon.Options()
        options.configurationFile = directory + "/fpm.conf"
        // The shell makes the byte: an argument here would be UTF-8.
        options.wrapper = ["/bin/sh", "-c", #"exec "$@" -d "$(printf 'from=\351')""#, "sh"]
        let daemon = try Daemon.start("", options)
        try """
        <?php
        $values = [getenv('WORD'), ini_get('user_agent'), ini_get('arg_separator.output'), ini_get('from')];
        echo implode(' ', array_map('bin2hex', $values));
        """.write(toFile: daemon.documentRoot + "/hex.php", atomically: false, encoding: .utf8)
        #expect(try ask(daemon, directory, "/hex.php").text == "70e47373 e9 e8 e9")
    }

    @Test func pathsNameTheirFiles() throws {
        let context = try TestContext.required().makeDirectory("logs")
        let directory = try makeConfiguration(
            "error_log = \(context)/erré.log\npid = \(context)/pidé",
            """
            chdir = \(context)
            access.log = \(context)/accessé.log
            access.format = "%R é %{%H é}t"
            slowlog = \(context)/slowé.log
            request_slowlog_timeout = 1s
            """
        )
        var options = Daemon.Options()
        options.configurationFile = directory + "/fpm.conf"
        let daemon = try Daemon.start("", options)
        daemon.allowLog(/executing too slow/)
        #expect(Self.exists(directory + "/sé.sock"))
        #expect(Self.exists(context + "/pidé"))
        #expect(try ask(daemon, directory, "/slow.php", "seconds=2").text == "slow\n")
        try daemon.waitForLog(/finished trace/)
        for name in ["erré.log", "accessé.log", "slowé.log"] {
            #expect(Self.exists("\(context)/\(name)"), "\(name)")
        }
        // Read through a name that can be read here.
        try #require(rename(Self.cString(context + "/accessé.log"), context + "/access.log") == 0)
        let line = try Data(contentsOf: URL(fileURLWithPath: context + "/access.log"))
        #expect(line.count { $0 == 0xe9 } == 2, "\(String(decoding: line, as: UTF8.self))")
        // Reopened, and made again under their names.
        daemon.signal(SIGUSR1)
        try wait(for: "the access log") { Self.exists(context + "/accessé.log") }
        try daemon.stop()
        #expect(!Self.exists(directory + "/sé.sock"))
        #expect(!Self.exists(context + "/pidé"))
    }

    @Test func directoriesAreFound() throws {
        let place = try TestContext.required().makeDirectory("place") + "/dé"
        try #require(mkdir(Self.cString(place), 0o755) == 0)
        let directory = try makeConfiguration("error_log = /dev/null", "chdir = \(place)", letter: "e")
        var options = Daemon.Options()
        options.configurationFile = directory + "/fpm.conf"
        let daemon = try Daemon.start("", options)
        #expect(try ask(daemon, directory, "/hello.php").text == "hello, world\n")
    }

    /// With `-y` of such a name.
    @Test func optionsNameTheirFiles() throws {
        let directory = try makeConfiguration("error_log = /dev/null", letter: "e")
        try #require(rename(directory + "/fpm.conf", Self.cString(directory + "/fpmé.conf")) == 0)
        var options = Daemon.Options()
        // The last -y counts.
        options.wrapper = ["/bin/sh", "-c", #"exec "$@" -y "$(printf '\#(directory)/fpm\351.conf')""#, "sh"]
        let daemon = try Daemon.start("[other]\nlisten = {{DIR}}/other\n", options)
        #expect(try ask(daemon, directory, "/hello.php").text == "hello, world\n")
    }
}
