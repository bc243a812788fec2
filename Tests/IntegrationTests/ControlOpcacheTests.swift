import Foundation
import TestSupport
import Testing

/// What `fpmctl opcache` shows and does, in real PHP.
@Suite(.daemons, .fpmdOnly("php-fpm has no control socket"))
struct ControlOpcacheTests {
    private static let two = "pm = static\npm.max_children = 2\n"

    @Test func opcacheIsSeenAndEmptied() throws {
        let daemon = try Daemon.startPool(
            "pm = static\npm.max_children = 1\nphp_admin_value[opcache.restrict_api] = /nowhere",
            Daemon.Options(
                global: Control.directive,
                ini: .neutral(
                    "opcache.enable = 1\nopcache.validate_timestamps = 0\nopcache.file_update_protection = 0"
                )
            )
        )
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(try daemon.ctl("opcache", "status", "www").output.contains(/scripts +1 +\d+ +keys at most/))
        let script = daemon.documentRoot + "/hello.php"
        try "<?php echo 'changed';".write(toFile: script, atomically: true, encoding: .utf8)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        #expect(try daemon.ctl("opcache", "invalidate", "www", script).status == .code(0))
        #expect(try daemon.get("/hello.php").text == "changed")
        try "<?php echo 'again';".write(toFile: script, atomically: true, encoding: .utf8)
        #expect(try daemon.get("/hello.php").text == "changed")
        #expect(try daemon.ctlJSON("opcache", "reset", "www")["result"] as? Bool == true)
        try wait(for: "the script to be compiled anew") { try daemon.get("/hello.php").text == "again" }
        #expect(try daemon.ctl("opcache", "invalidate", "www").status == .code(64))
    }

    /// Nobody has one: the operator is no visitor.
    @Test func noSessionIsLeftBehind() throws {
        let daemon = try Daemon.startPool(
            Self.two + "php_value[session.auto_start] = 1\nphp_value[session.save_path] = {{TMP}}\n",
            Daemon.Options(global: Control.directive)
        )
        #expect(try daemon.ctl("opcache", "status", "www").status == .code(0))
        let sessions = try FileManager.default.contentsOfDirectory(atPath: daemon.scratch)
            .filter { $0.hasPrefix("sess_") }
        #expect(sessions.isEmpty)
        // Requests have one as before.
        #expect(try daemon.get("/hello.php").headerLines.contains { $0.hasPrefix("Set-Cookie: PHPSESSID=") })
    }

    @Test func opcacheOfAPoolWithoutWorkers() throws {
        let daemon = try Control.start("pm = ondemand\npm.max_children = 2\n")
        let status = try daemon.ctlJSON("opcache", "status", "www")["result"] as? [String: Any]
        #expect(status?["opcache_enabled"] as? Bool == true)
    }

    @Test func opcacheThatIsNotThere() throws {
        let daemon = try Control.start(Self.two + "php_admin_value[disable_functions] = opcache_get_status\n")
        let result = try daemon.ctl("opcache", "status", "www")
        #expect(result.status == .code(78))
        #expect(result.errors.contains("PHP has no opcache functions there"))
    }

    /// More scripts than fit into one answer of a worker, one of them with a name that is no UTF-8.
    @Test func scriptsAreListed() throws {
        let daemon = try Daemon.startPool(
            Self.two + "php_admin_value[memory_limit] = 8M\n",
            Daemon.Options(
                global: Control.directive,
                ini: .neutral("opcache.enable = 1\nopcache.file_update_protection = 0")
            )
        )
        let code = """
            <?php
            if (isset($_GET['one'])) { include $_GET['one']; exit; }
            for ($i = 0; $i < 700; $i++) {
                $path = sprintf("%s/%03d-%s.php", $_GET['dir'], $i, str_repeat('x', 100));
                file_put_contents($path, "<?php return $i;");
                opcache_compile_file($path);
            }
            file_put_contents("$_GET[dir]/\\xff\\n.php", "<?php return 1;");
            opcache_compile_file("$_GET[dir]/\\xff\\n.php");
            echo count(opcache_get_status()['scripts']);
            """
        let script = daemon.documentRoot + "/compile.php"
        try code.write(toFile: script, atomically: true, encoding: .utf8)
        #expect(try daemon.get("/compile.php", query: "dir=\(daemon.scratch)").text == "702")
        let used = "\(daemon.scratch)/123-\(String(repeating: "x", count: 100)).php"
        for _ in 1...3 { #expect(try daemon.get("/compile.php", query: "one=\(used)").isComplete) }

        let all = try daemon.ctlJSON("opcache", "status", "www", "--scripts", "--limit", "0")
        let result = try #require(all["result"] as? [String: Any])
        let scripts = try #require(result["scripts"] as? [[String: Any]])
        #expect(result["scripts_total"] as? Int == 702 && result["scripts_cut"] as? Bool == false)
        #expect(scripts.count == 702 && Set(scripts.compactMap { $0["full_path"] as? String }).count == 702)
        #expect(scripts.contains { $0["full_path"] as? String == daemon.scratch + "/\u{fffd}\n.php" })
        let one = try #require(scripts.first { $0["full_path"] as? String == used })
        #expect(one["hits"] as? Int == 3)
        #expect(one["memory_consumption"] as? Int ?? 0 > 500)
        #expect(abs(Int(time(nil)) - (one["last_used_timestamp"] as? Int ?? 0)) < 600)
        #expect(result["opcache_enabled"] as? Bool == true)

        let text = try daemon.ctl("opcache", "status", "www", "--scripts")
        let lines = text.output.split(separator: "\n")
        #expect(text.status == .code(0) && lines.contains { $0.hasPrefix("memory ") })
        let list = try #require(lines.firstIndex { $0.contains(/^ *HITS +MEMORY +USED +SCRIPT$/) })
        #expect(lines.count - list - 2 == 100)
        #expect(lines.last == "100 of 702 scripts are shown, 602 are cut (--limit 0 shows all)")
        #expect(lines[(list + 1)...(list + 2)].contains { $0.contains(#/^ *3 .*\/123-x+\.php$/#) })
        let sorted = try daemon.ctl("opcache", "status", "www", "--scripts", "--sort", "path", "--limit", "2")
        #expect(sorted.output.hasSuffix("2 of 702 scripts are shown, 700 are cut (--limit 0 shows all)\n"))
        // Workers and their memory limit are as before.
        #expect(try daemon.get("/hello.php").isComplete)
        #expect(try daemon.ctl("opcache", "reset", "www", "--scripts").status == .code(64))
        #expect(try daemon.ctl("opcache", "status", "www", "--scripts", "--limit", "-1").status == .code(64))
    }
}
