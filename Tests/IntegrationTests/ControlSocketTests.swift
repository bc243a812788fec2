import Foundation
import TestSupport
import Testing

/// Who may use the control socket, and what it does with those who misuse it.
@Suite(.daemons, .fpmdOnly("php-fpm has no control socket"))
struct ControlSocketTests {
    private static let pool = "pm = static\npm.max_children = 1\n"

    /// Sends bytes on a connection of their own and returns all that comes until the other end closes, or a whole line.
    private static func exchange(_ daemon: Daemon, _ bytes: [UInt8]) throws -> String {
        let connection = try RawConnection(daemon.controlSocket)
        connection.send(bytes)
        return try connection.readLine()
    }

    /// Whoever wants to know of the master has it look at no pool.
    @Test func statusOfTheMasterAlone() throws {
        let daemon = try Control.start(Self.pool)
        let none = try Self.exchange(
            daemon,
            Array(#"{"version":1,"command":"status","count":0}"#.utf8) + [10]
        )
        #expect(none.contains(#""state":"serving""#) && none.contains(#""pools":[]"#), "\(none)")
        let one = try Self.exchange(daemon, Array(#"{"version":1,"command":"status","count":1}"#.utf8) + [10])
        #expect(one.contains(#""name":"www""#), "\(one)")
    }

    @Test func socketIsTheMastersAlone() throws {
        let daemon = try Control.start(Self.pool)
        var info = stat()
        #expect(lstat(daemon.controlSocket, &info) == 0 && info.st_mode & 0o777 == 0o600)
        try daemon.stop()
        #expect(lstat(daemon.controlSocket, &info) != 0)
    }

    @Test(.needsRoot) func strangersAreRefusedAndNamed() throws {
        let daemon = try Control.start(Self.pool)
        let nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
        let barred = try daemon.ctl("status", wrapper: nobody)
        #expect(barred.status == .code(77))
        #expect(barred.errors.contains("no permission for \(daemon.controlSocket)"))
        // Even where the file lets them in.
        chmod(daemon.controlSocket, 0o666)
        daemon.allowLog(/control socket/)
        let refused = try daemon.ctl("reload", wrapper: nobody)
        #expect(refused.status == .code(77))
        #expect(refused.errors.contains("user 65534 may not use this socket"))
        try daemon.waitForLog(#/WARNING: control socket .*: process \d+ of user 65534 is refused: /#)
        #expect(daemon.log.count(of: /reload/) == 0)
        // Said once, however often they try.
        for _ in 1...5 { #expect(try daemon.ctl("status", wrapper: nobody).status == .code(77)) }
        #expect(daemon.log.count(of: /is refused/) == 1)
        #expect(try daemon.ctl("status").status == .code(0))
    }

    @Test(.needsRoot) func groupMayLookOnly() throws {
        let daemon = try Control.start(Self.pool, global: "control.group = daemon\n")
        daemon.allowLog(/control socket/)
        var info = stat()
        #expect(lstat(daemon.controlSocket, &info) == 0 && info.st_mode & 0o777 == 0o660)
        // By its primary group, and by a supplementary one.
        for groups in [
            ["--regid", "daemon", "--clear-groups"], ["--regid", "nogroup", "--groups", "daemon"],
        ] {
            let member = ["setpriv", "--reuid", "nobody"] + groups
            #expect(try daemon.ctl("status", wrapper: member).status == .code(0))
            #expect(try daemon.ctl("health", wrapper: member).status == .code(0))
            let refused = try daemon.ctl("reload", wrapper: member)
            #expect(refused.status == .code(77))
            #expect(refused.errors.contains("may only look"))
            #expect(try daemon.ctl("top", "--json", "-n", "1", wrapper: member).status == .code(0))
        }
        try daemon.waitForLog(
            #/WARNING: control socket .*: process \d+ of user 65534 is refused: user 65534 may only look; 'reload'/#
        )
        // Each of the others is for root as well.
        let commands = [
            ["restart"], ["trace", "www"], ["recycle", "www"], ["scale", "www", "2"], ["drain", "www"],
            ["undrain", "www"], ["opcache", "status", "www"], ["opcache", "reset", "www"],
        ]
        let member = ["setpriv", "--reuid", "nobody", "--regid", "daemon", "--clear-groups"]
        for command in commands {
            let refused = try run(member + [Control.program] + command + ["--socket", daemon.controlSocket])
            #expect(refused.status == .code(77) && refused.errors.contains("may only look"), "\(command)")
        }
        // Who is in another group is told which one it takes.
        let other = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--groups", "www-data"]
        let barred = try daemon.ctl("status", wrapper: other)
        #expect(barred.status == .code(77))
        #expect(barred.errors.contains("members of the group daemon may look"), "\(barred.errors)")
        // Even where the file lets them in.
        chmod(daemon.controlSocket, 0o666)
        #expect(try daemon.ctl("status", wrapper: other).errors.contains("may not use this socket"))
        #expect(daemon.log.count(of: /Reloading|restart/) == 0)
    }

    /// Nothing depends on the group: built from source, or in a container, there may be none.
    @Test(.needsRoot) func missingGroupIsSaidAndNotFatal() throws {
        let daemon = try Control.start(Self.pool, global: "control.group = nogrouphere\n")
        daemon.allowLog(/control\.group/)
        try daemon.log.waitAnywhere(
            for: #/WARNING: control\.group: there is no group 'nogrouphere'; .*groupadd --system nogrouphere/#
        )
        var info = stat()
        #expect(lstat(daemon.controlSocket, &info) == 0 && info.st_mode & 0o777 == 0o600)
        #expect(try daemon.get("/hello.php").isComplete)
        let doctor = try daemon.ctl("doctor", "--web-user", "root")
        #expect(
            doctor.output.contains(/warning +control\.group: there is no group 'nogrouphere'/),
            "\(doctor)"
        )
        #expect(doctor.output.contains("groupadd --system nogrouphere"))
        // One that is there after a reload counts from then on.
        try daemon.rewriteConfiguration(
            Daemon.poolSection(Self.pool),
            global: Control.directive + "control.group = daemon\n"
        )
        #expect(try daemon.ctl("reload").status == .code(0))
        let member = ["setpriv", "--reuid", "nobody", "--regid", "daemon", "--clear-groups"]
        #expect(try daemon.ctl("status", wrapper: member).status == .code(0))
    }

    @Test func malformedRequestsAreRefused() throws {
        let daemon = try Control.start(Self.pool)
        daemon.allowLog(/control socket/)
        daemon.markDescriptors()
        let requests = [
            "GET / HTTP/1.1\r\n\r\n", "{}\n", "\n", "[[[[[[[[[[[[[[[[[[[[[[\n",
            "{\"version\":1,\"command\":\"stop\"}\n",
            "{\"version\":7,\"command\":\"status\"}\n", "\u{0}\n",
            "{\"version\":1,\"command\":\"opcache\",\"action\":\"scripts\",\"pool\":\"www\",\"order\":\"age\"}\n",
        ]
        for request in requests {
            let answer = try Self.exchange(daemon, Array(request.utf8))
            #expect(answer.contains("\"ok\":false"), "\(request.debugDescription): \(answer)")
        }
        #expect(
            try Self.exchange(daemon, [UInt8](repeating: 0x20, count: 20_000)).contains(
                "longer than 8192 bytes"
            )
        )
        #expect(try Self.exchange(daemon, [0xff, 0xfe, 0x0a]).contains("\"code\":\"malformed\""))
        try daemon.waitForLog(/control socket .*: process \d+ of user \d+ is refused: not JSON/)
        #expect(daemon.log.count(of: /is refused/) == 1)
        #expect(try daemon.ctl("status").status == .code(0))
    }

    @Test func silentAndManyConnectionsKeepNobodyOut() throws {
        let daemon = try Control.start(Self.pool)
        let silent = try (1...40).map { _ in try RawConnection(daemon.controlSocket) }
        #expect(try daemon.ctl("status").status == .code(0))
        #expect(try daemon.get("/hello.php").isComplete)
        withExtendedLifetime(silent) {}
    }

    @Test func requestsSentAheadAreAnsweredInTurn() throws {
        let daemon = try Control.start(Self.pool)
        let connection = try RawConnection(daemon.controlSocket)
        let request = "{\"version\":1,\"command\":\"health\"}\n"
        connection.send(Array((request + request + request).utf8))
        for _ in 1...3 { #expect(try connection.readLine().contains("\"ready\":true")) }
        // In pieces.
        for byte in request.utf8 { connection.send([byte]) }
        #expect(try connection.readLine().contains("\"ready\":true"))
    }

    @Test func missingDirectoryIsSaidAndNotFatal() throws {
        let daemon = try Daemon.startPool(
            Self.pool,
            Daemon.Options(global: "control.socket = {{DIR}}/no/such.sock")
        )
        daemon.allowLog(/no control socket/)
        let pattern =
            #/ERROR: no control socket .*/no/such\.sock: bind: No such file or directory .*make its directory, writable for the master, or set control\.socket/#
        try daemon.log.waitAnywhere(for: pattern)
        #expect(try daemon.get("/hello.php").isComplete)
        // Where it is wanted there after a reload, it is there.
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.pool), global: Control.directive)
        daemon.signal(SIGUSR2)
        try daemon.waitForLog(/ready to handle connections/)
        #expect(try daemon.ctl("status").status == .code(0))
        try daemon.rewriteConfiguration(Daemon.poolSection(Self.pool), global: "control.socket = off\n")
        #expect(
            try daemon.ctl("reload").status == .code(0),
            "who asked for the reload that ends it is answered"
        )
        var info = stat()
        try wait(for: "the socket to go") { lstat(daemon.controlSocket, &info) != 0 }
        #expect(daemon.log.count(of: #/control socket /#) == 1, "nothing is missing that is switched off")
    }

    /// A reload that moves the socket, or lets another group look, says that it worked.
    @Test(.needsRoot) func reloadMovesTheSocketAndItsGroup() throws {
        let daemon = try Control.start(Self.pool)
        daemon.markDescriptors()
        let silent = try RawConnection(daemon.controlSocket)
        func reload(_ global: String, from path: String) throws {
            try daemon.rewriteConfiguration(Daemon.poolSection(Self.pool), global: global)
            let result = try run([Control.program, "reload", "--socket", path])
            #expect(result.status == .code(0), "\(global): \(result.errors)")
        }
        let (old, new) = (daemon.controlSocket, daemon.directory + "/other.sock")
        var info = stat()
        try reload(Control.directive + "control.group = daemon\n", from: old)
        #expect(
            lstat(old, &info) == 0 && info.st_mode & 0o777 == 0o660
                && info.st_gid == getgrnam("daemon").pointee.gr_gid
        )
        let inode = info.st_ino
        try reload(Control.directive, from: old)
        #expect(
            lstat(old, &info) == 0 && info.st_mode & 0o777 == 0o600 && info.st_gid == 0
                && info.st_ino == inode
        )
        let member = ["setpriv", "--reuid", "nobody", "--regid", "daemon", "--clear-groups"]
        #expect(try daemon.ctl("status", wrapper: member).status == .code(77))
        try reload("control.socket = {{DIR}}/other.sock\n", from: old)
        #expect(lstat(old, &info) != 0, "the old one is gone")
        #expect(try silent.readLine().isEmpty, "who waited for nothing is sent away")
        // Where the next one cannot be, this one stays, so that it can be set right.
        daemon.allowLog(/control socket/)
        try reload("control.socket = {{DIR}}/no/such.sock\n", from: new)
        try daemon.waitForLog(
            #/ERROR: control socket .*/no/such\.sock: bind: .*; .*/other\.sock stays as it was/#
        )
        try reload(Control.directive, from: new)
        #expect(try daemon.ctl("status").status == .code(0))
    }

    @Test func runtimeDirectoryOfSystemd() throws {
        let directory = try TestContext.required().makeDirectory("run")
        let daemon = try Daemon.startPool(
            Self.pool,
            Daemon.Options(environment: ["RUNTIME_DIRECTORY": directory])
        )
        let result = try run(
            [Control.program, "status"],
            environment: baseEnvironment.merging(["RUNTIME_DIRECTORY": directory]) { $1 }
        )
        #expect(result.status == .code(0), "\(result.errors)")
        // A second service leaves the first one's socket alone.
        let second = try Daemon.startPool(
            Self.pool,
            Daemon.Options(environment: ["RUNTIME_DIRECTORY": directory])
        )
        try second.log.waitAnywhere(for: /NOTICE: no control socket .* another process listens there/)
        try second.stop()
        #expect(
            try run([Control.program, "health", "--socket", directory + "/fpmd.sock"]).status == .code(0)
        )
        withExtendedLifetime(daemon) {}
    }
}

/// A stream connection that says what it is told.
private final class RawConnection {
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw TestFailure("cannot connect to \(path)") }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) { _ = Foundation.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    /// The next line, or what comes until the other end closes.
    func readLine() throws -> String {
        let deadline = Deadline(in: patience)
        while true {
            if let end = buffer.firstIndex(of: 10) {
                let line = String(decoding: buffer[..<end], as: UTF8.self)
                buffer.removeFirst(end + 1)
                return line
            }
            var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&item, 1, deadline.millisecondsLeft) > 0 else { throw TestFailure("no answer") }
            var chunk = [UInt8](repeating: 0, count: 65536)
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { return String(decoding: buffer, as: UTF8.self) }
            buffer += chunk[0..<count]
        }
    }
}
