import ArgumentParser
import CEpoll
import Control
import Glibc

/// The command `fpmctl top`.
struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch pools and workers live.",
        discussion: """
            Keys: q ends, s sorts workers by another figure, p shows one pool after the other (P backwards), then all, \
            space pauses. Where there is no room for all pools the busiest are shown. With --json one line of JSON is printed per interval.
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
        if let pool {
            var question = ControlRequest(.status)
            question.pool = pool
            _ = try common.ask(question)
        }
        let first = try common.ask(request)
        guard let terminal = Terminal() else {
            complain("top needs a terminal; see fpmctl status --workers, or --json")
            throw Status64.usage
        }
        let code = watch(terminal, first)
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
    private func watch(_ terminal: Terminal, _ first: JSON) -> CInt {
        let locale = environment("LC_ALL") ?? environment("LC_CTYPE") ?? environment("LANG") ?? ""
        var model = TopModel(hasBlocks: locale.uppercased().contains("UTF"))
        model.filter = pool
        var look = Look(path: common.path, request: request, patience: common.timeout ?? 10)
        model.update(first, at: Self.now)
        var left = (count ?? Int.max) - 1
        var next = Self.now + interval
        while true {
            let now = Self.now
            if left > 0, now >= next, !look.isWaiting {
                if model.isPaused { left -= 1 } else { look.begin(&model, now) }
                if !look.isWaiting, !model.isPaused { left -= 1 }
                next = max(next + interval, now + interval / 2)
            }
            if look.isWaiting, look.proceed(&model, now) { left -= 1 }
            let size = terminal.size
            guard terminal.show(model.lines(columns: size.columns, rows: size.rows, now: now)) else {
                return 0
            }
            if left <= 0 { return 0 }
            // While an answer is missing the screen says how old it is.
            let pause = look.isWaiting ? min(interval, 0.5) : next - now
            switch terminal.next(milliseconds: max(1, Int(pause * 1000)), watching: look.descriptor) {
            case .key("q"), .key("Q"): return 0
            case .key("s"), .key("S"): model.nextOrder()
            case .key("p"): model.nextFilter()
            case .key("P"): model.nextFilter(backwards: true)
            case .key(" "): model.isPaused.toggle()
            case .key, .resized, .readable, .timeout: break
            case .end(SIGINT): return 0
            case .end(let number): return 128 + number
            }
        }
    }

    private static var now: Double { Double(cepoll_monotonic_ns()) / 1e9 }
}

/// A question to the master and the wait for its answer, during which keys are obeyed.
private struct Look {
    let path: String
    let request: ControlRequest
    /// Seconds after which another connection is tried.
    let patience: Double
    private var client: ControlClient?
    private var asked: Double?

    init(path: String, request: ControlRequest, patience: Double) {
        (self.path, self.request, self.patience) = (path, request, patience)
    }

    var isWaiting: Bool { asked != nil }

    /// What to poll; negative when nothing is waited for.
    var descriptor: CInt { asked == nil ? -1 : client?.rawDescriptor ?? -1 }

    /// Asks; on the connection that is there, or a new one.
    mutating func begin(_ model: inout TopModel, _ now: Double) {
        attempt(&model) { look, _ in
            let connection = try look.client ?? ControlClient(path: look.path)
            look.client = connection
            try connection.begin(look.request)
            look.asked = now
        }
    }

    /// Takes the answer if it has come; true when nothing is waited for any more.
    mutating func proceed(_ model: inout TopModel, _ now: Double) -> Bool {
        attempt(&model) { look, model in
            guard let asked = look.asked, let client = look.client else { return }
            switch try client.answer() {
            case .done(let status)?:
                model.update(status, at: now)
                look.asked = nil
            case .refused(_, let message, _)?:
                model.problem = plain(message)
                look.asked = nil
            case nil where now - asked > look.patience:
                throw ClientFailure.silent(seconds: (now - asked).rounded())
            case nil where now - asked > 1:
                model.problem = ClientFailure.silent(seconds: (now - asked).rounded()).brief
            case nil: break
            }
        }
        return !isWaiting
    }

    private mutating func attempt(
        _ model: inout TopModel,
        _ body: (inout Look, inout TopModel) throws -> Void
    ) {
        do {
            try body(&self, &model)
        } catch {
            client = nil
            asked = nil
            model.problem = (error as? ClientFailure)?.brief ?? "\(error)"
        }
    }
}
