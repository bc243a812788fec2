import Foundation
import TestSupport
import Testing

/// What others hand over, count and watch: inherited sockets, emergency restarts, figures while workers come and go.
@Suite(.daemons) struct SupervisionTests {
    private static let pool = "pm = static\npm.max_children = 1\n"

    /// Makes a listening socket at `$0`, names it and a plain file in FPM_SOCKETS, and becomes the rest.
    private static let supervisor = #"""
        use Socket;
        $^F = 255;
        my $path = shift;
        socket(my $listener, PF_UNIX, SOCK_STREAM, 0) or die;
        bind($listener, sockaddr_un($path)) or die "$path: $!";
        chmod(0666, $path) or die;
        listen($listener, 64) or die;
        open(my $plain, "<", "/dev/null") or die;
        $ENV{FPM_SOCKETS} = "$path=" . fileno($listener) . ",/no/such/socket=" . fileno($plain);
        exec @ARGV or die;
        """#

    @Test func socketsOfTheEnvironment() throws {
        let directory = try TestContext.required().makeDirectory("inherited")
        let path = directory + "/s.sock"
        var options = Daemon.Options()
        options.wrapper = ["perl", "-e", Self.supervisor, path]
        let daemon = try Daemon.start(
            "[www]\nuser = www-data\ngroup = www-data\nlisten = \(path)\n" + Self.pool,
            options
        )
        daemon.allowLog(/is not a listening socket; not used/)
        #expect(daemon.log.count(of: try Regex("using inherited socket fd=\\d+, \"\(path)\"")) == 1)
        if !Program.underTest.isReference {
            #expect(
                daemon.log.count(of: /fd=\d+, "\/no\/such\/socket" is not a listening socket; not used/) == 1
            )
        }
        let connection = try FastCGIConnection(.unix(path))
        try connection.send(daemon.makeRequest("/hello.php"))
        #expect(try connection.finalResponse().text == "hello, world\n")
    }

    @Test(.fpmdOnly("removes whatever is there")) func fileInThePlaceOfAnInheritedSocketStays() throws {
        let directory = try TestContext.required().makeDirectory("inherited")
        let path = directory + "/s.sock"
        var options = Daemon.Options()
        options.wrapper = ["perl", "-e", Self.supervisor, path]
        let daemon = try Daemon.start(
            "[www]\nuser = www-data\ngroup = www-data\nlisten = \(path)\n" + Self.pool,
            options
        )
        daemon.allowLog(/is not a listening socket; not used/)
        #expect(rename(path, path + ".moved") == 0)
        try "data".write(toFile: path, atomically: false, encoding: .utf8)
        try daemon.stop()
        #expect(readText(path) == "data")
    }

    @Test func emergencyRestart() throws {
        var options = Daemon.Options()
        options.global = "emergency_restart_threshold = 3\nemergency_restart_interval = 1m"
        let daemon = try Daemon.startPool(Self.pool, options)
        daemon.allowLog(/(exited|crashed) on signal 11 \(SIGSEGV/)
        daemon.allowLog(/failed processes threshold \(3 in 60 sec\) is reached, initiating reload/)
        // Ends on other signals are none of it.
        daemon.allowLog(/(exited|cut off) on signal 9 \(SIGKILL/)
        for _ in 1...3 {
            _ = try daemon.get("/die.php", query: "signal=9")
            try daemon.waitForLog(/exited on signal 9/)
        }
        for _ in 1...3 {
            #expect(daemon.log.count(of: /threshold/) == 0)
            _ = try daemon.get("/die.php", query: "signal=11")
            try daemon.waitForLog(/exited on signal 11/)
        }
        try daemon.waitForLog(/failed processes threshold \(3 in 60 sec\) is reached, initiating reload/)
        try daemon.waitForLog(/ready to handle connections/)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        // The count starts anew.
        _ = try daemon.get("/die.php", query: "signal=11")
        try daemon.waitForLog(/exited on signal 11/)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        #expect(daemon.log.count(of: /threshold/) == 1)
    }

    @Test(.fpmdOnly("uses it"), arguments: ["epoll", "poll", "select"]) func eventMechanism(name: String)
        throws
    {
        var options = Daemon.Options()
        options.global = "events.mechanism = \(name)"
        let daemon = try Daemon.startPool(Self.pool, options)
        let said = daemon.log.count(of: /NOTICE: events.mechanism = \w+: the event loop is epoll/)
        #expect(said == (name == "epoll" ? 0 : 1))
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
    }

    /// Whenever one looks, active and idle workers add up to the total, and that is within the limit.
    @Test(arguments: [
        "pm = dynamic\npm.max_children = 6\npm.start_servers = 2\npm.min_spare_servers = 1\npm.max_spare_servers = 2\n",
        "pm = ondemand\npm.max_children = 6\npm.process_idle_timeout = 1s\n",
        "pm = static\npm.max_children = 6\n",
    ]) func figuresUnderChurn(style: String) throws {
        let daemon = try Daemon.startPool(
            style + "pm.max_requests = 7\npm.status_path = /status\npm.status_listen = {{SOCKET:status}}"
        )
        daemon.allowLog(/server reached|seems busy|(exited|cut off) on signal 9/)
        var samples = 0
        for round in 1...40 {
            let connections = try (1...12).map { _ in try daemon.begin("/hello.php") }
            if round.isMultiple(of: 8), let worker = daemon.workers().first { kill(worker.pid, SIGKILL) }
            for _ in 1...6 {
                let status = try daemon.get("/status", query: "json", from: "status").json
                let active = try #require(status["active processes"] as? Int)
                let idle = try #require(status["idle processes"] as? Int)
                let total = try #require(status["total processes"] as? Int)
                #expect(active >= 0 && idle >= 0 && active + idle == total && total <= 6)
                samples += 1
            }
            for connection in connections { _ = try? connection.finalResponse() }
        }
        #expect(samples == 240)
    }
}
