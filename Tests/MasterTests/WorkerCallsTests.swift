import Channel
import Control
import Foundation
import Reactor
import Syscalls
import Testing

@testable import Master

/// Answers that workers give to what they were asked, or to what they were not.
@Suite struct WorkerCallsTests {
    private let reactor: Reactor
    private let calls: WorkerCalls
    private let outcomes = Outcomes()

    final class Outcomes {
        var all: [String] = []
    }

    init() throws {
        reactor = try Reactor()
        calls = WorkerCalls(reactor: reactor)
    }

    private func worker(_ slot: Int, _ serial: Int64) throws -> WorkerRecord {
        let (channel, _) = try MessageSocket.pair()
        return WorkerRecord(slot: slot, serial: serial, isRespawn: false, channel: channel, output: nil)
    }

    private func ask(_ worker: WorkerRecord, patience: Duration = .seconds(60)) -> Int64 {
        let outcomes = outcomes
        return calls.begin(worker, patience: patience) { outcome in
            switch outcome {
            case .returned(let value, _): outcomes.all.append(String(decoding: value.line, as: UTF8.self))
            case .failed(let reason): outcomes.all.append("failed \(reason)")
            case .nonsense: outcomes.all.append("nonsense")
            case .timeout: outcomes.all.append("timeout")
            case .unsent: outcomes.all.append("unsent")
            case .gone: outcomes.all.append("gone")
            }
        }
    }

    private func answer(_ number: Int64, _ text: String, from worker: WorkerRecord) -> Bool {
        calls.returned(Message(.opcacheDone, serial: number, value: 0), Array(text.utf8), from: worker)
    }

    @Test func onlyTheOneThatWasAskedAnswers() throws {
        let asked = try worker(3, 17)
        let number = ask(asked)
        #expect(try !answer(number, "1", from: worker(4, 18)))
        // The slot's next worker; and one of another pool's numbers in another slot.
        #expect(try !answer(number, "2", from: worker(3, 18)))
        #expect(try !answer(number, "3", from: worker(4, 17)))
        #expect(outcomes.all.isEmpty)
        #expect(answer(number, "4", from: asked))
        #expect(outcomes.all == ["4"])
        // What has been answered, or given up, is nobody's any more.
        #expect(answer(number, "5", from: asked))
        #expect(outcomes.all == ["4"])
    }

    @Test func theEndOfAWorkerEndsItsCalls() throws {
        let (one, other) = (try worker(0, 1), try worker(1, 2))
        let first = ask(one)
        let second = ask(other)
        _ = ask(one)
        calls.isGone(one)
        #expect(outcomes.all == ["gone", "gone"])
        #expect(answer(first, "1", from: one) && answer(second, "2", from: other))
        #expect(outcomes.all == ["gone", "gone", "2"])
        calls.failed(ask(other))
        #expect(outcomes.all.last == "unsent")
    }

    @Test func silenceAndNonsenseEnd() throws {
        let asked = try worker(0, 1)
        #expect(answer(ask(asked), "{", from: asked))
        _ = ask(asked, patience: .milliseconds(1))
        let outcomes = outcomes
        try reactor.turn(until: { outcomes.all.count == 2 })
        #expect(outcomes.all == ["nonsense", "timeout"])
    }
}
