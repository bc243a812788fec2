import Foundation
import TestSupport

/// The real fpmctl, asked about a daemon whose `control.socket` is `{{DIR}}/control.sock`.
enum Control {
    /// The directive for `[global]`.
    static let directive = "control.socket = {{DIR}}/control.sock\n"

    /// fpmctl of the same build.
    static var program: String {
        URL(fileURLWithPath: Program.underTest.path).deletingLastPathComponent().appendingPathComponent(
            "fpmctl"
        ).path
    }

    /// Starts a daemon that has the control socket, and one pool.
    static func start(_ pool: String, global: String = "") throws -> Daemon {
        try Daemon.startPool(pool, Daemon.Options(global: directive + global))
    }
}

extension Daemon {
    var controlSocket: String { directory + "/control.sock" }

    /// Runs fpmctl with the daemon's socket.
    ///
    /// `wrapper` is put before it.
    @discardableResult
    func ctl(_ arguments: String..., wrapper: [String] = []) throws -> CommandResult {
        try run(wrapper + [Control.program] + arguments + ["--socket", controlSocket])
    }

    /// The same with --json, as an object; the exit status must be this.
    func ctlJSON(_ arguments: String..., status: Int32 = 0) throws -> [String: Any] {
        let result = try run([Control.program] + arguments + ["--json", "--socket", controlSocket])
        guard result.status == .code(status) else {
            throw TestFailure("fpmctl \(arguments): \(result.status): \(result.output)\(result.errors)")
        }
        let value = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        guard let object = value as? [String: Any] else { throw TestFailure("no object: \(result.output)") }
        return object
    }

    /// The first pool of `status --json`.
    func controlPool() throws -> [String: Any] {
        let pools = try ctlJSON("status")["pools"] as? [[String: Any]]
        guard let pool = pools?.first else { throw TestFailure("status shows no pool") }
        return pool
    }
}
