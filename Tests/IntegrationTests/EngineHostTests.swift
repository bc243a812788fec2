import Foundation
import TestSupport
import Testing

/// PHP runs in the distribution's own program where that is possible, and in fpmd-php's libphp otherwise.
@Suite(.daemons, .fpmdOnly("is that program"))
struct EngineHostTests {
    private static let pool = "pm = static\npm.max_children = 1\nclear_env = no"

    /// A daemon that was told this about the host, and the program that its worker runs in.
    private static func start(host: String?, preload: String? = nil) throws -> (Daemon, program: String) {
        var options = Daemon.Options()
        options.environment["FPMD_PHP_HOST"] = host ?? "/usr/bin/php8.2"
        options.environment["LD_PRELOAD"] = preload
        let daemon = try Daemon.startPool(pool, options)
        let pid = try daemon.get("/pid.php").text
        return (daemon, try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/exe"))
    }

    @Test func distributionsProgram() throws {
        let (daemon, program) = try Self.start(host: nil)
        #expect(program == "/usr/bin/php8.2")
        #expect(try daemon.get("/hello.php").status == 200)
        // What scripts start is nobody's engine.
        #expect(try daemon.get("/preload.php").text == "[]")
    }

    @Test func administratorsPreloading() throws {
        let library = "libm.so.6"
        let (daemon, program) = try Self.start(host: nil, preload: library)
        #expect(program == "/usr/bin/php8.2")
        #expect(try daemon.get("/preload.php").text == "[\(library)]")
    }

    /// None wanted; not there; a program that does not run the engine.
    @Test(arguments: ["", "/nonexistent/php", "/bin/true"]) func ownProgram(host: String) throws {
        let (daemon, program) = try Self.start(host: host)
        #expect(program.hasSuffix("/fpmd-php"))
        #expect(try daemon.get("/hello.php").status == 200)
        #expect(try daemon.get("/preload.php").text == "[]")
    }

    @Test(arguments: ["-v", "-m"]) func sameAnswers(option: String) throws {
        var outputs: [String] = []
        for host in ["", "/usr/bin/php8.2"] {
            let result = try run(
                [Program.underTest.path, option],
                environment: baseEnvironment.merging(["FPMD_PHP_HOST": host]) { $1 }
            )
            #expect(result.status == .code(0))
            outputs.append(result.output)
        }
        #expect(outputs[0] == outputs[1])
        #expect(outputs[0].contains("PHP"))
    }
}
