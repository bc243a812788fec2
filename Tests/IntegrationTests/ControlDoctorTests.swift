import Foundation
import TestSupport
import Testing

/// `fpmctl doctor`: what it says of configurations and machines.
@Suite(.daemons, .fpmdOnly("php-fpm has no fpmctl"))
struct ControlDoctorTests {
    private func findings(_ pools: String, status: Int32, _ options: [String] = []) throws -> [[String: Any]]
    {
        let directory = try TestContext.required().makeDirectory("doctor")
        let path = directory + "/fpm.conf"
        let text =
            "[global]\nerror_log = \(directory)/log\n"
            + pools.replacingOccurrences(of: "{{DIR}}", with: directory)
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let result = try run(
            [Control.program, "doctor", "-y", path, "--json", "--socket", directory + "/none"] + options
        )
        #expect(result.status == .code(status), "\(result.output)\(result.errors)")
        let value = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        return try #require(value?["findings"] as? [[String: Any]])
    }

    private func has(_ findings: [[String: Any]], _ severity: String, _ text: String) -> Bool {
        findings.contains {
            $0["severity"] as? String == severity && ($0["text"] as? String)?.contains(text) == true
        }
    }

    private static let pool = "[odd]\nuser = nobody\npm = static\npm.max_children = 2\n"

    @Test func configurationThatDoesNotLoad() throws {
        let found = try findings(
            "[odd]\nuser = nobody\nlisten = {{DIR}}/s\npm = static\npm.max_chidlren = 2\n",
            status: 78
        )
        #expect(has(found, "problem", "pm.max_chidlren"))
        #expect(found.contains { ($0["remedy"] as? String)?.contains("pm.max_children") == true })
        #expect(found.count == 1, "what follows from it is left out: \(found)")
    }

    /// One cause, one finding, with what to do.
    @Test(arguments: [
        ("[odd]\nuser = nobodyhere\nlisten = {{DIR}}/s\n", "cannot get uid for user 'nobodyhere'", "useradd"),
        (
            "[odd]\nuser = nobody\nlisten = {{DIR}}/s\nchdir = /no/dir\n", "the chdir path '/no/dir'",
            "make the directory"
        ),
        ("include = {{DIR}}/no/*.conf\n", "Unable to globalize", "make the directory"),
        ("", "No pool defined", "write one"),
    ]) func causesHaveRemedies(_ text: String, _ cause: String, _ remedy: String) throws {
        let pm = text.contains("[odd]") ? "pm = static\npm.max_children = 2\n" : ""
        let found = try findings(text + pm, status: 78)
        #expect(found.count == 1 && has(found, "problem", cause), "\(found)")
        #expect((found.first?["remedy"] as? String)?.contains(remedy) == true, "\(found)")
    }

    /// What the start would fail at, though the configuration loads.
    @Test func placesThatAreNotThere() throws {
        let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 1) == 0
                    && getsockname(listener, $0, &length) == 0
            }
        }
        #expect(port)
        let taken = UInt16(bigEndian: address.sin_port)
        let found = try findings(
            """
            pid = /no/1/f
            control.socket = /no/2/f
            metrics.listen = /no/3/f
            [odd]
            user = nobody
            pm = static
            pm.max_children = 2
            listen = 127.0.0.1:\(taken)
            pm.status_path = /s
            pm.status_listen = /no/4/f
            [even]
            user = nobody
            pm = static
            pm.max_children = 2
            listen = 127.0.0.1:99999

            """,
            status: 1
        )
        for (number, name) in [
            (1, "pid"), (2, "control.socket"), (3, "metrics.listen"), (4, "pm.status_listen"),
        ] {
            #expect(
                has(
                    found,
                    "problem",
                    "\(name) = /no/\(number)/f: the directory /no/\(number) does not exist"
                ),
                "\(found)"
            )
        }
        #expect(has(found, "problem", "listen: something else listens on port \(taken)"), "\(found)")
        #expect(has(found, "problem", "listen: '99999' is not a port"), "\(found)")
    }

    /// A start only warns of extensions that pools name and do not get.
    @Test func extensionsOfPools() throws {
        let pools: [(name: String, line: String)] = [
            ("admin", "php_admin_value[extension] = fpmdnone"),
            ("value", "php_value[extension] = fpmdnone.so"),
            ("path", "php_admin_value[extension] = /no/such/x.so"),
            ("again", "php_admin_value[extension] = ctype"),
            ("directory", "php_value[extension_dir] = /no/dir\nphp_admin_value[extension] = fpmdnone"),
            ("without", ""),
        ]
        let text = pools.map {
            "[\($0)]\nuser = nobody\nlisten = {{DIR}}/\($0)\npm = ondemand\npm.max_children = 1\n\($1)\n"
        }
        let found = try findings(text.joined(), status: 1)
        func finding(_ pool: String) -> (severity: String, text: String, remedy: String)? {
            found.first {
                $0["pool"] as? String == pool && ($0["text"] as? String)?.contains("extension] = ") == true
            }.map {
                ($0["severity"] as? String ?? "", $0["text"] as? String ?? "", $0["remedy"] as? String ?? "")
            }
        }
        let linker = ": cannot open shared object file: No such file or directory"
        let admin = try #require(finding("admin"))
        #expect(admin.severity == "problem" && admin.text.hasSuffix("/fpmdnone.so" + linker), "\(admin)")
        #expect(
            admin.text.hasPrefix("php_admin_value[extension] = fpmdnone does not load, and the pool serves")
        )
        #expect(admin.remedy == "apt install php8.2-fpmdnone, or remove the line")
        let value = try #require(finding("value"))
        #expect(value.text.hasPrefix("php_value[extension] = fpmdnone.so does not load"))
        #expect(value.text.hasSuffix("/fpmdnone.so" + linker) && value.remedy == admin.remedy, "\(value)")
        let path = try #require(finding("path"))
        #expect(
            path.text.hasSuffix(": /no/such/x.so" + linker) && path.remedy.contains("correct the path"),
            "\(path)"
        )
        #expect(finding("directory")?.text.hasSuffix("/no/dir/fpmdnone.so" + linker) == true, "\(found)")
        #expect(finding("again")?.severity == "warning", "\(found)")
        #expect(finding("without") == nil)
    }

    @Test func brokenPHPIni() throws {
        let directory = try TestContext.required().makeDirectory("broken")
        try "[global]\n[odd]\nuser = nobody\nlisten = \(directory)/s\npm = static\npm.max_children = 2\n"
            .write(
                toFile: directory + "/fpm.conf",
                atomically: true,
                encoding: .utf8
            )
        try "[broken\n".write(toFile: directory + "/php.ini", atomically: true, encoding: .utf8)
        chmod(directory, 0o755)
        let said = try run(
            [Control.program, "doctor", "-y", directory + "/fpm.conf", "--socket", directory + "/none"],
            environment: baseEnvironment.merging(["PHPRC": directory, "PHP_INI_SCAN_DIR": ""]) { $1 }
        )
        #expect(
            said.output.contains(
                #/PROBLEM +PHP cannot read its settings to the end: syntax error, .* in .*/php\.ini on line 1/#
            ),
            "\(said.output)"
        )
    }

    /// Where requests are served on and lines are lost, nothing else would tell.
    @Test(.needsRoot) func fullFileSystemOfLogs() throws {
        let directory = try TestContext.required().makeDirectory("full")
        let path = directory + "/fpm.conf"
        let text = """
            [global]
            error_log = \(directory)/small/error.log
            [odd]
            user = nobody
            listen = \(directory)/s
            pm = static
            pm.max_children = 2
            access.log = \(directory)/small/access.log
            slowlog = /proc/self/fd/2

            """
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        /// In mounts of its own, with a log directory of which so many KiB of 1024 are taken.
        func examine(taken: Int) throws -> String {
            let script = """
                mkdir -p "$0/small" && mount -t tmpfs -o size=1024k tmpfs "$0/small" || exit 9
                head -c $(($1 * 1024)) /dev/zero >"$0/small/taken" 2>/dev/null
                exec "$2" doctor -y "$0/fpm.conf" --socket "$0/none"
                """
            let words = ["unshare", "--mount", "sh", "-c", script, directory, "\(taken)", Control.program]
            return try run(words).output
        }
        let full = try examine(taken: 2048)
        #expect(
            full.contains(
                #/PROBLEM +error_log = .*/small/error\.log: no space is left on its file system, so log lines are lost/#
            ),
            "\(full)"
        )
        #expect(!full.contains("access.log = "), "one file system, one finding: \(full)")
        let scarce = try examine(taken: 1016)
        #expect(
            scarce.contains(#/warning +error_log = .*: its file system is nearly full, [0-9.]+K are left/#),
            "\(scarce)"
        )
        #expect(try !examine(taken: 500).contains("file system"))
    }

    @Test func socketsAndLimits() throws {
        let found = try findings(
            Self.pool + "listen = {{DIR}}/no/such/s\nlisten.backlog = 9999999\n",
            status: 1
        )
        #expect(has(found, "problem", "/no/such does not exist"))
        #expect(has(found, "warning", "the kernel cuts it to net.core.somaxconn"))
        #expect(has(found, "fine", "PHP 8.2"))
        #expect(has(found, "advice", "no fpmd answers on"))
        let open = try findings(Self.pool + "listen = 9\n", status: 0)
        #expect(has(open, "warning", "listens on every address of the machine"))
    }

    @Test func webServersUser() throws {
        let socket = Self.pool + "listen = {{DIR}}/s\n"
        #expect(
            has(
                try findings(socket, status: 0, ["--web-user", "daemon"]),
                "warning",
                "user daemon may not connect"
            )
        )
        let owned = try findings(socket + "listen.owner = daemon\n", status: 0, ["--web-user", "daemon"])
        #expect(!has(owned, "warning", "may not connect"))
        let group = try findings(socket + "listen.group = daemon\n", status: 0, ["--web-user", "daemon"])
        #expect(!has(group, "warning", "may not connect"))
    }

    @Test func runningService() throws {
        let daemon = try Control.start("pm = static\npm.max_children = 2\n")
        for _ in 1...10 { #expect(try daemon.get("/hello.php").isComplete) }
        let other = try Daemon.startPool("pm = static\npm.max_children = 1\n")
        let text = try daemon.ctl("doctor", "--web-user", "root")
        #expect(text.status == .code(0), "\(text.output)")
        #expect(text.output.contains(/ok +fpmd \d+ is serving/))
        #expect(text.output.contains(/pool www: a worker takes up to [0-9.]+[KM]; 2 of them [0-9.]+[KM]/))
        #expect(text.output.contains(/opcache uses [0-9.]+M of \d+M/))
        #expect(text.output.contains(/the master may open \d+ files/))
        #expect(text.output.contains(/AppArmor/))
        // Another service listens where this configuration would.
        let found = try run(
            [Control.program, "doctor", "-y", other.configurationPath, "--socket", daemon.controlSocket]
        )
        #expect(found.status == .code(1))
        #expect(found.output.contains(/PROBLEM +pool www: something else listens on/))
    }

    /// A pool that sleeps is not woken by being looked at.
    @Test func ondemandPoolsSleepOn() throws {
        let daemon = try Control.start("pm = ondemand\npm.max_children = 2\n")
        for _ in 1...2 { #expect(try daemon.ctl("doctor", "--web-user", "root").status == .code(0)) }
        let pool = try daemon.controlPool()
        #expect(
            pool["running"] as? Int == 0 && pool["starting"] as? Int == 0 && pool["accepted"] as? Int == 0
        )
    }
}
