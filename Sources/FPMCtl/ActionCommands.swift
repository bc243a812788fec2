import ArgumentParser
import CEpoll
import Control
import Glibc

/// `fpmctl reload`
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Load the configuration anew, of all pools or of one.",
        discussion: """
            Returns when the new workers serve, or with exit status 78 when the configuration is refused: then the old one \
            goes on serving, and the reasons are printed.
            """
    )

    @OptionGroup var common: CommonOptions

    @Argument(help: "Reload this pool only.")
    var pool: String?

    func run() throws {
        var request = ControlRequest(.reload)
        request.pool = pool
        let answer = try common.ask(request, patience: 180)
        if common.json { return printJSON(answer) }
        for line in answer["warnings"]?.elements ?? [] { complain(plain(line.text ?? "")) }
        put(pool.map { "pool \($0) reloaded\n" } ?? "reloaded: \(answer.number("pools")) pool(s) serve\n")
    }
}

/// `fpmctl restart`
struct Restart: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End all processes in order and start the program anew, for example after an upgrade.",
        discussion: """
            Running requests finish within process_control_timeout (60 s if that is 0). The process id and the listening \
            sockets stay: connections that come meanwhile wait. Returns when the new master serves.
            """
    )

    @OptionGroup var common: CommonOptions

    func run() throws {
        let before = try common.ask(ControlRequest(.restart))
        let patience = common.timeout ?? 180
        let deadline = cepoll_monotonic_ns() + UInt64(patience * 1e9)
        while cepoll_monotonic_ns() < deadline {
            if let now = current(), now["instance"] != before["instance"], now.words("state") == "serving" {
                if common.json { return printJSON(["master": now]) }
                return _ = put("restarted: process \(now.number("pid")) serves\n")
            }
            usleep(50_000)
        }
        throw common.fail(.silent(seconds: patience))
    }

    private func current() -> JSON? {
        guard let client = try? ControlClient(path: common.path),
            case .done(let result)? = try? client.ask(ControlRequest(.status), patience: 5)
        else { return nil }
        return result["master"]
    }
}

/// A pool, or the process of a worker.
struct PoolOrProcess: ParsableArguments {
    @Argument(help: "A pool, or the process id of a worker.")
    var target: String

    func apply(to request: inout ControlRequest) {
        if let process = Int32(target), process > 0 { request.process = process } else { request.pool = target }
    }
}

/// `fpmctl trace`
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

/// `fpmctl recycle`
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
        put("pool \(answer.words("pool")): \(answer.number("replaced")) of \(answer.number("workers")) workers replaced")
        put(busy > 0 ? "; \(busy) leave when they have finished their requests\n" : "\n")
    }
}

/// `fpmctl scale`
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
        guard (0...Int(Int32.max)).contains(count) else { throw ValidationError("The number of workers is out of range.") }
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

/// `fpmctl drain`
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
        while wait, try workers() > 0 {
            guard cepoll_monotonic_ns() < deadline else { throw common.fail(.silent(seconds: patience)) }
            usleep(50_000)
        }
        if wait { answer = ["pool": answer["pool"] ?? .null, "running_requests": 0] }
        if common.json { return printJSON(answer) }
        let running = answer.number("running_requests")
        put("pool \(answer.words("pool")) is drained")
        put(running > 0 ? "; \(running) request(s) still run\n" : "\n")
    }

    private func workers() throws -> Int {
        var request = ControlRequest(.status)
        request.pool = pool
        return try common.ask(request)["pools"]?.elements.first?.number("running") ?? 0
    }
}

/// `fpmctl undrain`
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
        put("pool \(answer.words("pool")) \(answer.isTrue("was_drained") ? "serves again" : "was not drained")\n")
    }
}
