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
