import ArgumentParser
import CEpoll
import Control
import Glibc

/// The command `fpmctl top`.
struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch pools and workers live.",
        discussion: """
            Keys: q ends, s sorts workers by another figure, p shows one pool after the other, then all, space pauses. \
            With --json one line of JSON is printed per interval.
            """
    )

    @OptionGroup var common: CommonOptions

    @Option(name: [.short, .long], help: "Seconds between two looks, 0.1 to 60.")
    var interval = 1.0

    @Option(name: [.customShort("n"), .long], help: "End after so many looks.")
    var count: Int?

    @Option(name: .long, help: "Show this pool only at first.")
    var pool: String?

    func validate() throws {
        guard (0.1...60).contains(interval) else {
            throw ValidationError("--interval takes 0.1 to 60 seconds.")
        }
        if let count, count < 1 { throw ValidationError("--count takes 1 or more.") }
    }

    func run() throws {
        if common.json { return try printLines() }
        // Whatever is wrong is said before the terminal is taken.
        _ = try common.ask(request)
        guard let terminal = Terminal() else {
            complain("top needs a terminal; see fpmctl status --workers, or --json")
            throw Status64.usage
        }
        let code = watch(terminal)
        terminal.restore()
        if code != 0 { throw ExitCode(code) }
    }

    private var request: ControlRequest {
        var request = ControlRequest(.status)
        request.showsWorkers = true
        return request
    }

    private func printLines() throws {
        var left = count ?? Int.max
        while left > 0 {
            let answer = try common.ask(request)
            guard put(String(decoding: answer.line, as: UTF8.self) + "\n") else { return }
            left -= 1
            if left > 0 { usleep(useconds_t(interval * 1e6)) }
        }
    }

    /// Shows, and obeys keys; returns the exit status.
    private func watch(_ terminal: Terminal) -> CInt {
        let locale = environment("LC_ALL") ?? environment("LC_CTYPE") ?? environment("LANG") ?? ""
        var model = TopModel(hasBlocks: locale.uppercased().contains("UTF"))
        model.filter = pool
        var client: ControlClient?
        var left = count ?? Int.max
        var next = 0.0
        while true {
            let now = Double(cepoll_monotonic_ns()) / 1e9
            if now >= next {
                if !model.isPaused { look(&client, &model, now) }
                left -= 1
                next = max(next + interval, now + interval / 2)
            }
            let size = terminal.size
            guard terminal.show(model.lines(columns: size.columns, rows: size.rows)) else { return 0 }
            if left <= 0 { return 0 }
            switch terminal.next(milliseconds: max(1, Int((next - now) * 1000))) {
            case .key("q"), .key("Q"): return 0
            case .key("s"), .key("S"): model.nextOrder()
            case .key("p"), .key("P"): model.nextFilter()
            case .key(" "): model.isPaused.toggle()
            case .key, .resized, .timeout: break
            case .end(SIGINT): return 0
            case .end(let number): return 128 + number
            }
        }
    }

    private func look(_ client: inout ControlClient?, _ model: inout TopModel, _ now: Double) {
        do {
            let connection = try client ?? ControlClient(path: common.path)
            client = connection
            switch try connection.ask(request, patience: common.timeout ?? 5) {
            case .done(let status): model.update(status, at: now)
            case .refused(_, let message, _): model.problem = message
            }
        } catch let failure as ClientFailure {
            client = nil
            model.problem = failure.message(common.path)
        } catch {
            client = nil
        }
    }
}
