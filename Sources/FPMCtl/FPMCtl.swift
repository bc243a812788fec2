import ArgumentParser
import Control
import Glibc

@main
enum Entry {
    static func main() {
        let words = optionsAfterCommand(Array(CommandLine.arguments.dropFirst()))
        do {
            var command = try FPMCtl.parseAsRoot(words)
            try command.run()
        } catch {
            // What a command has to say it has said; help and version are no mistakes.
            if error is ExitCode || FPMCtl.exitCode(for: error) == .success { FPMCtl.exit(withError: error) }
            complain(usageMessage(FPMCtl.message(for: error), words))
            exit(Status64.usage.rawValue)
        }
    }

    /// One line that says what is wrong with these arguments, and where to read on.
    ///
    /// - Parameters:
    ///   - message: What the parser says.
    ///   - words: The arguments.
    /// - Returns: The line, without an end.
    static func usageMessage(_ message: String, _ words: [String]) -> String {
        let names = FPMCtl.configuration.subcommands.map {
            $0.configuration.commandName ?? "\($0)".lowercased()
        }
        if let word = words.first, !word.hasPrefix("-"), !names.contains(word), word != "help" {
            let hint = nearestName(to: word, among: names).map { "; did you mean '\($0)'?" } ?? ""
            return "there is no command '\(plain(word))'\(hint) (fpmctl --help lists them)"
        }
        var line = message.split(whereSeparator: \.isNewline).joined(separator: " ")
        if line.last == "." { line.removeLast() }
        let command = words.first.flatMap { names.contains($0) ? " \($0)" : nil } ?? ""
        return "\(plain(line)) (see fpmctl\(command) --help)"
    }

    /// What every command takes may also stand before the command's name: it is put behind.
    static func optionsAfterCommand(_ words: [String]) -> [String] {
        var rest = words[...]
        var moved: [String] = []
        while let word = rest.first, word.hasPrefix("-") {
            let length =
                if word == "--json" || word.hasPrefix("--socket=") || word.hasPrefix("--timeout=") {
                    1
                } else if ["--socket", "-s", "--timeout"].contains(word), rest.count > 1 { 2 } else { 0 }
            guard length > 0 else { return words }
            moved += rest.prefix(length)
            rest = rest.dropFirst(length)
        }
        guard let command = rest.first else { return words }
        return [command] + moved + rest.dropFirst()
    }
}

/// The command for operators: looks into a running fpmd and steers it.
struct FPMCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fpmctl",
        abstract: "Look into a running fpmd, and steer it.",
        discussion: """
            Talks to the master over its control socket (directive control.socket), found by --socket, by the \
            variable FPMD_CONTROL, or at fpmd.sock in $RUNTIME_DIRECTORY or /run/fpmd.

            Exit status: 0 done; 1 doctor found a problem; 64 wrong usage, pool or value; 69 no master answers; \
            70 the answer makes no sense; 74 the connection broke, or no room for the output; 75 not now (not ready, busy, too slow); \
            77 no permission; 78 refused: a reload whose configuration does not work.
            """,
        version: fpmctlVersion,
        subcommands: [
            Status.self, Top.self, Health.self, ReloadCommand.self, Restart.self, Trace.self, Recycle.self,
            Scale.self,
            Drain.self, Undrain.self, Opcache.self, Doctor.self,
        ]
    )
}

/// As in CHANGELOG.md.
let fpmctlVersion = "0.1.0"

/// Exit statuses, from sysexits.h.
enum Status64 {
    static let usage = ExitCode(64)
    static let unavailable = ExitCode(69)
    static let software = ExitCode(70)
    static let io = ExitCode(74)
    static let temporary = ExitCode(75)
    static let permission = ExitCode(77)
    static let configuration = ExitCode(78)
}

/// What every command takes.
struct CommonOptions: ParsableArguments {
    @Option(name: [.short, .long], help: ArgumentHelp("Path of the control socket.", valueName: "path"))
    var socket: String?

    @Flag(name: .long, help: "Print the answer as JSON.")
    var json = false

    @Option(name: .long, help: ArgumentHelp("Seconds to wait for an answer.", valueName: "seconds"))
    var timeout: Double?

    func validate() throws {
        if let timeout, !(timeout > 0 && timeout <= 86400) {
            throw ValidationError("--timeout takes more than 0 and at most 86400 seconds.")
        }
    }

    /// Where the socket is: the option, the variable, or the default.
    var path: String {
        if let socket { return socket }
        if let variable = environment("FPMD_CONTROL"), !variable.isEmpty { return variable }
        if let directory = environment("RUNTIME_DIRECTORY")?.split(separator: ":").first,
            directory.hasPrefix("/")
        {
            return directory + "/fpmd.sock"
        }
        return "/run/fpmd/fpmd.sock"
    }

    /// Asks once and returns the result; ends the program with a message when there is none.
    func ask(_ request: ControlRequest, patience: Double = 10) throws -> JSON {
        do {
            let client = try ControlClient(path: path)
            return try result(of: try client.ask(request, patience: timeout ?? patience))
        } catch let failure as ClientFailure {
            throw fail(failure)
        }
    }

    /// The result of an answer; anything else ends the program.
    func result(of answer: ControlAnswer) throws -> JSON {
        switch answer {
        case .done(let result): return result
        case .refused(let code, let message, let details):
            if json {
                printJSON([
                    "error": [
                        "code": .string(code.rawValue), "message": .string(message), "details": details,
                    ]
                ])
            } else {
                complain(message)
                for line in details.elements.compactMap(\.text) where !isConsequence(line) {
                    complain("  \(line)")
                }
            }
            throw exitCode(code)
        }
    }

    /// Prints why there is no answer.
    func fail(_ failure: ClientFailure) -> ExitCode {
        if json {
            printJSON(["error": ["code": .string(failure.word), "message": .string(failure.message(path))]])
        } else {
            complain(failure.message(path))
        }
        return failure.exitCode
    }

    private func exitCode(_ code: ControlError) -> ExitCode {
        switch code {
        case .malformed, .version, .command: Status64.software
        case .denied: Status64.permission
        case .noPool, .noWorker, .value: Status64.usage
        case .busy, .timeout: Status64.temporary
        case .failed: Status64.configuration
        }
    }
}

func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// One line on stderr.
func complain(_ text: String) { put("fpmctl: \(text)\n", STDERR_FILENO) }

/// Writes all of a text; false when nobody reads.
///
/// A full disk is the program's end: nothing half written is a success.
@discardableResult
func put(_ text: String, _ descriptor: CInt = STDOUT_FILENO) -> Bool {
    let bytes = Array(text.utf8)
    var offset = 0
    while offset < bytes.count {
        let count = bytes.withUnsafeBytes {
            write(descriptor, $0.baseAddress.map { $0 + offset }, bytes.count - offset)
        }
        if count < 0 && errno == EINTR { continue }
        if count < 0, descriptor == STDOUT_FILENO, [ENOSPC, EDQUOT, EFBIG].contains(errno) {
            complain("cannot write to stdout: \(String(cString: strerror(errno)))")
            exit(Status64.io.rawValue)
        }
        if count <= 0 { return false }
        offset += count
    }
    return true
}

func printJSON(_ value: JSON) {
    var bytes: [UInt8] = []
    value.write(to: &bytes, indent: 2)
    put(String(decoding: bytes, as: UTF8.self) + "\n")
}
