import ArgumentParser
import Control
import Glibc

/// The command `fpmctl opcache`.
struct Opcache: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look at a pool's opcache, empty it, or forget one file.",
        discussion: """
            Done by one of the pool's workers between two requests, whatever opcache.restrict_api says; the workers of a \
            pool share one opcache. A worker whose request takes longer than 10 s is not waited for.

            status --scripts lists the cached scripts: hits, memory, how long ago each was used, and path; the 100 with the \
            most hits, or as --sort and --limit say. What is left out is said. With --json result has scripts (with PHP's \
            names), scripts_total and scripts_cut.
            """
    )

    enum Action: String, ExpressibleByArgument, CaseIterable { case status, reset, invalidate }

    @OptionGroup var common: CommonOptions

    @Argument(help: "status, reset or invalidate.")
    var action: Action

    @Argument(help: "The pool.")
    var pool: String

    @Argument(help: "The file to invalidate.", completion: .file())
    var file: String?

    @Flag(name: .long, help: "With status: list the cached scripts.")
    var scripts = false

    @Option(name: .long, help: "With --scripts: hits, memory, used (last) or path.")
    var sort: OpcacheScriptList.Order = .hits

    @Option(name: .long, help: "With --scripts: list so many at most; 0 for all.")
    var limit = 100

    func validate() throws {
        if scripts, action != .status { throw ValidationError("--scripts goes with status.") }
        if limit < 0 { throw ValidationError("--limit takes 0 or more.") }
        guard (action == .invalidate) == (file != nil) else {
            throw ValidationError(action == .invalidate ? "Which file?" : "Only invalidate takes a file.")
        }
    }

    func run() throws {
        var request = ControlRequest(.opcache)
        request.pool = pool
        request.action = action.rawValue
        request.file = file
        let answer = try common.ask(request, patience: 25)
        let list = scripts && answer["result"]?.isTrue("opcache_enabled") == true ? try scriptList() : nil
        if common.json { return printJSON(list.map { answer.adding($0.json, to: "result") } ?? answer) }
        let result = answer["result"] ?? .null
        switch action {
        case .status:
            show(result)
            if let list { put("\n" + list.lines(now: time(nil)).joined(separator: "\n") + "\n") }
        case .reset:
            put(result.flag == true ? "pool \(pool): the opcache is emptied with the next request\n" : "")
            if result.flag != true { throw refused("PHP has not reset the opcache: is opcache.enable off?") }
        case .invalidate:
            put(
                result.flag == true
                    ? "pool \(pool): \(file ?? "") is compiled anew when it is used next\n" : ""
            )
            if result.flag != true { throw refused("\(file ?? "") is not in the opcache of pool \(pool)") }
        }
    }

    private func scriptList() throws -> OpcacheScriptList {
        do {
            return try OpcacheScriptList(order: sort, limit: limit) { after, order in
                var request = ControlRequest(.opcache)
                request.pool = pool
                request.action = "scripts"
                request.file = after
                request.order = order == .path ? nil : order.rawValue
                return try common.ask(request, patience: 25)["result"] ?? .null
            }
        } catch let failure as ClientFailure {
            throw common.fail(failure)
        }
    }

    private func refused(_ text: String) -> ExitCode {
        complain(text)
        return Status64.configuration
    }

    private func show(_ status: JSON) {
        guard status.isTrue("opcache_enabled"), let memory = status["memory_usage"],
            let use = status["opcache_statistics"]
        else { return _ = put("pool \(pool): opcache is off\n") }
        let used = memory.plausible("used_memory")
        let all = used + memory.plausible("free_memory") + memory.plausible("wasted_memory")
        let strings = status["interned_strings_usage"] ?? .null
        var table = Table(["", ">", ">OF", ""])
        table.add([
            "memory", bytesText(used), bytesText(all),
            "\(bytesText(memory.plausible("wasted_memory"))) wasted",
        ])
        table.add([
            "strings", bytesText(strings.plausible("used_memory")),
            bytesText(strings.plausible("buffer_size")), "",
        ])
        table.add([
            "scripts", "\(use.plausible("num_cached_scripts"))", "\(use.plausible("max_cached_keys"))",
            "keys at most",
        ])
        table.add([
            "hits", "\(use.plausible("hits"))", "\(use.plausible("hits") + use.plausible("misses"))",
            "\(tenths(use["opcache_hit_rate"]?.double ?? 0)) %",
        ])
        let restarts = ["oom_restarts", "hash_restarts", "manual_restarts"].map { use.plausible($0) }
        table.add([
            "restarts", "\(restarts.reduce(0, +))", "",
            "memory \(restarts[0]), keys \(restarts[1]), asked for \(restarts[2])",
        ])
        if status.isTrue("cache_full") { table.add(["full", "yes", "", "raise opcache.memory_consumption"]) }
        put(table.lines.dropFirst().joined(separator: "\n") + "\n")
    }
}
