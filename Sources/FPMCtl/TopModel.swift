import Control

/// What `fpmctl top` shows: the latest status, what has changed since the one before, and how it went lately.
struct TopModel {
    /// By what workers are sorted.
    enum Order: CaseIterable {
        case time, processor, memory, requests, pid

        var name: String {
            switch self {
            case .time: "time"
            case .processor: "cpu"
            case .memory: "memory"
            case .requests: "requests"
            case .pid: "pid"
            }
        }
    }

    /// Figures of a pool over the last interval.
    struct Rates {
        var requests = 0.0
        /// Per cent of one processor.
        var processor = 0.0
        var memory = 0
    }

    private static let historyLength = 60

    var order = Order.time
    /// The pool that alone is shown; nil: all.
    var filter: String?
    var isPaused = false
    /// Whether the terminal can show the blocks of a sparkline.
    let hasBlocks: Bool
    /// Why there is nothing newer.
    var problem: String?

    private(set) var status: JSON = .null
    private var time = 0.0
    private var accepted: [String: Int] = [:]
    private var used: [Int: Int] = [:]
    private var workerLoad: [Int: Double] = [:]
    private(set) var rates: [String: Rates] = [:]
    private var history: [String: [Double]] = [:]
    private var totals: [Double] = []

    init(hasBlocks: Bool) { self.hasBlocks = hasBlocks }

    var pools: [JSON] { status["pools"]?.elements ?? [] }

    /// Takes a new status, `time` in seconds.
    mutating func update(_ fresh: JSON, at now: Double) {
        let span = time > 0 ? max(0.001, now - time) : 0
        status = fresh
        time = now
        problem = nil
        var newUsed: [Int: Int] = [:]
        workerLoad = [:]
        var total = 0.0
        for pool in pools {
            let name = pool.words("name")
            var rate = Rates()
            let count = pool.number("accepted")
            if span > 0, let before = accepted[name], count >= before {
                rate.requests = Double(count - before) / span
            }
            accepted[name] = count
            for worker in pool["workers"]?.elements ?? [] {
                let pid = worker.number("pid")
                let processor = worker.number("processor_ms")
                newUsed[pid] = processor
                rate.memory += worker.number("memory")
                if span > 0, let before = used[pid], processor >= before {
                    let load = Double(processor - before) / 10 / span
                    workerLoad[pid] = load
                    rate.processor += load
                }
            }
            rates[name] = rate
            total += rate.requests
            history[name] = Self.appending(rate.requests, to: history[name] ?? [], isFirst: span == 0)
        }
        totals = Self.appending(total, to: totals, isFirst: span == 0)
        used = newUsed
        // Pools that a reload has removed are forgotten.
        let names = Set(pools.map { $0.words("name") })
        accepted = accepted.filter { names.contains($0.key) }
        rates = rates.filter { names.contains($0.key) }
        history = history.filter { names.contains($0.key) }
        if let filter, !names.contains(filter) { self.filter = nil }
    }

    private static func appending(_ value: Double, to list: [Double], isFirst: Bool) -> [Double] {
        isFirst ? list : Array((list + [value]).suffix(historyLength))
    }

    /// The next pool, or all again.
    mutating func nextFilter(backwards: Bool = false) {
        let names = backwards ? pools.map { $0.words("name") }.reversed() : pools.map { $0.words("name") }
        guard let current = filter, let index = names.firstIndex(of: current) else {
            filter = names.first
            return
        }
        filter = index + 1 < names.count ? names[index + 1] : nil
    }

    mutating func nextOrder() {
        let all = Order.allCases
        let index = all.firstIndex(of: order) ?? 0
        order = all[(index + 1) % all.count]
    }

    // MARK: - The screen

    /// The screen's lines, at most `rows`, each at most `columns` wide; `now` in seconds, as in ``update(_:at:)``.
    func lines(columns: Int, rows: Int, now: Double) -> [String] {
        let master = status["master"] ?? .null
        var lines: [String] = []
        let rate = totals.last ?? 0
        var head =
            "fpmd \(master.number("pid")) \(master.words("state")), up \(ageText(master.number("uptime")))"
        head += ", \(pools.count) pool(s)  \(tenths(rate)) req/s "
        head += sparkline(totals, width: max(0, min(40, columns - head.count - 1)))
        lines.append(cut(head, columns))
        if let problem {
            let age = time > 0 ? " (shown: \(ageText(Int(max(0, now - time)))) ago)" : ""
            lines.append("\u{1b}[31m" + cut(problem, columns - age.count) + cut(age, columns))
        } else {
            lines.append("")
        }
        let shown = pools.filter { filter == nil || $0.words("name") == filter }
        // Workers get at least half of the screen.
        let mostPools = max(1, min(shown.count, rows / 2 - 3))
        lines += heading(poolHeading(columns), columns)
        let visible = shown.count > mostPools ? Array(busiestFirst(shown).prefix(mostPools)) : shown
        for pool in visible { lines.append(poolLine(pool, columns)) }
        if shown.count > mostPools {
            let dots = hasBlocks ? "…" : "..."
            lines.append(
                cut("\(dots) \(shown.count - mostPools) more pools, less busy (p, P show one)", columns)
            )
        }
        lines.append("")
        lines += heading(workerHeading(columns), columns)
        let room = rows - lines.count - 1
        for worker in sortedWorkers(shown).prefix(max(0, room)) { lines.append(workerLine(worker, columns)) }
        lines = Array(lines.prefix(max(1, rows - 1)))
        while lines.count < rows - 1 { lines.append("") }
        let keys =
            "q quit  s sort: \(order.name)  p pool: \(filter ?? "all")  space \(isPaused ? "go on" : "pause")"
        lines.append("\u{1b}[7m" + padded(keys, columns))
        return Array(lines.suffix(rows))
    }

    private func busiestFirst(_ pools: [JSON]) -> [JSON] {
        func key(_ pool: JSON) -> (Int, Int, Double) {
            (pool.number("listen_queue"), pool.number("active"), rates[pool.words("name")]?.requests ?? 0)
        }
        // Of those that do the same the order is the configuration's.
        return pools.enumerated().map { (pool: $1, key: key($1), place: $0) }.sorted { one, other in
            one.key != other.key ? one.key > other.key : one.place < other.place
        }.map(\.pool)
    }

    private func heading(_ text: String, _ columns: Int) -> [String] { ["\u{1b}[7m" + padded(text, columns)] }

    /// In a narrow window a pool's state and a worker's request are worth more than processor time and memory.
    private func isNarrow(_ columns: Int) -> Bool { columns < 72 }

    private func poolHeading(_ columns: Int) -> String {
        left("POOL", 14) + right("WORK/MAX", 9) + right("ACT", 5) + right("QUEUE", 6) + right("REQ/S", 8)
            + (isNarrow(columns) ? "" : right("CPU%", 7) + right("MEM", 6)) + "  STATE     REQ/S LATELY"
    }

    private func poolLine(_ pool: JSON, _ columns: Int) -> String {
        let name = pool.words("name")
        let rate = rates[name] ?? Rates()
        let running = pool.number("running")
        let isFull = pool.number("idle") == 0 && pool.number("listen_queue") > 0
        var line = left(name, 14)
        line += right("\(running)/\(pool.number("max_children"))", 9) + right("\(pool.number("active"))", 5)
        line += right("\(pool.number("listen_queue"))", 6) + right(tenths(rate.requests), 8)
        if !isNarrow(columns) { line += right(tenths(rate.processor), 7) + right(bytesText(rate.memory), 6) }
        line += "  " + left(isFull ? "busy" : pool.words("state"), 9) + " "
        line += sparkline(history[name] ?? [], width: max(0, min(40, columns - line.count)))
        return (isFull ? "\u{1b}[31m" : "") + cut(line, columns)
    }

    private func workerHeading(_ columns: Int) -> String {
        right("PID", 8) + " " + left("POOL", 11) + left("STATE", 9) + right("TIME", 7)
            + (isNarrow(columns) ? "" : right("MEM", 6) + right("CPU%", 6) + right("REQS", 8)) + "  REQUEST"
    }

    private func workerLine(_ entry: (pool: String, worker: JSON), _ columns: Int) -> String {
        let worker = entry.worker
        let life = worker.words("life")
        let state = life == "ready" ? worker.words("stage") : life
        let isIdle = state == "Idle"
        var line = right("\(worker.number("pid"))", 8) + " " + left(entry.pool, 11) + left(state, 9)
        line += right(isIdle ? "-" : durationText(worker.number("duration_us")), 7)
        if !isNarrow(columns) {
            line += right(bytesText(worker.number("memory")), 6)
            line += right(tenths(workerLoad[worker.number("pid")] ?? 0), 6)
            line += right("\(worker.number("requests"))", 8)
        }
        line += "  " + (isIdle ? "" : worker.words("request"))
        return (isIdle ? "\u{1b}[2m" : "") + cut(line, columns)
    }

    private func sortedWorkers(_ pools: [JSON]) -> [(pool: String, worker: JSON)] {
        let all = pools.flatMap { pool in
            (pool["workers"]?.elements ?? []).map { (pool: pool.words("name"), worker: $0) }
        }
        func isBusy(_ worker: JSON) -> Bool { worker.words("stage") != "Idle" }
        func key(_ worker: JSON) -> Double {
            switch order {
            case .time: isBusy(worker) ? Double(worker.number("duration_us")) : -1
            case .processor: workerLoad[worker.number("pid")] ?? 0
            case .memory: Double(worker.number("memory"))
            case .requests: Double(worker.number("requests"))
            case .pid: -Double(worker.number("pid"))
            }
        }
        return all.sorted { first, second in
            let (one, other) = (key(first.worker), key(second.worker))
            return one != other ? one > other : first.worker.number("pid") < second.worker.number("pid")
        }
    }

    // MARK: - Pieces

    private func cut(_ text: String, _ width: Int) -> String { String(text.prefix(max(0, width))) }

    private func padded(_ text: String, _ width: Int) -> String {
        let shown = cut(text, width)
        return shown + String(repeating: " ", count: max(0, width - shown.count))
    }

    private func left(_ text: String, _ width: Int) -> String {
        let shown = text.count >= width ? String(text.prefix(width - 2)) + "." : text
        return shown + String(repeating: " ", count: max(0, width - shown.count))
    }

    private func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(text.count < width ? 0 : 1, width - text.count)) + text
    }

    /// The last values as a row of bars, the largest of them full height.
    private func sparkline(_ values: [Double], width: Int) -> String {
        let bars: [Character] = Array(hasBlocks ? " ▁▂▃▄▅▆▇█" : " .:-=+*#@")
        let shown = values.suffix(width)
        let most = shown.max() ?? 0
        guard most > 0 else { return String(repeating: hasBlocks ? "▁" : ".", count: shown.count) }
        return String(
            shown.map { value in
                value <= 0 ? bars[0] : bars[max(1, min(8, Int((value / most * 8).rounded(.up))))]
            }
        )
    }
}
