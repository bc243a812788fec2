import Foundation
import TestSupport
import Testing

/// What a pool's section gives its workers: identity, confinement, environment, PHP settings.
@Suite(.daemons)
struct PoolSettingsTests {
    private static let one = "pm = static\npm.max_children = 1\n"

    // MARK: Identity

    @Test(.needsRoot) func usersOfTheirOwn() throws {
        let daemon = try Daemon.start(
            """
            [web]
            user = www-data
            listen = {{SOCKET:web}}
            \(Self.one)
            [nobody]
            user = nobody
            group = nogroup
            listen = {{SOCKET:nobody}}
            \(Self.one)
            """
        )
        let expected = [
            "web": [getpwnam("www-data").pointee.pw_uid, getpwnam("www-data").pointee.pw_gid],
            "nobody": [getpwnam("nobody").pointee.pw_uid, getgrnam("nogroup").pointee.gr_gid],
        ]
        for (pool, ids) in expected {
            let identity = try daemon.get("/identity.php", from: pool).json
            #expect(identity["uid"] as? Int == Int(ids[0]))
            #expect(identity["real_uid"] as? Int == Int(ids[0]))
            #expect(identity["gid"] as? Int == Int(ids[1]))
            #expect(identity["groups"] as? [Int] == [Int(ids[1])])
        }
    }

    @Test(.needsRoot) func numericUser() throws {
        let daemon = try Daemon.start(
            "[www]\nuser = 1234\ngroup = 1235\nlisten = {{SOCKET}}\n\(Self.one)"
        )
        let identity = try daemon.get("/identity.php").json
        #expect(identity["uid"] as? Int == 1234)
        #expect(identity["gid"] as? Int == 1235)
        let environment = try daemon.get("/environment.php").json["process"] as? [String: String]
        #expect(environment?["USER"] == nil)
        #expect(environment?["HOME"] == nil)
    }

    @Test(.needsRoot) func numericUserGetsItsGroups() throws {
        let entry = getpwnam("www-data").pointee
        let daemon = try Daemon.start("[www]\nuser = \(entry.pw_uid)\nlisten = {{SOCKET}}\n\(Self.one)")
        let identity = try daemon.get("/identity.php").json
        #expect(identity["uid"] as? Int == Int(entry.pw_uid))
        #expect(identity["gid"] as? Int == Int(entry.pw_gid))
    }

    @Test(.needsRoot) func ordinaryUserMayRunIt() throws {
        var options = Daemon.Options()
        options.wrapper = ["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups"]
        options.mode = ["-F", "-O"]
        // The tests' directory belongs to root: sockets, logs and pid file go where all may write.
        options.arguments = []
        let pool = """
            [global]
            error_log = {{TMP}}/error.log
            pid = {{TMP}}/fpm.pid
            [www]
            user = nobody
            group = nogroup
            listen = {{TMP}}/own.sock
            \(Self.one)
            """
        let daemon = try Daemon.start(pool, options)
        #expect(
            daemon.log.count(
                of: /NOTICE: \[pool www\] 'user' directive is ignored when FPM is not running as root/
            ) == 1
        )
        #expect(
            daemon.log.count(
                of: /NOTICE: \[pool www\] 'group' directive is ignored when FPM is not running as root/
            ) == 1
        )
        let connection = try FastCGIConnection(.unix(daemon.scratch + "/own.sock"))
        try connection.send(daemon.makeRequest("/identity.php"))
        let identity = try connection.finalResponse().json
        #expect(identity["uid"] as? Int == Int(getpwnam("www-data").pointee.pw_uid))
        try daemon.stop()
        #expect(!FileManager.default.fileExists(atPath: daemon.scratch + "/own.sock"))
    }

    /// As in a container from which everything was taken: traces need no privilege.
    @Test(.needsRoot, .fpmdOnly("needs CAP_SYS_PTRACE")) func slowLogWithoutCapabilities() throws {
        var options = Daemon.Options()
        options.wrapper = [
            "setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", "--inh-caps=-all",
            "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs",
        ]
        options.mode = ["-F", "-O"]
        let pool = """
            [global]
            error_log = {{TMP}}/error.log
            pid = {{TMP}}/fpm.pid
            [www]
            listen = {{TMP}}/own.sock
            slowlog = {{TMP}}/slow.log
            request_slowlog_timeout = 1s
            \(Self.one)
            """
        let daemon = try Daemon.start(pool, options)
        daemon.allowLog(/executing too slow/)
        let connection = try FastCGIConnection(.unix(daemon.scratch + "/own.sock"))
        let begin = ContinuousClock.now
        try connection.send(daemon.makeRequest("/slow.php", query: "seconds=3"))
        #expect(try connection.finalResponse().text == "slow\n")
        // Looking at a worker does not wake it.
        #expect(ContinuousClock.now - begin >= .seconds(3))
        let slow = LogFile(path: daemon.scratch + "/slow.log")
        try slow.wait(
            for: try Regex("^\\[0x[0-9a-f]{16}\\] sleep\\(\\) \(daemon.documentRoot)/slow\\.php:4$")
        )
        try daemon.stop()
    }

    // MARK: Confinement

    @Test(.needsRoot) func chroot() throws {
        let daemon = try Daemon.startPool(Self.one + "chroot = {{WWW}}")
        let identity = try daemon.send(FastCGIRequest("/identity.php", root: "")).json
        #expect((identity["root"] as? [String])?.contains("hello.php") == true)
        #expect(identity["cwd"] as? String == "/")
        #expect(identity["uid"] as? Int == Int(getpwnam("www-data").pointee.pw_uid))
        #expect(
            try daemon.send(FastCGIRequest("/user-ini/settings.php", root: "", query: "names=precision"))
                .isComplete
        )
        #expect(try daemon.get("/hello.php").status == 404)
    }

    @Test(.needsRoot) func chrootWithDirectory() throws {
        let daemon = try Daemon.startPool(Self.one + "chroot = {{WWW}}\nchdir = /user-ini")
        let worker = try #require(try daemon.waitForWorkers(1).first)
        let directory = "/proc/\(worker.pid)/cwd"
        try wait(for: "the worker to change its directory") {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: directory))?.hasSuffix(
                "/www/user-ini"
            ) == true
        }
        #expect(try daemon.send(FastCGIRequest("/hello.php", root: "")).text == "hello, world\n")
    }

    @Test func chdir() throws {
        let daemon = try Daemon.startPool(Self.one + "chdir = {{TMP}}")
        let worker = try #require(try daemon.waitForWorkers(1).first)
        try wait(for: "the worker to change its directory") {
            let directory = try? FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/\(worker.pid)/cwd"
            )
            return directory == daemon.scratch
        }
        // A script runs in its own directory all the same.
        #expect(try daemon.get("/identity.php").json["cwd"] as? String == daemon.documentRoot)
    }

    @Test func resourceLimits() throws {
        let daemon = try Daemon.startPool(Self.one + "rlimit_files = 345\nrlimit_core = 0")
        let limits = try daemon.get("/identity.php").json["limits"] as? [String: Any]
        #expect(limits?["soft openfiles"] as? Int == 345)
        #expect(limits?["hard openfiles"] as? Int == 345)
    }

    @Test(.needsRoot) func priority() throws {
        let daemon = try Daemon.startPool(Self.one + "process.priority = 7")
        let worker = try #require(try daemon.waitForWorkers(1).first)
        try wait(for: "the worker's priority") { ProcessSnapshot(pid: worker.pid)?.niceness == 7 }
        let master = try #require(ProcessSnapshot(pid: daemon.master))
        #expect(master.niceness == ProcessSnapshot(pid: getpid())?.niceness)
    }

    /// The new workers start before the master takes the new settings over.
    @Test(.needsRoot) func limitsAndPriorityOfTheServiceByReload() throws {
        let daemon = try Daemon.startPool(Self.one)
        let former = try #require(try daemon.waitForWorkers(1).first)
        try daemon.rewriteConfiguration(
            Daemon.poolSection(Self.one),
            global: "rlimit_files = 345\nrlimit_core = 789\nprocess.priority = 7"
        )
        daemon.signal(SIGUSR2)
        try wait(for: "the new worker") { try daemon.waitForWorkers(1).first?.pid != former.pid }
        let limits = try daemon.get("/identity.php").json["limits"] as? [String: Any]
        #expect(limits?["soft openfiles"] as? Int == 345)
        #expect(limits?["hard openfiles"] as? Int == 345)
        #expect(limits?["soft core"] as? Int == 789)
        let worker = try #require(try daemon.waitForWorkers(1).first)
        #expect(ProcessSnapshot(pid: worker.pid)?.niceness == 7)
    }

    // MARK: Environment

    @Test func environmentIsCleared() throws {
        let daemon = try Daemon.startPool(
            Self.one
                + "env[FIRST] = one\nenv[COPIED] = $OUTER\nenv[MISSING] = $NOT_THERE\nenv[HOME] = /elsewhere",
            .init(environment: ["OUTER": "from outside"])
        )
        let answer = try daemon.get("/environment.php").json
        let local = try #require(answer["process"] as? [String: String])
        #expect(
            local == [
                "FIRST": "one", "COPIED": "from outside", "MISSING": "", "HOME": "/elsewhere",
                "USER": "www-data",
            ]
        )
        let all = try #require(answer["getenv"] as? [String: String])
        #expect(all["COPIED"] == "from outside")
        #expect(all["OUTER"] == nil)
        #expect(all["REQUEST_METHOD"] == "GET")
        let server = try daemon.get("/server.php").json
        #expect(server["FIRST"] as? String == "one")
        #expect(server["OUTER"] == nil)
    }

    @Test func environmentIsKept() throws {
        let daemon = try Daemon.startPool(
            Self.one + "clear_env = no\nenv[FIRST] = one",
            .init(environment: ["OUTER": "from outside"])
        )
        let local = try #require(try daemon.get("/environment.php").json["process"] as? [String: String])
        #expect(local["OUTER"] == "from outside")
        #expect(local["FIRST"] == "one")
        #expect(local["PATH"] == baseEnvironment["PATH"])
        #expect(local["USER"] == "www-data")
    }

    @Test func homeAndUserComeFromTheAccount() throws {
        let daemon = try Daemon.startPool(Self.one)
        let local = try daemon.get("/environment.php").json["process"] as? [String: String]
        #expect(local == ["USER": "www-data", "HOME": String(cString: getpwnam("www-data").pointee.pw_dir)])
    }

    @Test func putenvDoesNotOutliveARequest() throws {
        let daemon = try Daemon.startPool(Self.one)
        #expect(try daemon.get("/static-state.php").text == "1 1\n")
        #expect(try daemon.get("/static-state.php").text == "1 1\n")
        let answer = try daemon.get("/environment.php", query: "name=LEAKED").json
        #expect(answer["single"] as? Bool == false)
    }

    // MARK: PHP settings

    private func settings(
        _ daemon: Daemon,
        _ names: String,
        set: String? = nil,
        script: String = "/settings.php",
        headers: [String: String] = [:]
    ) throws -> (before: [String: String], after: [String: String]) {
        let query = "names=\(names)" + (set.map { "&set=\($0)" } ?? "")
        let json = try daemon.get(script, query: query, headers: headers).json
        return (json["before"] as? [String: String] ?? [:], json["after"] as? [String: String] ?? [:])
    }

    @Test func phpValues() throws {
        let daemon = try Daemon.startPool(
            Self.one + """
                php_value[precision] = 5
                php_flag[html_errors] = on
                php_admin_value[memory_limit] = 99M
                php_admin_flag[log_errors] = off
                php_value[error_reporting] = E_ALL & ~E_NOTICE
                """
        )
        let names = "precision,html_errors,memory_limit,log_errors,error_reporting"
        for _ in 1...2 {
            let found = try settings(daemon, names, set: "33")
            #expect(
                found.before == [
                    "precision": "5", "html_errors": "1", "memory_limit": "99M", "log_errors": "0",
                    "error_reporting": "32759",
                ]
            )
            #expect(found.after["precision"] == "33")
            #expect(found.after["memory_limit"] == "99M")
            #expect(found.after["log_errors"] == "0")
        }
    }

    @Test func unknownPHPValueIsReported() throws {
        let daemon = try Daemon.startPool(
            Self.one
                + "catch_workers_output = yes\nphp_value[no_such_setting] = 1\nphp_admin_value[nor_this] = 1"
        )
        daemon.allowLog(/Unable to set php_(admin_)?value/)
        #expect(try daemon.get("/hello.php").isComplete)
        try daemon.log.waitAnywhere(for: /Unable to set php_value 'no_such_setting'/)
        try daemon.log.waitAnywhere(for: /Unable to set php_admin_value 'nor_this'/)
    }

    @Test func disabledFunctions() throws {
        let daemon = try Daemon.startPool(Self.one + "php_admin_value[disable_functions] = getmypid")
        let response = try daemon.get("/pid.php")
        #expect(response.status == 500)
        #expect(response.errors.contains("Call to undefined function getmypid()"))
    }

    @Test func userIniFiles() throws {
        let daemon = try Daemon.startPool(
            Self.one + "php_value[date.timezone] = Asia/Tokyo\nphp_admin_value[memory_limit] = 66M"
        )
        let names = "date.timezone,memory_limit,precision"
        #expect(
            try settings(daemon, names).before
                == ["date.timezone": "Asia/Tokyo", "memory_limit": "66M", "precision": "14"]
        )
        #expect(
            try settings(daemon, names, script: "/user-ini/settings.php").before
                == ["date.timezone": "Europe/Oslo", "memory_limit": "66M", "precision": "7"]
        )
        #expect(
            try settings(daemon, names, script: "/user-ini/sub/settings.php").before
                == ["date.timezone": "Europe/Oslo", "memory_limit": "66M", "precision": "9"]
        )
        #expect(try settings(daemon, names).before["precision"] == "14")
    }

    @Test func settingsThroughParameters() throws {
        let daemon = try Daemon.startPool(Self.one + "php_value[precision] = 5")
        let found = try settings(
            daemon,
            "precision,memory_limit",
            set: "9M",
            headers: ["PHP_VALUE": "precision = 8\n", "PHP_ADMIN_VALUE": "memory_limit = 55M\n"]
        )
        #expect(found.before == ["precision": "8", "memory_limit": "55M"])
        #expect(found.after["memory_limit"] == "55M")
    }

    @Test func settingsThroughParametersAreWhatTheScriptGoesBackTo() throws {
        let daemon = try Daemon.startPool(Self.one + "php_value[precision] = 5")
        let json = try daemon.get(
            "/settings.php",
            query: "names=precision,memory_limit&set=9M",
            headers: ["PHP_VALUE": "precision = 7\nprecision = 8", "PHP_ADMIN_VALUE": "memory_limit = 55M"]
        ).json
        let given = ["precision": "8", "memory_limit": "55M"]
        #expect(json["after"] as? [String: String] == ["precision": "9M", "memory_limit": "55M"])
        #expect(json["restored"] as? [String: String] == given)
        #expect(json["global"] as? [String: String] == given)
    }

    @Test(.fpmdOnly("keeps them for the life of the worker"))
    func settingsThroughParametersEndWithTheRequest() throws {
        let daemon = try Daemon.startPool(
            Self.one + "php_value[precision] = 5\nphp_admin_value[memory_limit] = 44M"
        )
        let parameters = [
            "PHP_VALUE": "precision = 8", "PHP_ADMIN_VALUE": "memory_limit = 55M\nhtml_errors = 1",
        ]
        let names = "precision,memory_limit,html_errors"
        let first = try settings(daemon, names)
        #expect(try settings(daemon, names, headers: parameters).before["memory_limit"] == "55M")
        #expect(try settings(daemon, names) == first)
        #expect(first.before["precision"] == "5")
        #expect(try settings(daemon, names, set: "9").after["html_errors"] == "9")
    }

    @Test(.fpmdOnly("a script compiled with them keeps them")) func compiledScriptsDoNotKeepSettings() throws
    {
        // The opcache leaves out files as young as the test's.
        let daemon = try Daemon.startPool(
            Self.one + "php_value[precision] = 5\nphp_admin_value[opcache.file_update_protection] = 0"
        )
        func precision(_ parameters: [String: String]) throws -> String {
            try daemon.get("/precision.php", headers: parameters).text
        }
        #expect(try precision(["PHP_ADMIN_VALUE": "precision = 8"]) == "8")
        #expect(try precision([:]) == "5")
        #expect(try precision(["PHP_ADMIN_VALUE": "precision = 9"]) == "9")
    }

    @Test(.fpmdOnly("its client sees a reset")) func fatalErrorInSettingsThroughParameters() throws {
        let daemon = try Daemon.startPool(Self.one + "php_admin_flag[log_errors] = on")
        let response = try daemon.get(
            "/hello.php",
            headers: ["PHP_VALUE": "precision = 8\nsession.save_handler = user"]
        )
        #expect(response.status == 500)
        #expect(response.errors.contains("cannot be set by ini_set()"))
        try daemon.waitForLog(/WARNING: \[pool www\] child \d+ exited with code 70/)
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
        daemon.allowLog(/exited with code 70/)
    }

    // MARK: Which files run

    @Test func onlyListedExtensionsRun() throws {
        let daemon = try Daemon.startPool(Self.one + "catch_workers_output = yes")
        let response = try daemon.get("/page.html")
        #expect(response.status == 403)
        #expect(response.header("Status") == "403 Forbidden")
        #expect(response.text == "Access denied.\n")
        try daemon.waitForLog(
            /Access to the script '.*\/page.html' has been denied \(see security.limit_extensions\)/
        )
        daemon.allowLog(/NOTICE: Access to the script/)
    }

    @Test(arguments: [".php .html", ""]) func extensionsAreConfigurable(list: String) throws {
        let daemon = try Daemon.startPool(Self.one + "security.limit_extensions = \(list)")
        #expect(try daemon.get("/page.html").text == "executed")
    }

    @Test func uploadedFileDoesNotRunThroughPathInfo() throws {
        let daemon = try Daemon.startPool(Self.one)
        let response = try daemon.get("/page.html/x.php")
        #expect(response.status == 403)
        #expect(response.text == "Access denied.\n")
    }

    @Test func documentRootOfPHP() throws {
        let daemon = try Daemon.startPool(Self.one + "php_admin_value[doc_root] = {{WWW}}/")
        #expect(try daemon.get("/hello.php").text == "hello, world\n")
    }
}
