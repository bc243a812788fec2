import Foundation
import TestSupport
import Testing

/// Whoever reads a log may stop doing so: that costs log lines, which are counted, and nothing else.
@Suite(.daemons) struct LogReaderTests {
    private static let pool = "pm = static\npm.max_children = 2\n"

    /// A FIFO with a reader that holds as little as possible.
    private static func makeFIFO(_ path: String) throws -> Int32 {
        try #require(mkfifo(path, 0o666) == 0)
        chmod(path, 0o666)
        let reader = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        try #require(reader >= 0)
        _ = fcntl(reader, 1031 /* F_SETPIPE_SZ */, 4096)
        return reader
    }

    private static func drain(_ descriptor: Int32) -> String {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = read(descriptor, &buffer, buffer.count), count > 0 { text += buffer[..<count] }
        return String(decoding: text, as: UTF8.self)
    }

    @Test(.fpmdOnly("stops until somebody reads")) func stalledErrorLog() throws {
        let directory = try TestContext.required().makeDirectory("fifo")
        let fifo = directory + "/log"
        let reader = try Self.makeFIFO(fifo)
        defer { close(reader) }
        var options = Daemon.Options()
        options.mode = ["-F", "-R", "-O"]
        options.wrapper = ["/bin/sh", "-c", #"log=$0; exec "$@" 2>"$log""#, fifo]
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool(Self.pool + "catch_workers_output = yes", options)
        try wait(for: "an answer") { (try? daemon.get("/hello.php"))?.isComplete == true }
        // Two megabytes: more than the FIFO and the master's memory hold.
        let text = String(repeating: "x", count: 20_000)
        for _ in 1...100 { #expect(try daemon.get("/output.php", query: "stderr=\(text)%0A").isComplete) }
        var log = ""
        try wait(for: "the count of lost lines") {
            log += Self.drain(reader)
            return log.contains("log line(s) lost: what reads or stores this log did not take them\n")
        }
        #expect(log.contains("NOTICE: ready to handle connections\n"))
        // What is not lost is whole.
        for line in log.split(separator: "\n") { #expect(line.hasPrefix("["), "\(line)") }
        #expect(try daemon.get("/hello.php").isComplete)
    }

    @Test(.fpmdOnly("workers stop until somebody reads")) func stalledAccessLog() throws {
        let directory = try TestContext.required().makeDirectory("fifo")
        let reader = try Self.makeFIFO(directory + "/access")
        defer { close(reader) }
        let daemon = try Daemon.startPool(
            Self.pool
                + "catch_workers_output = yes\naccess.log = \(directory)/access\naccess.format = \"%m %r\""
        )
        daemon.allowLog(/said into stderr: "WARNING: \d+ line\(s\) of the access log lost/)
        for _ in 1...600 { #expect(try daemon.get("/hello.php").isComplete) }
        var access = ""
        try wait(for: "the count of lost lines") {
            access += Self.drain(reader)
            _ = try daemon.get("/hello.php")
            return daemon.log.count(of: /line\(s\) of the access log lost/) > 0
        }
        for line in access.split(separator: "\n") { #expect(line == "GET /hello.php") }
    }

    /// Standard error of a service or container may be a socket, which cannot be opened a second time, and is shared.
    @Test(.fpmdOnly("refuses a socket")) func accessLogOnAStreamSocket() throws {
        let directory = try TestContext.required().makeDirectory("stream")
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try #require(listener >= 0)
        defer { close(listener) }
        try #require(Self.bindUnix(listener, directory + "/log") && listen(listener, 1) == 0)
        var options = Daemon.Options()
        options.mode = ["-F", "-R", "-O"]
        options.wrapper = ["perl", "-e", Self.connector, directory + "/log"]
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool(
            Self.pool + "catch_workers_output = yes\naccess.log = /proc/self/fd/2\naccess.format = \"%m %r\"",
            options
        )
        let reader = accept(listener, nil, nil)
        try #require(reader >= 0)
        defer { close(reader) }
        _ = fcntl(reader, F_SETFL, O_NONBLOCK)
        try wait(for: "an answer") { (try? daemon.get("/hello.php"))?.isComplete == true }
        // More than the socket holds.
        for _ in 1...1000 { #expect(try daemon.get("/hello.php").isComplete) }
        var log = ""
        try wait(for: "the count of lost lines") {
            log += Self.drain(reader)
            _ = try daemon.get("/hello.php")
            return log.contains("line(s) of the access log lost")
        }
        for line in log.split(separator: "\n").dropLast() {
            #expect(line == "GET /hello.php" || line.hasPrefix("["), "\(line)")
        }
    }

    /// Becomes its other arguments with a connection to the first one as standard error.
    private static let connector = #"""
        use Socket;
        socket(my $log, PF_UNIX, SOCK_STREAM, 0) or die;
        connect($log, sockaddr_un(shift)) or die;
        open(STDERR, ">&", $log) or die;
        exec @ARGV or die;
        """#

    /// A terminal's controlling side, non-blocking, and the path of the other one.
    private static func openTerminal() throws -> (Int32, String) {
        let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
        try #require(terminal >= 0)
        var (number, isLocked): (UInt32, Int32) = (0, 0)
        try #require(ioctl(terminal, 0x8004_5430 /* TIOCGPTN */, &number) == 0)
        try #require(ioctl(terminal, 0x4004_5431 /* TIOCSPTLCK */, &isLocked) == 0)
        chmod("/dev/pts/\(number)", 0o666)
        return (terminal, "/dev/pts/\(number)")
    }

    /// A terminal takes nothing from one process while another one writes to it.
    @Test func accessLogOnATerminal() throws {
        let (terminal, path) = try Self.openTerminal()
        defer { close(terminal) }
        // Held open, so that the other end is there from the beginning.
        let held = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(held >= 0)
        defer { close(held) }
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 8\ncatch_workers_output = yes\n"
                + "access.log = \(path)\naccess.format = x"
        )
        var log = ""
        let load = Load(
            daemon.makeRequest("/hello.php"),
            to: try daemon.endpoint(),
            expecting: "hello",
            clients: 8
        )
        try wait(for: "requests") {
            log += Self.drain(terminal)
            return load.totals.good >= 10_000
        }
        let totals = try load.stop()
        try wait(for: "a line for each request") {
            log += Self.drain(terminal)
            return log.count(where: { $0 == "\r\n" }) >= totals.good
        }
        #expect(totals.failed == 0, "\(totals)")
    }

    /// The same for lines that the master writes, because all workers are busy.
    @Test(.fpmdOnly("has no answers of the master")) func stalledAccessLogOfTheMaster() throws {
        let directory = try TestContext.required().makeDirectory("fifo")
        let reader = try Self.makeFIFO(directory + "/access")
        defer { close(reader) }
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\nping.path = /ping\n"
                + "access.log = \(directory)/access\naccess.format = \"%m %r %q\""
        )
        daemon.allowLog(/line\(s\) of the access log lost/)
        let blocker = try daemon.hold("blocker")
        try daemon.waitUntilStarted(["blocker"])
        // More than two megabytes: more than the FIFO and the master's memory hold.
        let query = String(repeating: "q", count: 511)
        let connection = try daemon.connect()
        for _ in 1...4500 {
            var request = daemon.makeRequest("/ping", query: query)
            request.keepsConnection = true
            try connection.send(request)
            #expect(try connection.readResponse().text == "pong")
        }
        var access = ""
        try wait(for: "the count of lost lines") {
            access += Self.drain(reader)
            return daemon.log.count(of: /\[pool www\] \d+ line\(s\) of the access log lost/) > 0
        }
        try daemon.releaseHeld()
        #expect(try blocker.finalResponse().isComplete)
        // What is not lost is whole, and in order.
        let lines = access.split(separator: "\n").filter { !$0.contains("hold.php") }
        #expect(lines.count > 1000)
        for line in lines { #expect(line == "GET /ping \(query)") }
    }

    /// Standing in for a syslog daemon that is stopped: its socket is there, and nobody reads.
    @Test(.needsRoot, .fpmdOnly("stops until somebody reads")) func stalledSyslog() throws {
        let directory = try TestContext.required().makeDirectory("syslog")
        let path = directory + "/log"
        let server = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        try #require(server >= 0)
        defer { close(server) }
        _ = fcntl(server, F_SETFL, O_NONBLOCK)
        try #require(Self.bindUnix(server, path))
        var options = Daemon.Options()
        options.global = "error_log = syslog\nsyslog.ident = web"
        options.mode = ["-F", "-R"]
        // A /dev of its own with nothing but what is needed in it.
        options.wrapper = [
            "unshare", "--mount", "/bin/sh", "-c",
            """
            set -e
            new=$0/dev; mkdir "$new"; mount -t tmpfs none "$new"
            for name in null zero full random urandom tty; do : >"$new/$name"; mount --bind "/dev/$name" "$new/$name"; done
            ln -s /proc/self/fd "$new/fd"; ln -s fd/2 "$new/stderr"; mkdir "$new/shm"
            : >"$new/log"; mount --bind "$0/log" "$new/log"
            mount --rbind "$new" /dev
            exec "$@"
            """, directory,
        ]
        options.waitsUntilReady = false
        let daemon = try Daemon.startPool(Self.pool + "catch_workers_output = yes", options)
        try wait(for: "an answer") { (try? daemon.get("/hello.php"))?.isComplete == true }
        let text = String(repeating: "x", count: 20_000)
        for _ in 1...100 { #expect(try daemon.get("/output.php", query: "stderr=\(text)%0A").isComplete) }
        var log = ""
        try wait(for: "the count of lost lines") {
            log += Self.drain(server)
            return log.contains("log line(s) lost")
        }
        #expect(log.contains("]: [NOTICE] ready to handle connections"), "\(log.prefix(2000))")
        #expect(
            log.contains(
                #/<28>\w{3} [ \d]\d \d\d:\d\d:\d\d web\[\d+\]: \[WARNING\] \[pool www\] child \d+ said into stderr: "x+/#
            )
        )
    }

    /// Standing in for a journald whose socket is made anew: workers' lines go there, as the master's do.
    @Test(.needsRoot, .fpmdOnly("has no journal")) func journalWhoseSocketIsMadeAnew() throws {
        let directory = try TestContext.required().makeDirectory("journal")
        chmod(directory, 0o755)
        func listen() throws -> Int32 {
            let path = directory + "/socket"
            unlink(path)
            let server = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            try #require(server >= 0)
            _ = fcntl(server, F_SETFL, O_NONBLOCK)
            try #require(Self.bindUnix(server, path) && chmod(path, 0o666) == 0)
            return server
        }
        func expectLines(_ daemon: Daemon, _ server: Int32) throws {
            var log = ""
            try wait(for: "a line of the access log") {
                log += Self.drain(server)
                guard log.contains(#""GET /hello.php" 200"#) else {
                    _ = try? daemon.get("/hello.php")
                    return false
                }
                return true
            }
        }
        let first = try listen()
        var options = Daemon.Options()
        options.wrapper = [
            "unshare", "--mount", "/bin/sh", "-c",
            """
            set -e
            mount -t tmpfs none /run; mkdir -p /run/systemd/journal; mount --bind "$0" /run/systemd/journal
            exec "$@"
            """, directory,
        ]
        let daemon = try Daemon.startPool(Self.pool + "access.log = journald", options)
        daemon.allowLog(/line\(s\) of the access log lost/)
        try expectLines(daemon, first)
        close(first)
        #expect(try daemon.get("/hello.php").isComplete)
        let second = try listen()
        defer { close(second) }
        try expectLines(daemon, second)
    }

    private static func bindUnix(_ descriptor: Int32, _ path: String) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { target in
            target.copyBytes(from: path.utf8.prefix(target.count - 1))
        }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }
}
