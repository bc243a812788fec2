import CEpoll
import Foundation
import Reactor
import Syscalls
import SystemPackage
import Testing

/// Descriptors under watch.
@Suite struct WatchTests {
    @Test func interestIsLevelTriggered() throws {
        let reactor = try Reactor()
        let pipe = try Pipe()
        var calls: [Reactor.Readiness] = []
        let watch = try reactor.watch(pipe.number, for: .readable) { calls.append($0) }
        try reactor.turn(limit: .zero)
        #expect(calls == [])
        pipe.fill()
        try reactor.turn(limit: patience)
        try reactor.turn(limit: patience)
        #expect(calls == [.readable, .readable])
        pipe.drain()
        try reactor.turn(limit: .zero)
        #expect(calls.count == 2)
        withExtendedLifetime(watch) {}
    }

    @Test func theOtherEndsCloseIsTold() throws {
        let reactor = try Reactor()
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let mine = SharedDescriptor(adopting: ends[0])
        var theirs: SharedDescriptor? = SharedDescriptor(adopting: ends[1])
        var told: Reactor.Readiness = []
        let watch = try reactor.watch(mine.rawValue, for: .peerClosed) { told.formUnion($0) }
        try reactor.turn(limit: .zero)
        #expect(told == [])
        shutdown(ends[1], CInt(SHUT_WR))
        try reactor.turn(limit: patience)
        #expect(told == .peerClosed)
        #expect(theirs != nil)
        theirs = nil
        try reactor.turn { !told.isDisjoint(with: .hangup) }
        withExtendedLifetime(watch) {}
    }

    @Test func droppedWatchIsSilent() throws {
        let reactor = try Reactor()
        let pipe = try Pipe()
        var calls = 0
        var watch: Reactor.Registration? = try reactor.watch(pipe.number, for: .readable) { _ in calls += 1 }
        pipe.fill()
        try reactor.turn(limit: patience)
        #expect(calls == 1)
        #expect(watch != nil)
        watch = nil
        try reactor.turn(limit: .zero)
        #expect(calls == 1)
        // The descriptor can be watched anew.
        watch = try reactor.watch(pipe.number, for: .readable) { _ in calls += 10 }
        try reactor.turn(limit: patience)
        #expect(calls == 11)
        watch = nil
    }

    @Test func handlerMayDropItself() throws {
        let reactor = try Reactor()
        let pipe = try Pipe()
        var calls = 0
        var watch: Reactor.Registration?
        watch = try reactor.watch(pipe.number, for: .readable) { _ in
            watch = nil
            calls += 1
        }
        pipe.fill()
        try reactor.turn(limit: patience)
        try reactor.turn(limit: .zero)
        #expect(calls == 1)
        #expect(watch == nil)
    }

    /// All are ready in one batch; whoever is called first drops the others.
    @Test func handlerMayDropOthers() throws {
        let reactor = try Reactor()
        let pipes = try (0..<8).map { _ in try Pipe() }
        var calls = 0
        var watches: [Reactor.Registration] = []
        for pipe in pipes {
            watches.append(
                try reactor.watch(pipe.number, for: .readable) { _ in
                    calls += 1
                    watches = []
                }
            )
            pipe.fill()
        }
        try reactor.turn(limit: patience)
        #expect(calls == 1)
        try reactor.turn(limit: .zero)
        #expect(calls == 1)
    }

    @Test func handlerMayAddOthers() throws {
        let reactor = try Reactor()
        let pipes = try (0..<200).map { _ in try Pipe() }
        var calls = [Int](repeating: 0, count: pipes.count)
        var watches: [Reactor.Registration] = []
        func add(_ index: Int) throws {
            watches.append(
                try reactor.watch(pipes[index].number, for: .readable) { _ in
                    pipes[index].drain()
                    calls[index] += 1
                    guard index == 0 else { return }
                    for other in 1..<pipes.count { #expect(throws: Never.self) { try add(other) } }
                }
            )
        }
        try add(0)
        for pipe in pipes { pipe.fill() }
        // More than one batch, so several turns.
        for _ in 0..<20 { try reactor.turn(limit: .zero) }
        #expect(calls.allSatisfy { $0 == 1 })
    }

    /// Two watches are ready in one batch.
    ///
    /// The first to be called closes the other's descriptor; its number and its place in the reactor go to a
    /// new pipe, which has nothing to read.
    @Test func reusedNumberDoesNotGetOldEvents() throws {
        let reactor = try Reactor()
        let pipes = [try Pipe(), try Pipe()]
        let fresh = try Pipe()
        var watches: [Reactor.Registration?] = [nil, nil]
        var newWatch: Reactor.Registration?
        var calls = 0
        var wrongCalls = 0
        for index in 0..<2 {
            watches[index] = try reactor.watch(pipes[index].number, for: .readable) { _ in
                calls += 1
                pipes[index].drain()
                let other = 1 - index
                watches[other] = nil
                #expect(cepoll_replace(fresh.number, pipes[other].number) == pipes[other].number)
                newWatch = try? reactor.watch(pipes[other].number, for: .readable) { _ in wrongCalls += 1 }
            }
            pipes[index].fill()
        }
        try reactor.turn(limit: patience)
        #expect(calls == 1)
        #expect(wrongCalls == 0)
        #expect(newWatch != nil)
        try reactor.turn(limit: .zero)
        #expect(wrongCalls == 0)
        fresh.fill()
        try reactor.turn(limit: patience)
        #expect(wrongCalls == 1, "its own event reaches it")
    }

    @Test func interestCanChange() throws {
        let reactor = try Reactor()
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        let (mine, theirs) = (SharedDescriptor(adopting: ends[0]), SharedDescriptor(adopting: ends[1]))
        var told: [Reactor.Readiness] = []
        let watch = try reactor.watch(mine.rawValue, for: .readable) { told.append($0) }
        try reactor.turn(limit: .zero)
        #expect(told == [])
        try watch.watch(for: [.readable, .writable])
        try reactor.turn(limit: patience)
        #expect(told == [.writable])
        // A full socket is not writable; read by the other end, it is again.
        let bytes = [UInt8](repeating: 0, count: 64 << 10)
        while write(mine.rawValue, bytes, bytes.count) > 0 {}
        try reactor.turn(limit: .zero)
        #expect(told == [.writable])
        var sink = bytes
        while read(theirs.rawValue, &sink, sink.count) > 0 {}
        try reactor.turn(limit: patience)
        #expect(told == [.writable, .writable])
        try watch.watch(for: .readable)
        try reactor.turn(limit: .zero)
        #expect(told.count == 2)
    }

    @Test func exclusiveWatchCannotBeChanged() throws {
        let reactor = try Reactor()
        let pipe = try Pipe()
        var calls = 0
        let watch = try reactor.watch(pipe.number, for: .readable, exclusive: true) { _ in calls += 1 }
        #expect(throws: Errno.invalidArgument) { try watch.watch(for: [.readable, .writable]) }
        pipe.fill()
        try reactor.turn(limit: patience)
        #expect(calls == 1)
    }

    @Test func regularFilesCannotBeWatched() throws {
        let reactor = try Reactor()
        let file = SharedDescriptor(adopting: open("/proc/self/exe", O_RDONLY | O_CLOEXEC))
        #expect(throws: Errno.notPermitted) {
            _ = try reactor.watch(file.rawValue, for: .readable) { _ in Issue.record("called") }
        }
        // The failed attempt leaves nothing behind.
        let pipe = try Pipe()
        var calls = 0
        let watch = try reactor.watch(pipe.number, for: .readable) { _ in calls += 1 }
        #expect(throws: Errno.fileExists) { _ = try reactor.watch(pipe.number, for: .readable) { _ in } }
        pipe.fill()
        try reactor.turn(limit: patience)
        #expect(calls == 1)
        withExtendedLifetime(watch) {}
    }

    /// A handler may be the last holder of other watches and deadlines: they go with it.
    @Test func handlersMayOwnOtherRegistrations() throws {
        let reactor = try Reactor()
        let (outer, inner) = (try Pipe(), try Pipe())
        var innerCalls = 0
        func makeOwner() throws -> Reactor.Registration {
            let watch = try reactor.watch(inner.number, for: .readable) { _ in innerCalls += 1 }
            let deadline = reactor.at(MonotonicTime.now) { innerCalls += 1 }
            return try reactor.watch(outer.number, for: .readable) { _ in
                withExtendedLifetime((watch, deadline)) {}
            }
        }
        var owner: Reactor.Registration? = try makeOwner()
        inner.fill()
        try reactor.turn(limit: .zero)
        #expect(innerCalls == 2)
        #expect(owner != nil)
        owner = nil
        try reactor.turn(limit: .zero)
        #expect(innerCalls == 2)
    }

    /// The same for what deadlines own, cancelled or fired.
    @Test(arguments: [true, false]) func deadlinesMayOwnOtherRegistrations(fires: Bool) throws {
        let reactor = try Reactor()
        let pipe = try Pipe()
        var calls = 0
        func makeOwner() throws -> Reactor.Deadline {
            let watch = try reactor.watch(pipe.number, for: .readable) { _ in calls += 1 }
            let deadline = reactor.after(.seconds(3600)) {}
            return reactor.at(MonotonicTime.now) { withExtendedLifetime((watch, deadline)) {} }
        }
        var owner: Reactor.Deadline? = try makeOwner()
        #expect(owner != nil)
        if fires { try reactor.turn(limit: .zero) }
        owner = nil
        pipe.fill()
        try reactor.turn(limit: .zero)
        #expect(calls == 0)
    }

    @Test func registrationKeepsTheReactorAlive() throws {
        let pipe = try Pipe()
        var reactor: Reactor? = try Reactor()
        weak let observer = reactor
        var watch = try reactor?.watch(pipe.number, for: .readable) { _ in }
        reactor = nil
        #expect(observer != nil)
        #expect(watch != nil)
        watch = nil
        #expect(observer == nil)
    }
}
