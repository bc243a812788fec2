import Foundation
import TestSupport
import Testing

private let distributionConfiguration = "/etc/php/8.2/fpm/php-fpm.conf"

private let canMoveDirectories: Bool = {
    guard FileManager.default.fileExists(atPath: distributionConfiguration), getuid() == 0 else {
        return false
    }
    let attempt = try? ChildProcess(
        ["unshare", "-m", "true"],
        environment: baseEnvironment,
        output: "/dev/null",
        errors: "/dev/null"
    )
    return (try? attempt?.wait()) == .code(0)
}()

/// Debian's configuration of php-fpm as the package installs it, in its own place and unchanged.
///
/// It names /run/php and /var/log, which may be in use: the daemon gets directories of the test's own mounted
/// there, in a mount namespace of its own.
@Suite(
    .daemons,
    .needsNginx,
    .enabled(if: canMoveDirectories, "needs php8.2-fpm's configuration and mount namespaces")
)
struct DistributionConfigurationTests {

    @Test(arguments: [[], ["-c", "/etc/php/8.2/fpm"]]) func unchanged(arguments: [String]) throws {
        let directory = try TestContext.required().makeDirectory("system")
        for name in ["run", "log"] {
            try FileManager.default.createDirectory(
                atPath: "\(directory)/\(name)",
                withIntermediateDirectories: false
            )
        }
        let mounts =
            "mount --bind \(directory)/run /run/php && mount --bind \(directory)/log /var/log && exec \"$@\""
        try FileManager.default.createDirectory(atPath: "/run/php", withIntermediateDirectories: true)
        var options = Daemon.Options(ini: .builtIn, arguments: arguments)
        options.configurationFile = distributionConfiguration
        options.mode = ["--nodaemonize"]
        options.wrapper = ["unshare", "-m", "sh", "-c", mounts, "sh"]
        options.waitsUntilReady = false
        let daemon = try Daemon.start("", options)
        let log = LogFile(path: directory + "/log/php8.2-fpm.log")
        try log.wait(for: /ready to handle connections/)
        #expect(readText(directory + "/run/php8.2-fpm.pid") == "\(daemon.master)")
        let socket = directory + "/run/php8.2-fpm.sock"
        let attributes = try FileManager.default.attributesOfItem(atPath: socket)
        #expect(attributes[.ownerAccountName] as? String == "www-data")
        #expect(attributes[.posixPermissions] as? Int == 0o660)
        try daemon.waitForWorkers(2, pool: "www")

        for keeps in [false, true] {
            let server = try WebServer(
                upstream: "unix:\(socket)",
                root: daemon.documentRoot,
                keepsConnections: keeps
            )
            let client = HTTPClient(port: server.port)
            #expect(try client.get("/hello.php").text == "hello, world\n")
            #expect(try client.get("/identity.php").text.contains("\"uid\":33,"))
            let info = try client.get("/server-info.php").text
            #expect(info.contains("\"loaded\":\"\\/etc\\/php\\/8.2\\/fpm\\/php.ini\""))
            #expect(info.contains("\"scanned\":\"\\/etc\\/php\\/8.2\\/fpm\\/conf.d\\/"))
            #expect(try client.get("/missing.php").status == 404)
            for _ in 1...50 { #expect(try client.get("/hello.php").status == 200) }
            server.stop()
            #expect(!server.complaints.contains { !$0.contains("Primary script unknown") })
        }

        daemon.signal(SIGUSR2)
        try log.wait(for: /NOTICE: Reloading in progress/)
        try log.wait(for: /ready to handle connections/)
        daemon.signal(SIGUSR1)
        try log.wait(for: /error log file re-opened/)
        #expect(try daemon.stop(SIGQUIT) == .code(0))
        try log.wait(for: /exiting, bye-bye!/)
        #expect(!FileManager.default.fileExists(atPath: socket))
        #expect(!FileManager.default.fileExists(atPath: directory + "/run/php8.2-fpm.pid"))
        #expect(log.lines.allSatisfy { $0.contains("NOTICE: ") })
    }
}
