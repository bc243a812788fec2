import CEpoll
import Channel
import Configuration
import Foundation
import Reactor
import Syscalls
import Testing

@testable import Master

@Suite struct RequestQueueTests {
    private let reactor: Reactor
    /// What a worker reads.
    private let reader: MessageSocket
    private let queue: RequestQueue
    private let count = Counter()

    final class Counter {
        var taken: Int64 = 0
        var abandoned = 0
        var expired: [UInt64] = []
    }

    init() throws { try self.init(timeout: .seconds(60)) }

    private init(timeout: Duration) throws {
        reactor = try Reactor()
        let (writer, reader) = try MessageSocket.pair(bufferBytes: 1 << 20)
        self.reader = reader
        queue = RequestQueue(reactor: reactor, isTCP: false, timeout: timeout)
        queue.attach(writer, reader: reader)
        let count = count
        queue.socket.taken = { count.taken }
        queue.onAbandoned = { count.abandoned += 1 }
        queue.onExpired = { count.expired.append($0.arrival) }
    }

    private func append(_ number: UInt64, _ peers: Peers) {
        queue.append(
            WaitingRequest(
                connection: Connection(adopting: peers.server),
                flags: [],
                arrival: number,
                bytes: [UInt8(truncatingIfNeeded: number)]
            )
        )
    }

    /// As a worker does; nil when nothing is there.
    private func take() -> (arrival: UInt64, isQueued: Bool)? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
        defer { buffer.deallocate() }
        guard case .message(let message, _, let descriptors, _)? = try? reader.receive(into: buffer) else {
            return nil
        }
        for descriptor in descriptors { closeDescriptor(descriptor) }
        count.taken &+= 1
        return (message.value, message.flags.contains(.queued))
    }

    /// While it is metered, the master is woken when half of what is in the socket has been taken; or by each.
    @Test(arguments: [false, true]) func tellsOfTakings(each: Bool) throws {
        let said = Counter()
        queue.socket.tellsEach = each
        queue.socket.ahead = 8
        queue.socket.onTaken = { said.taken += 1 }
        queue.meter(true)
        try reactor.turnBriefly()
        var peers: [Peers] = []
        let start = MonotonicTime.now.nanoseconds
        for number in 1...20 {
            peers.append(try Peers())
            append(start + UInt64(number), peers[number - 1])
        }
        try reactor.turnBriefly()
        #expect(queue.count == 12)
        let before = said.taken
        for _ in 0..<3 { _ = take() }
        try reactor.turnBriefly()
        #expect(said.taken == before + (each ? 1 : 0) && queue.count == (each ? 9 : 12))
        _ = take()
        try reactor.turn(until: { queue.count == 8 })
        // To the last one, in order; larger ones than what the socket was made to hold, too.
        var arrivals = [UInt64]()
        while arrivals.last != start + 20 {
            while let (arrival, isQueued) = take() {
                #expect(isQueued)
                arrivals.append(arrival)
            }
            try reactor.turnBriefly()
        }
        #expect(arrivals == (5...20).map { start + $0 })
        let large = try Peers()
        queue.append(
            WaitingRequest(
                connection: Connection(adopting: large.server),
                flags: [],
                arrival: start + 21,
                bytes: [UInt8](repeating: 1, count: 150_000)
            )
        )
        #expect(take()?.arrival == start + 21)
        queue.meter(false)
    }

    /// What somebody else answers has left the queue by then, also if another request comes of it.
    @Test func othersAnswerSome() throws {
        let start = MonotonicTime.now.nanoseconds
        var peers = try (1...6).map { _ in try Peers() }
        for number in 1...6 { append(start + UInt64(number), peers[number - 1]) }
        queue.socket.ahead = 3
        let next = try Peers()
        peers.append(next)
        var answered: [UInt64] = []
        queue.isForWorkers = { [queue] request in
            let number = request.arrival - start
            guard number == 1 || number == 4 else { return true }
            answered.append(number)
            #expect(queue.count == 5)
            if number == 1 { append(start + 7, next) }
            return false
        }
        queue.meter(true)
        #expect(answered == [1, 4])
        var arrivals: [UInt64] = []
        while let taken = take() {
            arrivals.append(taken.arrival - start)
            queue.flush(looking: true)
        }
        #expect(arrivals == [2, 3, 5, 6, 7] && queue.count == 0 && queue.byteCount == 0)
        queue.meter(false)
        queue.isForWorkers = { _ in true }
        withExtendedLifetime(peers) {}
    }

    /// The reader's half alone: what is in the socket is still taken.
    @Test func halfShutSocket() throws {
        let said = Counter()
        queue.socket.onShut = { said.abandoned += 1 }
        var peers: [Peers] = []
        while queue.count == 0 {
            let fresh = try Peers()
            append(MonotonicTime.now.nanoseconds, fresh)
            peers.append(fresh)
        }
        #expect(shutdown(reader.descriptor, CInt(SHUT_RD)) == 0)
        for _ in 1..<peers.count { _ = take() }
        try reactor.turn(until: { said.abandoned > 0 })
        try reactor.turnBriefly()
        #expect(said.abandoned == 1)
    }

    /// A hostile worker shuts the socket of all: the master learns it once, and is not kept busy by it.
    @Test(arguments: [false, true]) func shutSocket(isMetered: Bool) throws {
        let said = Counter()
        queue.socket.onShut = { said.abandoned += 1 }
        queue.meter(isMetered)
        var peers: [Peers] = []
        // Until it waits for room in the socket.
        while queue.count == 0 {
            let fresh = try Peers()
            append(MonotonicTime.now.nanoseconds, fresh)
            peers.append(fresh)
        }
        #expect(shutdown(reader.descriptor, CInt(SHUT_RDWR)) == 0)
        try reactor.turn { said.abandoned > 0 }
        let before = said.abandoned
        for _ in 0..<5 { try reactor.turn(limit: .milliseconds(20)) }
        #expect(said.abandoned == before, "woken again and again")
        #expect(queue.count == 1, "kept for the next generation")
        let (writer, reader) = try MessageSocket.pair(bufferBytes: 1 << 20)
        let successor = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero)
        successor.attach(writer, reader: reader)
        queue.move(to: successor)
        #expect(queue.count == 0 && successor.total == 1)
    }

    /// Those that have waited are marked also when they are sent after the metering, and their time is counted once.
    @Test func waitingIsRemembered() throws {
        let peers = try (1...6).map { _ in try Peers() }
        let passed = Counter()
        queue.onPassed = { _ in passed.taken += 1 }
        queue.meter(true)
        for number in 1...5 { append(UInt64(number), peers[number - 1]) }
        #expect(passed.taken == 2)
        queue.meter(false)
        append(6, peers[5])
        #expect(passed.taken == 5)
        queue.takeBack()
        queue.flush()
        for number in 1...6 {
            let taken = take()
            #expect(taken?.arrival == UInt64(number) && taken?.isQueued == (number < 6))
        }
        #expect(passed.taken == 5)
    }

    /// Too large for a message: in a file, from which it also comes back.
    @Test func largeRequestsGoInFiles() throws {
        let peers = try Peers()
        let bytes = (0..<500_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        queue.append(
            WaitingRequest(
                connection: Connection(adopting: peers.server),
                flags: .peerChecked,
                arrival: 1,
                bytes: bytes
            )
        )
        #expect(queue.count == 0 && queue.byteCount == 0)
        queue.takeBack()
        #expect(queue.handedOver.map(\.bytes.bytes) == [bytes])
        #expect(queue.handedOver.map(\.flags) == [Int(Message.Flags.peerChecked.rawValue)])
        queue.flush()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
        defer { buffer.deallocate() }
        guard case .message(let message, 0, let descriptors, _) = try reader.receive(into: buffer) else {
            Issue.record("no message")
            return
        }
        #expect(message.flags == [.peerChecked, .bytesInFile])
        #expect(descriptors.last.flatMap { BytesFile.contents(of: $0, atMost: 1 << 20) } == bytes)
        #expect(descriptors.last.flatMap { BytesFile.contents(of: $0, atMost: 1 << 10) } == nil)
        for descriptor in descriptors { closeDescriptor(descriptor) }
        withExtendedLifetime(peers) {}
    }

    @Test func goesStraightThroughWhileThePoolMoves() throws {
        let peers = try (0..<20).map { _ in try Peers() }
        for (index, pair) in peers.enumerated() { append(UInt64(index + 1), pair) }
        #expect(queue.count == 0 && queue.total == 20)
        for number in 1...20 { #expect(take()?.arrival == UInt64(number)) }
        #expect(queue.total == 0 && queue.oldestArrival == 0)
    }

    @Test func metersInOrder() throws {
        let now = MonotonicTime.now.nanoseconds
        let peers = try (0..<20).map { _ in try Peers() }
        // The first ones are in the socket already when the pool comes to a stand.
        for number in 0..<10 { append(now + UInt64(number), peers[number]) }
        queue.meter(true)
        for number in 10..<20 { append(now + UInt64(number), peers[number]) }
        #expect(queue.total == 20 && queue.count == 18 && queue.oldestArrival == now)
        for number in 0..<20 {
            var taken: (arrival: UInt64, isQueued: Bool)?
            try reactor.turn {
                taken = take()
                return taken != nil
            }
            #expect(taken?.arrival == now + UInt64(number) && taken?.isQueued == true)
        }
        try reactor.turn { queue.total == 0 }
        #expect(count.abandoned == 0 && count.expired.isEmpty)
    }

    @Test func endOfMeteringLetsEverythingThrough() throws {
        let peers = try (0..<20).map { _ in try Peers() }
        queue.meter(true)
        for (index, pair) in peers.enumerated() { append(UInt64(index + 1), pair) }
        queue.meter(false)
        #expect(queue.count == 0)
        for number in 1...20 { #expect(take()?.arrival == UInt64(number)) }
    }

    @Test func dropsWhoHasGone() throws {
        queue.meter(true)
        let now = MonotonicTime.now.nanoseconds
        var peers: [Peers?] = try (0..<10).map { _ in try Peers() }
        for (index, pair) in peers.enumerated() { if let pair { append(now + UInt64(index), pair) } }
        for index in [3, 4, 9] { peers[index] = nil }
        // One that only sends no more is still there.
        if let half = peers[5] { _ = shutdown(half.client.rawValue, CInt(SHUT_WR)) }
        try reactor.turn { count.abandoned == 3 }
        try reactor.turnBriefly()
        #expect(queue.total == 7)
        for number in [0, 1, 2, 5, 6, 7, 8] {
            var taken: (arrival: UInt64, isQueued: Bool)?
            try reactor.turn {
                taken = take()
                return taken != nil
            }
            #expect(taken?.arrival == now + UInt64(number))
        }
    }

    @Test func expiresAlsoWhatIsInTheSocket() throws {
        try RequestQueueTests(timeout: .milliseconds(300)).expireAlsoWhatIsInTheSocket()
    }

    private func expireAlsoWhatIsInTheSocket() throws {
        queue.meter(true)
        let now = MonotonicTime.now.nanoseconds
        let peers = try (0..<5).map { _ in try Peers() }
        for (index, pair) in peers.enumerated() { append(now + UInt64(index), pair) }
        try reactor.turn { count.expired.count == 5 }
        #expect(count.expired == (0..<5).map { now + $0 })
        #expect(MonotonicTime.now.nanoseconds - now >= 300_000_000)
        #expect(queue.total == 0 && take() == nil)
    }

    /// Workers go on counting when another image of the program takes the socket over, with requests in it or without.
    @Test(arguments: [0, 3]) func takenOver(left: Int) throws {
        let (writer, reader) = try MessageSocket.pair(bufferBytes: 1 << 20)
        let successor = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero)
        successor.socket.taken = { 100_000 }
        successor.socket.ahead = 8
        let peers = try (0..<60).map { _ in try Peers() }
        func request(_ number: Int) -> WaitingRequest {
            WaitingRequest(
                connection: Connection(adopting: peers[number].server),
                flags: [],
                arrival: MonotonicTime.now.nanoseconds,
                bytes: []
            )
        }
        for number in 0..<left {
            guard case .bytes = try request(number).send(to: writer, isQueued: false) else {
                Issue.record("not sent")
                return
            }
        }
        successor.attach(writer, reader: reader)
        successor.meter(true)
        for number in left..<60 { successor.append(request(number)) }
        #expect(successor.total == 60 && successor.socket.count == 8)
    }

    @Test func movesToASuccessorInOrder() throws {
        let (writer, reader) = try MessageSocket.pair(bufferBytes: 1 << 20)
        let successor = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero)
        successor.attach(writer, reader: reader)
        successor.meter(true)
        queue.meter(true)
        let now = MonotonicTime.now.nanoseconds
        let peers = try (0..<10).map { _ in try Peers() }
        for (index, pair) in peers.enumerated() { append(now + UInt64(index), pair) }
        queue.takeBack()
        queue.meter(false)
        queue.takeBack()
        queue.move(to: successor)
        #expect(queue.total == 0 && successor.total == 10 && successor.oldestArrival == now)
    }

    /// A pool without limits watches only those that wait for long: the workers look at each before they serve it.
    @Test func aClientIsWatchedWhenItHasWaitedForLong() throws {
        let (writer, reader) = try MessageSocket.pair(bufferBytes: 1 << 20)
        let patience = Duration.milliseconds(200)
        let patient = RequestQueue(reactor: reactor, isTCP: false, timeout: .zero, clientPatience: patience)
        patient.attach(writer, reader: reader)
        var gone = 0
        patient.onAbandoned = { gone += 1 }
        patient.meter(true)
        let begin = MonotonicTime.now
        var peers: [Peers?] = try (0..<8).map { _ in try Peers() }
        for case let pair? in peers {
            patient.append(
                WaitingRequest(
                    connection: Connection(adopting: pair.server),
                    flags: [],
                    arrival: begin.nanoseconds,
                    bytes: [1]
                )
            )
        }
        for index in [3, 6] { peers[index] = nil }
        patient.review()
        try reactor.turnBriefly()
        if MonotonicTime.now - begin < patience { #expect(gone == 0 && patient.total == 8) }
        try reactor.turn {
            patient.review()
            return gone == 2
        }
        #expect(MonotonicTime.now - begin >= patience && patient.total == 6)
        patient.meter(false)
    }

    /// As many as may end at the same moment: who finds nothing there takes the newest connection from the listener.
    @Test(arguments: [(1, 2), (2, 2), (4, 4), (16, 16), (200, 16)]) func oneIsPutBeforeEachWorker(
        workers: Int,
        expected: Int
    ) { #expect(Saturation.ahead(workers: workers) == expected) }

    /// Workers that lie about what they have taken change no more than how much is put before them.
    @Test(arguments: [Int64.min, -1, 1 << 40, Int64.max]) func falseCountsAreHarmless(_ lie: Int64) throws {
        queue.meter(true)
        count.taken = lie
        let peers = try (0..<50).map { _ in try Peers() }
        for (index, pair) in peers.enumerated() { append(UInt64(index + 1), pair) }
        #expect(queue.total >= queue.count)
        var received = 0
        for _ in 0..<100 {
            if take() != nil { received += 1 }
            count.taken = lie
            queue.flush(looking: true)
        }
        #expect(received == 50)
    }
}
