import ArgumentParser
import Control

/// The command `fpmctl status`.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show the master, its pools and their workers.")

    @OptionGroup var common: CommonOptions

    @Flag(name: [.short, .long], help: "Show each worker, and what it serves.")
    var workers = false

    @Argument(help: "One pool only.")
    var pool: String?

    func run() throws {
        var request = ControlRequest(.status)
        request.pool = pool
        request.showsWorkers = workers || common.json
        let answer = try common.ask(request)
        if common.json { return printJSON(answer) }
        var lines: [String] = []
        let master = answer["master"] ?? .null
        lines.append(
            "fpmd \(master.number("pid")) \(master.words("state")), up \(ageText(master.number("uptime"))), "
                + "\(bytesText(master.number("memory"))), \(master.words("configuration"))"
        )
        lines.append("")
        lines += poolTable(answer["pools"]?.elements ?? []).lines
        if workers {
            for pool in answer["pools"]?.elements ?? [] {
                lines.append("")
                lines.append("pool \(pool.words("name"))")
                lines += workerTable(pool["workers"]?.elements ?? []).lines.map { "  " + $0 }
            }
        }
        put(lines.joined(separator: "\n") + "\n")
    }

    private func poolTable(_ pools: [JSON]) -> Table {
        var table = Table([
            "POOL", "STATE", "PM", ">WORKERS", ">MAX", ">ACTIVE", ">IDLE", ">QUEUE", ">REQUESTS", ">SLOW",
            ">REFUSED",
            "LISTEN",
        ])
        for pool in pools {
            let maximum = pool.number("max_children")
            let configured = pool.number("configured_max_children")
            table.add([
                pool.words("name"), pool.words("state"), pool.words("process_manager"),
                "\(pool.number("running"))",
                maximum == configured ? "\(maximum)" : "\(maximum) (\(configured))",
                "\(pool.number("active"))",
                "\(pool.number("idle"))", "\(pool.number("listen_queue"))", "\(pool.number("accepted"))",
                "\(pool.number("slow_requests"))", "\(pool.number("rejected") + pool.number("expired"))",
                pool.words("listen"),
            ])
        }
        return table
    }

    private func workerTable(_ workers: [JSON]) -> Table {
        var table = Table([">PID", "STATE", ">AGE", ">REQUESTS", ">MEMORY", ">CPU", ">TIME", "REQUEST"])
        for worker in workers {
            let life = worker.words("life")
            table.add([
                worker["pid"]?.count.map { "\($0)" } ?? "-", life == "ready" ? worker.words("stage") : life,
                ageText(worker.number("uptime")), "\(worker.number("requests"))",
                bytesText(worker.number("memory")), durationText(worker.number("processor_ms") * 1000),
                durationText(worker.number("duration_us")), worker.words("request"),
            ])
        }
        return table
    }
}
