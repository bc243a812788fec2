import Foundation
import Reactor
import Syscalls
import SystemPackage
import Testing

/// Deadlines, and how the loop turns.
@Suite struct LoopTests {
    @Test func deadlinesComeInOrder() throws {
        let reactor = try Reactor()
        let start = MonotonicTime.now
        var order: [Int] = []
        var deadlines: [Reactor.Deadline] = []
        for (name, delay) in [(3, 9), (1, 3), (4, 12), (2, 6), (0, 0)] {
            deadlines.append(reactor.at(start + .milliseconds(delay)) { order.append(name) })
        }
        // At the same time: as they were registered.
        for name in 5..<8 { deadlines.append(reactor.at(start + .milliseconds(15)) { order.append(name) }) }
        try reactor.turn { order.count == 8 }
        #expect(order == [0, 1, 2, 3, 4, 5, 6, 7])
        #expect(MonotonicTime.now - start >= .milliseconds(15))
        try reactor.turn(limit: .zero)
        #expect(order.count == 8, "each comes once")
    }

    @Test func deadlineIsNeverEarly() throws {
        let reactor = try Reactor()
        for microseconds in [1, 100, 999, 1001, 2500] {
            let due = MonotonicTime.now + .microseconds(microseconds)
            var fired: MonotonicTime?
            let deadline = reactor.at(due) { fired = MonotonicTime.now }
            try reactor.turn { fired != nil }
            #expect(try #require(fired) >= due)
            #expect(reactor.now >= due)
            withExtendedLifetime(deadline) {}
        }
    }

    /// What may come earlier comes with whatever wakes the loop then, and otherwise at its end.
    @Test func occasions() throws {
        let reactor = try Reactor()
        let start = MonotonicTime.now
        var fired: [(name: String, time: MonotonicTime)] = []
        func fire(_ name: String) -> () -> Void { { fired.append((name, MonotonicTime.now)) } }
        var dropped: Reactor.Deadline? = reactor.between(.zero, .seconds(60), handler: fire("dropped"))
        #expect(dropped != nil)
        dropped = nil
        let deadlines = [
            reactor.between(.milliseconds(2), .seconds(60), handler: fire("early")),
            reactor.between(.seconds(30), .seconds(60), handler: fire("never")),
            reactor.between(.milliseconds(2), .milliseconds(4), handler: fire("alone")),
            reactor.after(.milliseconds(20), handler: fire("exact")),
        ]
        try reactor.turn { fired.count == 3 }
        // The first that is due at its end is the occasion for the other.
        #expect(fired.map(\.name) == ["alone", "early", "exact"])
        #expect(fired[0].time >= start + .milliseconds(4))
        try reactor.turn(limit: .zero)
        #expect(fired.count == 3, "each comes once")
        withExtendedLifetime(deadlines) {}
    }

    @Test func cancelledDeadlineDoesNotFire() throws {
        let reactor = try Reactor()
        var fired: [String] = []
        var cancelled: Reactor.Deadline? = reactor.at(MonotonicTime.now) { fired.append("cancelled") }
        let kept = reactor.at(MonotonicTime.now) { fired.append("kept") }
        #expect(cancelled != nil)
        cancelled = nil
        try reactor.turn(limit: .zero)
        #expect(fired == ["kept"])
        withExtendedLifetime(kept) {}
    }

    @Test func deadlinesMayCancelEachOther() throws {
        let reactor = try Reactor()
        let time = MonotonicTime.now
        var fired = 0
        var deadlines: [Reactor.Deadline] = []
        for _ in 0..<4 {
            deadlines.append(
                reactor.at(time) {
                    fired += 1
                    deadlines = []
                }
            )
        }
        try reactor.turn(limit: .zero)
        #expect(fired == 1)
    }

    @Test func deadlineMayBeSetAgainFromItsHandler() throws {
        let reactor = try Reactor()
        var fired = 0
        var deadline: Reactor.Deadline?
        func arm() {
            deadline = reactor.after(.zero) {
                fired += 1
                if fired < 5 { arm() }
            }
        }
        arm()
        // Each turn fires what was due when it looked: an endless chain does not keep the loop from its descriptors.
        for _ in 0..<10 { try reactor.turn(limit: .zero) }
        #expect(fired == 5)
        #expect(deadline != nil)
    }

    @Test func chainOfDeadlinesDoesNotStarveDescriptors() throws {
        let reactor = try Reactor()
        let pipe = try Pipe()
        pipe.fill()
        var seen = false
        let watch = try reactor.watch(pipe.number, for: .readable) { _ in seen = true }
        var deadline: Reactor.Deadline?
        func arm() { deadline = reactor.after(.zero, handler: arm) }
        arm()
        try reactor.turn(limit: .zero)
        #expect(seen)
        #expect(deadline != nil)
        deadline = nil
        withExtendedLifetime(watch) {}
    }

    @Test func cancelledDeadlinesDoNotPileUp() throws {
        let reactor = try Reactor()
        let kept = reactor.after(.seconds(3600)) {}
        var most = 0
        for _ in 0..<20_000 {
            _ = reactor.after(.seconds(60)) {}
            most = max(most, reactor.alarmCount)
        }
        #expect(most < 2000)
        #expect(reactor.alarmCount >= 1)
        withExtendedLifetime(kept) {}
    }

    @Test func turnWaitsNoLongerThanItsLimit() throws {
        let reactor = try Reactor()
        var fired = false
        let deadline = reactor.after(.seconds(3600)) { fired = true }
        let start = MonotonicTime.now
        try reactor.turn(limit: .milliseconds(20))
        let waited = MonotonicTime.now - start
        #expect(waited >= .milliseconds(20))
        #expect(waited < patience)
        #expect(!fired)
        withExtendedLifetime(deadline) {}
    }

    @Test func deadlineEndsAWaitThatIsLonger() throws {
        let reactor = try Reactor()
        var fired = false
        let deadline = reactor.after(.milliseconds(5)) { fired = true }
        try reactor.turn(limit: patience)
        #expect(fired)
        withExtendedLifetime(deadline) {}
    }

    @Test func stopLeavesTheRestOfTheBatch() throws {
        let reactor = try Reactor()
        let pipes = try (0..<3).map { _ in try Pipe() }
        var calls = 0
        let watches = try pipes.map { pipe in
            try reactor.watch(pipe.number, for: .readable) { _ in
                calls += 1
                pipe.drain()
                reactor.stop()
            }
        }
        for pipe in pipes { pipe.fill() }
        try reactor.run()
        #expect(calls == 1)
        // Nothing is lost: it is delivered when the loop runs again.
        try reactor.run()
        try reactor.run()
        #expect(calls == 3)
        withExtendedLifetime(watches) {}
    }

    @Test func stopFromADeadline() throws {
        let reactor = try Reactor()
        var fired: [Int] = []
        let time = MonotonicTime.now
        let first = reactor.at(time) {
            fired.append(1)
            reactor.stop()
        }
        let second = reactor.at(time) {
            fired.append(2)
            reactor.stop()
        }
        try reactor.run()
        #expect(fired == [1])
        try reactor.run()
        #expect(fired == [1, 2])
        withExtendedLifetime((first, second)) {}
    }

    /// Signals end a wait: the loop goes round instead of failing.
    @Test func interruptedWaitIsNoError() async {
        await #expect(processExitsWith: .success) {
            signal(SIGALRM) { _ in }
            let reactor = try Reactor()
            var fired = false
            let deadline = reactor.after(.milliseconds(50)) { fired = true }
            // A signal each millisecond, while it lasts.
            let millisecond = timeval(tv_sec: 0, tv_usec: 1000)
            var storm = itimerval(it_interval: millisecond, it_value: millisecond)
            setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &storm, nil)
            try reactor.turn { fired }
            var calm = itimerval()
            setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &calm, nil)
            withExtendedLifetime(deadline) {}
        }
    }
}
