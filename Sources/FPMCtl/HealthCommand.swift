import ArgumentParser
import Control

/// The command `fpmctl health`.
struct Health: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell whether the service lives, and whether it takes requests; for probes.",
        discussion: """
            live: the master answers. ready: every pool (or the one named) takes requests, too. A pool that is busy - no \
            worker is free, requests wait - is alive and ready; --fail-when-busy makes that a failure.

            Exit status: 0 yes; 69 no master answers (dead); 75 it is alive, but not ready, hangs, or is busy with \
            --fail-when-busy; 77 no permission.
            """
    )

    enum Question: String, ExpressibleByArgument, CaseIterable { case live, ready }

    @OptionGroup var common: CommonOptions

    @Argument(help: "live or ready.")
    var question = Question.ready

    @Argument(help: "One pool only.")
    var pool: String?

    @Flag(name: .long, help: "A busy pool is not ready.")
    var failWhenBusy = false

    func run() throws {
        var request = ControlRequest(.health)
        request.pool = pool
        let answer = try common.ask(request, patience: 3)
        let isBusy = answer.isTrue("busy")
        let isReady = answer.isTrue("ready") && !(failWhenBusy && isBusy)
        if common.json {
            printJSON(answer)
        } else if !answer.isTrue("ready") {
            put("live, not ready\n")
            for reason in answer["reasons"]?.elements ?? [] { put("  \(plain(reason.text ?? ""))\n") }
        } else {
            put(isBusy ? "live, ready, busy\n" : "live, ready\n")
            for pool in answer["pools"]?.elements ?? [] where pool.isTrue("busy") {
                put("  pool \(pool.words("name")): no worker is free, and requests wait\n")
            }
        }
        if question == .ready, !isReady { throw Status64.temporary }
    }
}
