import Foundation
import TestSupport
import Testing

/// What `fpmctl` says to somebody who uses it for the first time: one clear line, and the right exit status.
@Suite(.daemons, .fpmdOnly("php-fpm has no fpmctl"))
struct ControlErrorTests {
    private static let commands = [
        ["status"], ["status", "www", "-w"], ["top"], ["top", "--json"], ["health"], ["health", "live"],
        ["reload"],
        ["reload", "www"], ["restart"], ["trace", "www"], ["recycle", "www"], ["scale", "www", "3"],
        ["drain", "www"],
        ["drain", "www", "--wait"], ["undrain", "www"], ["opcache", "status", "www"],
        ["opcache", "status", "www", "--scripts"], ["opcache", "reset", "www"],
    ]

    /// The one line that a command says, which is all it says.
    private func complaint(_ words: [String], status: Int32, wrapper: [String] = []) throws -> String {
        let result = try run(wrapper + [Control.program] + words)
        #expect(result.status == .code(status), "\(words): \(result.errors)")
        #expect(result.output.isEmpty, "\(words): \(result.output)")
        #expect(
            result.errors.hasPrefix("fpmctl: ") && result.errors.hasSuffix("\n"),
            "\(words): \(result.errors)"
        )
        #expect(result.errors.count(where: { $0 == "\n" }) == 1, "\(words): \(result.errors)")
        return String(result.errors.dropFirst("fpmctl: ".count).dropLast())
    }

    @Test func noMaster() throws {
        let directory = try TestContext.required().makeDirectory("none")
        for command in Self.commands where command != ["top", "--json"] {
            let line = try complaint(command + ["--socket", directory + "/s"], status: 69)
            #expect(
                line.hasPrefix(
                    "there is no control socket \(directory)/s: fpmd is not running, or has another"
                )
            )
        }
        // Where output is JSON the error is, too.
        for command in Self.commands {
            let result = try run([Control.program] + command + ["--json", "--socket", directory + "/s"])
            #expect(result.status == .code(69) && result.errors.isEmpty, "\(command)")
            #expect(result.output.contains(#""code": "notRunning""#), "\(command): \(result.output)")
        }
    }

    @Test func socketsThatAreNone() throws {
        let daemon = try Control.start("pm = static\npm.max_children = 1\n")
        daemon.allowLog(/.*/)
        let file = daemon.directory + "/file"
        try Data().write(to: URL(fileURLWithPath: file))
        #expect(try complaint(["status", "-s", file], status: 69).contains("/file is no socket"))
        #expect(try complaint(["status", "-s", daemon.directory], status: 69).contains("is no socket"))
        #expect(
            try complaint(["status", "-s", file + "/x"], status: 69).hasSuffix("/file/x: Not a directory")
        )
        #expect(
            try complaint(["status", "-s", ""], status: 64).contains("has 1 to 107 bytes, this one has 0")
        )
        let long = "/" + String(repeating: "x", count: 200)
        #expect(try complaint(["status", "-s", long], status: 64).contains("this one has 201: /xxx"))
        // The pool's own socket is a common mistake.
        let pools = try complaint(["status", "-s", daemon.directory + "/fpm.sock"], status: 74)
        #expect(pools.contains("was closed without an answer") && pools.contains("a pool's listen"))
        // One that was left behind.
        let left = daemon.directory + "/left.sock"
        close(try bound(left))
        #expect(try complaint(["reload", "-s", left], status: 69).hasPrefix("nobody listens on \(left)"))
    }

    /// Of thousands of pools no reload needs the figures, least of all that of one pool.
    @Test func reloadsAskForTheMasterAlone() throws {
        let path = try TestContext.required().makeDirectory("asked") + "/s"
        let listener = try bound(path)
        defer { close(listener) }
        try #require(listen(listener, 3) == 0)
        for command in [["reload"], ["reload", "www"], ["restart"]] {
            _ = try complaint(command + ["--timeout", "0.2", "-s", path], status: 75)
            let connection = accept(listener, nil, nil)
            defer { close(connection) }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(connection, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            let request = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
            #expect(request.contains(#""command":"status""#) && request.contains(#""count":0"#), "\(request)")
        }
    }

    /// A socket with a file; nobody listens yet.
    private func bound(_ path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if result != 0 { throw TestFailure("cannot bind \(path)") }
        return descriptor
    }

    @Test func fullDisk() throws {
        let daemon = try Control.start("pm = static\npm.max_children = 1\n")
        let wrapper = ["/bin/sh", "-c", #"exec "$0" "$@" >/dev/full"#]
        for command in [["status"], ["status", "--json"], ["health"]] {
            let line = try complaint(
                command + ["--socket", daemon.controlSocket],
                status: 74,
                wrapper: wrapper
            )
            #expect(line == "cannot write to stdout: No space left on device")
        }
    }

    @Test(.needsRoot) func noPermission() throws {
        let daemon = try Control.start("pm = static\npm.max_children = 1\n")
        for command in Self.commands where command != ["top", "--json"] {
            let line = try complaint(
                command + ["--socket", daemon.controlSocket],
                status: 77,
                wrapper: ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
            )
            #expect(
                line.hasPrefix("no permission for \(daemon.controlSocket): run fpmctl as root"),
                "\(line)"
            )
        }
    }

    @Test func unknownPools() throws {
        let daemon = try Control.start("pm = static\npm.max_children = 1\n")
        for command in [
            ["status", "ww"], ["top", "--pool", "ww"], ["health", "ready", "ww"], ["reload", "ww"],
            ["trace", "ww"],
            ["recycle", "ww"], ["scale", "ww", "3"], ["drain", "ww"], ["undrain", "ww"],
            ["opcache", "status", "ww"],
        ] {
            let line = try complaint(command + ["--socket", daemon.controlSocket], status: 64)
            #expect(line == "there is no pool 'ww'; did you mean 'www'?")
        }
        let other = try complaint(["drain", "database", "-s", daemon.controlSocket], status: 64)
        #expect(other == "there is no pool 'database'; there are: www")
        #expect(
            try complaint(["trace", "1", "-s", daemon.controlSocket], status: 64)
                == "process 1 is not a worker of a pool that serves"
        )
    }

    @Test(arguments: [
        (["frobnicate"], "there is no command 'frobnicate' (fpmctl --help lists them)"),
        (["statu"], "there is no command 'statu'; did you mean 'status'? (fpmctl --help lists them)"),
        (
            ["status", "--wrkers"],
            "Unknown option '--wrkers'. Did you mean '--workers'? (see fpmctl status --help)"
        ),
        (["--frob"], "Unknown option '--frob' (see fpmctl --help)"),
        (["status", "a", "b"], "Unexpected argument 'b' (see fpmctl status --help)"),
        (["status", "--socket"], "Missing value for '--socket <path>' (see fpmctl status --help)"),
        (["scale", "www"], "Missing expected argument '<count>' (see fpmctl scale --help)"),
        (["scale", "www", "many"], "The value 'many' is invalid for '<count>' (see fpmctl scale --help)"),
        (["top", "-i", "0"], "--interval takes 0.1 to 60 seconds (see fpmctl top --help)"),
        (
            ["status", "--timeout", "0"],
            "--timeout takes more than 0 and at most 86400 seconds (see fpmctl status --help)"
        ),
        (["opcache", "invalidate", "www"], "Which file? (see fpmctl opcache --help)"),
        (["opcache", "reset", "www", "--scripts"], "--scripts goes with status (see fpmctl opcache --help)"),
    ]) func wrongUsage(_ words: [String], _ expected: String) throws {
        let line = try complaint(words, status: 64)
        #expect(line == expected)
    }

    @Test func doctorWithoutAConfiguration() throws {
        let result = try run([Control.program, "doctor", "-y", "/none/fpm.conf", "-s", "/none/s"])
        #expect(result.status == .code(78))
        #expect(
            result.output.contains(
                "PROBLEM  failed to open configuration file '/none/fpm.conf': No such file"
            )
        )
        #expect(result.output.contains("-> name the file with -y"))
    }

    @Test(.needsRoot) func doctorThatMayNotReadTheConfiguration() throws {
        let file = try TestContext.required().makeDirectory("barred") + "/fpm.conf"
        try Data().write(to: URL(fileURLWithPath: file))
        chmod(file, 0o600)
        let nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
        let result = try run(nobody + [Control.program, "doctor", "-y", file, "-s", "/none/s"])
        #expect(result.status == .code(78))
        #expect(result.output.contains("Permission denied"))
        #expect(result.output.contains("-> run fpmctl doctor as root"), "\(result.output)")
    }
}
