import Foundation
import TestSupport
import Testing

/// `fpmctl top` in a real terminal, which tmux provides: keys in, the screen out.
@Suite(.daemons, .fpmdOnly("php-fpm has no control socket"))
struct ControlTopTests {
    private static let pools = """
        [www]
        user = www-data
        listen = {{SOCKET}}
        pm = static
        pm.max_children = 2
        [api]
        user = www-data
        listen = {{SOCKET:api}}
        pm = static
        pm.max_children = 1
        """

    /// A tmux server of the test's own, with one window.
    private final class Screen {
        private let server: String

        init(_ daemon: Daemon, columns: Int = 80, rows: Int = 24, environment: String = "LANG=C") throws {
            server = daemon.directory + "/tmux"
            let shell = "\(environment) PS1='$ ' exec sh"
            try tmux("new-session", "-d", "-x", "\(columns)", "-y", "\(rows)", shell)
            // What is typed before the shell reads would stand in front of its prompt.
            try wait(for: /^\$/)
        }

        /// Server and shell become children of this process, as orphans do, and are reaped.
        deinit {
            let text = try? tmux("display-message", "-p", "#{pid} #{pane_pid}")
            _ = try? tmux("kill-server")
            for pid in (text ?? "").split(whereSeparator: \.isWhitespace).compactMap({ Int32($0) }) {
                _ = try? TestSupport.wait(for: "process \(pid) of tmux", within: .seconds(5)) {
                    var ignored: Int32 = 0
                    waitpid(pid, &ignored, WNOHANG)
                    return !FileManager.default.fileExists(atPath: "/proc/\(pid)")
                }
            }
        }

        @discardableResult
        func tmux(_ arguments: String...) throws -> String {
            let result = try run(
                ["tmux", "-u", "-f", "/dev/null", "-S", server] + arguments,
                environment: baseEnvironment.merging(["TERM": "xterm", "LC_ALL": "C.UTF-8"]) { $1 }
            )
            return result.output
        }

        func type(_ keys: String...) throws {
            for key in keys { try tmux("send-keys", key) }
        }

        var lines: [String] {
            get throws {
                try tmux("capture-pane", "-p").split(separator: "\n", omittingEmptySubsequences: false).map(
                    String.init
                )
            }
        }

        /// Waits until the screen shows something, and returns it.
        @discardableResult
        func wait(for pattern: some RegexComponent) throws -> [String] {
            var last: [String] = []
            do {
                return try TestSupport.wait(for: "the screen to show it") {
                    last = try lines
                    return last.contains { $0.contains(pattern) } ? last : nil
                }
            } catch { throw TestFailure("\(error)\n\(last.joined(separator: "\n"))") }
        }
    }

    private func start(_ daemon: Daemon, _ arguments: String = "", on screen: Screen) throws {
        try screen.type(
            "\(Control.program) top -i 0.1 --socket \(daemon.controlSocket) \(arguments); echo status $?",
            "Enter"
        )
    }

    @Test func showsPoolsAndWorkersAndObeysKeys() throws {
        let daemon = try Daemon.start(Self.pools, Daemon.Options(global: Control.directive))
        let held = try daemon.startHolding("one")
        let screen = try Screen(daemon)
        try start(daemon, on: screen)
        let lines = try screen.wait(for: /Running .*GET \/hold\.php/)
        #expect(lines.first?.hasPrefix("fpmd \(daemon.master) serving") == true)
        #expect(
            lines.contains { $0.contains(#/^www +2/2 +1 +0 /#) }
                && lines.contains { $0.contains(#/^api +1/1 +0 +0 /#) }
        )
        #expect(lines.allSatisfy { $0.count <= 80 })
        #expect(lines.contains { $0.hasPrefix("q quit  s sort: time  p pool: all") })
        try screen.type("s")
        try screen.wait(for: /s sort: cpu/)
        try screen.type("p", "p")
        let api = try screen.wait(for: /p pool: api/)
        #expect(!api.contains { $0.hasPrefix("www") || $0.contains("/hold.php") })
        try screen.type("p", "Space")
        try screen.wait(for: /p pool: all  space go on/)
        try screen.type("Space")
        for _ in 1...20 { #expect(try daemon.get("/hello.php").isComplete) }
        try screen.type("q")
        // The screen from before, the cursor in it, and an echo.
        let after = try screen.wait(for: /^status 0$/)
        #expect(!after.contains { $0.hasPrefix("q quit") })
        try screen.type("stty -a | tr ' ;' '\\n\\n' | grep -x -e echo -e icanon | tr '\\n' +", "Enter")
        try screen.wait(for: /icanon\+echo\+|echo\+icanon\+/)
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    @Test func followsTheWindowAndTheMaster() throws {
        let daemon = try Daemon.start(Self.pools, Daemon.Options(global: Control.directive))
        let screen = try Screen(daemon, columns: 100, rows: 30, environment: "LANG=C.UTF-8")
        try start(daemon, on: screen)
        try screen.wait(for: /^q quit/)
        try screen.tmux("resize-window", "-x", "60", "-y", "12")
        try wait(for: "the smaller screen") {
            let lines = try screen.lines
            return lines.count >= 12 && lines[11].hasPrefix("q quit") && lines.allSatisfy { $0.count <= 60 }
        }
        try daemon.stop()
        try screen.wait(for: /there is no control socket/)
        try screen.type("C-c")
        try screen.wait(for: /^status 0$/)
    }

    /// A master that hangs holds nobody, and function keys are no letters.
    @Test func obeysKeysWhileTheMasterHangs() throws {
        let daemon = try Daemon.start(Self.pools, Daemon.Options(global: Control.directive))
        let screen = try Screen(daemon)
        try start(daemon, on: screen)
        try screen.wait(for: /^www +2/)
        daemon.signal(SIGSTOP)
        try screen.wait(for: /the master has not answered for \d+ s \(shown: \d+s ago\)/)
        try screen.type("F2", "Up", "s")
        try screen.wait(for: /s sort: cpu/)
        daemon.signal(SIGCONT)
        try wait(for: "the message to go") { try !screen.lines.contains { $0.contains("has not answered") } }
        try screen.type("q")
        try screen.wait(for: /^status 0$/)
    }

    @Test func aMasterThatComesBack() throws {
        let daemon = try Daemon.start(Self.pools, Daemon.Options(global: Control.directive))
        let screen = try Screen(daemon)
        try start(daemon, on: screen)
        try screen.wait(for: /^q quit/)
        try daemon.stop()
        try screen.wait(for: /there is no control socket: fpmd is not running \(shown: \d+s ago\)/)
        let other = try Daemon.start(
            Self.pools,
            Daemon.Options(global: "control.socket = \(daemon.controlSocket)\n")
        )
        let lines = try screen.wait(for: try Regex("^fpmd \(other.master) serving"))
        #expect(!lines.contains { $0.contains("no control socket") })
        try screen.type("C-c")
        try screen.wait(for: /^status 0$/)
    }

    /// 200 pools in a small window; a URI that would move the cursor, ring and turn the text around.
    @Test func manyPoolsAndAnEvilRequest() throws {
        let names = (1...200).map { "pool\($0)" }
        let pools = names.map {
            "[\($0)]\nuser = www-data\nlisten = {{SOCKET:\($0)}}\npm = ondemand\npm.max_children = 1\n"
        }
        let daemon = try Daemon.start(pools.joined(), Daemon.Options(global: Control.directive))
        let evil = "evil=\u{1b}[2J\u{1b}[31m\u{7}\u{202e}\(String(repeating: "x", count: 3000))"
        let held = try daemon.begin(
            "/hold.php",
            query: "dir=\(daemon.scratch)&name=one&\(evil)",
            from: "pool150"
        )
        try daemon.waitUntilStarted(["one"])
        let screen = try Screen(daemon)
        try start(daemon, on: screen)
        let lines = try screen.wait(for: /pool150 +Running/)
        #expect(lines.first?.contains("200 pool(s)") == true)
        #expect(lines.contains { $0.contains(#/^pool150 +1/1 +1 /#) })
        #expect(lines.contains { $0.contains("191 more pools, less busy") })
        #expect(lines.filter { !$0.isEmpty }.count <= 24 && lines.allSatisfy { $0.count <= 80 })
        #expect(lines.last { !$0.isEmpty }?.hasPrefix("q quit") == true)
        try screen.type("q")
        try screen.wait(for: /^status 0$/)
        #expect(
            try daemon.ctl("top", "--pool", "pool999").errors.contains(
                "there is no pool 'pool999'; did you mean"
            )
        )
        try daemon.releaseHeld()
        #expect(try held.finalResponse().isComplete)
    }

    @Test func signalGivesTheTerminalBack() throws {
        let daemon = try Daemon.start(Self.pools, Daemon.Options(global: Control.directive))
        let screen = try Screen(daemon)
        try start(daemon, on: screen)
        try screen.wait(for: /^q quit/)
        let top = try #require(
            ProcessSnapshot.all().first {
                $0.title.contains("top -i 0.1 --socket \(daemon.controlSocket)") && !$0.title.hasPrefix("sh")
            }
        )
        kill(top.pid, SIGTERM)
        let lines = try screen.wait(for: /^status 143$/)
        #expect(!lines.contains { $0.hasPrefix("q quit") })
    }

    @Test func withoutATerminal() throws {
        let daemon = try Daemon.start(Self.pools, Daemon.Options(global: Control.directive))
        #expect(try daemon.ctl("top").status == .code(64))
        let result = try daemon.ctl("top", "--json", "-n", "2", "-i", "0.1")
        #expect(result.output.split(separator: "\n").count == 2 && result.status == .code(0))
    }
}
