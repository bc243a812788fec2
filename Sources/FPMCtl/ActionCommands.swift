import ArgumentParser
import CEpoll
import Control
import Glibc

extension CommonOptions {
    /// Asks for something in whose course the master may execute another program: then the connection ends, and what
    /// counts is whether the next image serves with the new configuration.
    ///
    /// - Returns: The answer, or nil when the next image serves.
    func askAcrossImages(_ request: ControlRequest, patience: Double) throws -> JSON? {
        let deadline = cepoll_monotonic_ns() + UInt64((timeout ?? patience) * 1e9)
        let before = try ask(Self.aboutMaster)["master"]?["instance"]
        do {
            let client = try ControlClient(path: path)
            return try result(of: try client.ask(request, patience: timeout ?? patience))
        } catch ClientFailure.closed {
            while cepoll_monotonic_ns() < deadline {
                if let now = master(), now["instance"] != before, now.words("state") == "serving" {
                    guard now.isTrue("last_reload_worked") else {
                        complain("the new program serves, but the new configuration is refused: see the log")
                        throw Status64.configuration
                    }
                    return nil
                }
                // An image leaves the socket's file behind; whoever ends, or stops listening there, removes it.
                if access(path, F_OK) != 0 { break }
                usleep(50_000)
            }
            throw fail(.closed)
        } catch let failure as ClientFailure {
            throw fail(failure)
        }
    }

    /// What the master says of itself; nil when it does not answer.
    func master() -> JSON? {
        guard let client = try? ControlClient(path: path),
            case .done(let result)? = try? client.ask(Self.aboutMaster, patience: 5)
        else { return nil }
        return result["master"]
    }

    /// The master alone, without its pools.
    private static var aboutMaster: ControlRequest {
        var request = ControlRequest(.status)
        request.count = 0
        return request
    }
}

/// The command `fpmctl reload`.
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Load the configuration anew, of all pools or of one.",
        discussion: """
            Returns when the new workers serve, or with exit status 78 when the configuration is refused: then the old one \
            goes on serving, and the reasons are printed. A reload of all pools executes the program's file if that has \
            changed.
            """
    )

    @OptionGroup var common: CommonOptions

    @Argument(help: "Reload this pool only.")
    var pool: String?

    func run() throws {
        var request = ControlRequest(.reload)
        request.pool = pool
        guard let answer = try common.askAcrossImages(request, patience: 180) else {
            let pools = try common.ask(ControlRequest(.status))["pools"]?.elements.count ?? 0
            if common.json { return printJSON(["pools": JSON(pools), "warnings": [], "new_program": true]) }
            return _ = put("reloaded with a new program: \(pools) pool(s) serve\n")
        }
        if common.json { return printJSON(answer) }
        for line in answer["warnings"]?.elements ?? [] { complain(plain(line.text ?? "")) }
        put(pool.map { "pool \($0) reloaded\n" } ?? "reloaded: \(answer.number("pools")) pool(s) serve\n")
    }
}

/// The command `fpmctl restart`.
struct Restart: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Execute the program's file anew, and reload.",
        discussion: """
            The process id and all connections stay, and no request is lost: the new program takes over what the old one \
            had, starts new workers, and lets the old ones finish. Returns when it serves, or with exit status 78 when the \
            program or the configuration is refused; then the old ones go on.
            """
    )

    @OptionGroup var common: CommonOptions

    func run() throws {
        _ = try common.askAcrossImages(ControlRequest(.restart), patience: 180)
        guard let now = common.master() else { throw common.fail(.closed) }
        if common.json { return printJSON(["master": now]) }
        put("restarted: process \(now.number("pid")) serves\n")
    }
}

/// A pool, or the process of a worker.
struct PoolOrProcess: ParsableArguments {
    @Argument(help: "A pool, or the process id of a worker.")
    var target: String

    func apply(to request: inout ControlRequest) {
        if let process = Int32(target), process > 0 {
            request.process = process
        } else {
            request.pool = target
        }
    }
}

/// The command `fpmctl trace`.
struct Trace: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the PHP call stack of a running worker, or of all busy workers of a pool.",
        discussion: "The workers are not stopped: their memory is read while they run. Innermost frame first."
    )

    @OptionGroup var common: CommonOptions
    @OptionGroup var target: PoolOrProcess

    func run() throws {
        var request = ControlRequest(.trace)
        target.apply(to: &request)
        let answer = try common.ask(request, patience: 15)
        if common.json { return printJSON(answer) }
        let workers = answer["workers"]?.elements ?? []
        if workers.isEmpty { return _ = put("no worker of pool \(target.target) serves a request\n") }
        for (index, worker) in workers.enumerated() {
            if index > 0 { put("\n") }
            let time = durationText(worker.number("duration_us"))
            put("worker \(worker.number("pid")), pool \(worker.words("pool")): \(worker.words("stage"))")
            let isIdle = worker.words("stage") == "Idle"
            put(isIdle ? "\n" : ", \(worker.words("request")) since \(time)\n")
            if !isIdle { put("script: \(worker.words("script"))\n") }
            for frame in worker["frames"]?.elements ?? [] { put("  \(plain(frame.text ?? ""))\n") }
            if let failure = worker["failure"]?.text { put("  (\(plain(failure)))\n") }
        }
    }
}

/// The command `fpmctl recycle`.
struct Recycle: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replace the workers of a pool one after the other, or one worker.",
        discussion: """
            Each leaves when it has finished its request, and after another one is ready in its place. The code that PHP has \
            compiled and the configuration stay; see reload for those.
            """
    )

    @OptionGroup var common: CommonOptions
    @OptionGroup var target: PoolOrProcess

    func run() throws {
        var request = ControlRequest(.recycle)
        target.apply(to: &request)
        let answer = try common.ask(request, patience: 3600)
        if common.json { return printJSON(answer) }
        let busy = answer.number("busy")
        put(
            "pool \(answer.words("pool")): \(answer.number("replaced")) of \(answer.number("workers")) workers replaced"
        )
        put(busy > 0 ? "; \(busy) leave when they have finished their requests\n" : "\n")
    }
}

/// The command `fpmctl scale`.
struct Scale: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Change the most workers of a pool (pm.max_children) until the next reload.",
        discussion: """
            At least 1, at most pm.max_children plus as many again (4 at least, 16 at most); process.max holds as well. A \
            static pool gets exactly so many workers. Surplus workers leave when they have finished.
            """
    )

    @OptionGroup var common: CommonOptions

    @Argument(help: "The pool.")
    var pool: String

    @Argument(help: "How many workers.")
    var count: Int

    func validate() throws {
        guard (0...Int(Int32.max)).contains(count) else {
            throw ValidationError("The number of workers is out of range.")
        }
    }

    func run() throws {
        var request = ControlRequest(.scale)
        request.pool = pool
        request.count = count
        let answer = try common.ask(request)
        if common.json { return printJSON(answer) }
        put(
            "pool \(answer.words("pool")): \(answer.number("before")) -> \(answer.number("max_children")) workers "
                + "at most, until the next reload (\(answer.number("least")) to \(answer.number("most")) are possible; "
                + "pm.max_children = \(answer.number("configured_max_children")))\n"
        )
    }
}

/// The command `fpmctl drain`.
struct Drain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let a pool finish its requests and begin no new ones.",
        discussion: """
            Its workers leave. Requests that come wait in the master, within pm.max_queue and pm.queue_timeout (503 beyond \
            them), until undrain. The pool is not ready then (fpmctl health). A reload ends it.
            """
    )

    @OptionGroup var common: CommonOptions

    @Argument(help: "The pool.")
    var pool: String

    @Flag(name: .long, help: "Return when the last request has finished.")
    var wait = false

    func run() throws {
        var request = ControlRequest(.drain)
        request.pool = pool
        var answer = try common.ask(request)
        let patience = common.timeout ?? 3600
        let deadline = cepoll_monotonic_ns() + UInt64(patience * 1e9)
        while wait, try hasWorkers() {
            guard cepoll_monotonic_ns() < deadline else { throw common.fail(.silent(seconds: patience)) }
            usleep(50_000)
        }
        if wait { answer = ["pool": answer["pool"] ?? .null, "running_requests": 0] }
        if common.json { return printJSON(answer) }
        let running = answer.number("running_requests")
        put("pool \(answer.words("pool")) is drained")
        put(running > 0 ? "; \(running) request(s) still run\n" : "\n")
    }

    /// Whether the drained pool still has workers; the end of the program if it is drained no longer.
    private func hasWorkers() throws -> Bool {
        var request = ControlRequest(.status)
        request.pool = pool
        let now = try common.ask(request)["pools"]?.elements.first
        if now?.words("state") != "drained" {
            let message = "pool \(plain(pool)) serves again: a reload or undrain has ended the drain"
            _ = try common.result(of: .refused(.busy, message, details: .null))
        }
        return (now?.number("running") ?? 0) > 0
    }
}

/// The command `fpmctl undrain`.
struct Undrain: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Let a drained pool serve again.")

    @OptionGroup var common: CommonOptions

    @Argument(help: "The pool.")
    var pool: String

    func run() throws {
        var request = ControlRequest(.undrain)
        request.pool = pool
        let answer = try common.ask(request)
        if common.json { return printJSON(answer) }
        put(
            "pool \(answer.words("pool")) \(answer.isTrue("was_drained") ? "serves again" : "was not drained")\n"
        )
    }
}
