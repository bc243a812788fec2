import Configuration
import Foundation
import Reactor
import StatusPage
import Syscalls
import Testing

@testable import Master

/// Answers that are made in steps.
@Suite struct HTTPConnectionTests {
    private let reactor: Reactor

    init() throws { reactor = try Reactor() }

    private func connection(_ peers: Peers, _ pieces: [HTTPAnswer.Piece], onEnd: @escaping () -> Void = {})
        throws -> HTTPConnection
    {
        let connection = HTTPConnection(
            Connection(adopting: peers.server),
            reactor: reactor,
            share: TurnShare(reactor: reactor),
            answer: { _ in
                var rest = pieces[...]
                return HTTPAnswer("200 OK", "text/plain") { rest.popFirst() ?? .over }
            },
            onEnd: onEnd
        )
        try connection.begin()
        return connection
    }

    private func ask(_ peers: Peers) {
        let request = Array("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8)
        #expect(send(peers.client.rawValue, request, request.count, 0) == request.count)
    }

    /// What is not ready yet is asked for in later turns, one step each, until it is there.
    @Test func comesBackForWhatIsNotReady() throws {
        let peers = try Peers()
        let bytes = Array("hello".utf8)
        let later = [HTTPAnswer.Piece](repeating: .later, count: 5)
        let connection = try connection(peers, later + [.bytes(bytes)] + later + [.bytes([]), .bytes(bytes)])
        ask(peers)
        var received: [UInt8] = []
        try reactor.turn {
            guard let piece = peers.read() else { return true }
            received += piece
            return false
        }
        let text = String(decoding: received, as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n") && text.contains("\r\nTransfer-Encoding: chunked\r\n"))
        #expect(text.hasSuffix("\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n"))
        withExtendedLifetime(connection) {}
    }

    @Test func onePieceHasALength() throws {
        let peers = try Peers()
        let connection = try connection(peers, [.bytes(Array("hello".utf8))])
        ask(peers)
        var received: [UInt8] = []
        try reactor.turn {
            received += peers.read() ?? []
            return received.suffix(5) == Array("hello".utf8)[...]
        }
        #expect(String(decoding: received, as: UTF8.self).contains("\r\nContent-Length: 5\r\n"))
        withExtendedLifetime(connection) {}
    }

    /// An answer that cannot be ended ends the connection, without the chunk that would make it whole.
    @Test(arguments: [0, 1, 2, 3]) func brokenAnswerIsNotWhole(_ position: Int) throws {
        let peers = try Peers()
        var hasEnded = false
        var holder: HTTPConnection?
        var pieces = [HTTPAnswer.Piece](repeating: .bytes(Array("hello".utf8)), count: 3)
        pieces.insert(.broken, at: position)
        holder = try connection(peers, pieces) {
            hasEnded = true
            holder = nil
        }
        ask(peers)
        var received: [UInt8] = []
        try reactor.turn {
            guard let piece = peers.read() else { return true }
            received += piece
            return false
        }
        #expect(hasEnded && holder == nil)
        #expect(!String(decoding: received, as: UTF8.self).contains("\r\n0\r\n"))
    }

    /// A turn has one step in any case, and further ones only while it is short.
    @Test func shareOfATurn() throws {
        let share = TurnShare(reactor: reactor)
        #expect(share.takeStep())
        let start = MonotonicTime.now
        while MonotonicTime.now - start < .milliseconds(2) {}
        #expect(!share.takeStep() && !share.takeStep())
        let deadline = reactor.after(.zero) {}
        try reactor.turn(limit: .zero)
        #expect(share.takeStep())
        withExtendedLifetime(deadline) {}
    }
}

@Suite struct ScrapesTests {
    private func scrape(_ count: Int) -> Scrape {
        let scrape = Scrape((0..<count).map { ByteString("p\($0)") })
        let start = StartTime(epochSeconds: 0, text: [], secondsSince: 0)
        let status = PoolStatus(pool: [], processManager: [], start: start)
        while scrape.nextName() != nil { scrape.add(PoolFigures(status: status, maxChildren: 1)) }
        return scrape
    }

    /// Who has begun first makes room; one is always possible, however many pools there are.
    @Test func oldestIsGivenUp() {
        let scrapes = Scrapes()
        let all = (0..<4).map { _ in
            let one = scrape(Scrapes.limit / 3)
            scrapes.begin(one)
            return one
        }
        #expect(
            all.map(\.isDropped) == [true, false, false, false]
                || all.map(\.isDropped) == [true, true, false, false]
        )
        #expect(all[0].figures.isEmpty)
        let large = scrape(Scrapes.limit * 2)
        scrapes.begin(large)
        #expect(all.allSatisfy(\.isDropped) && !large.isDropped)
        #expect(large.figures.count == Scrapes.limit * 2)
    }

    /// Nothing of thousands of pools is made or freed in one turn.
    @Test func figuresAreGivenBackInSteps() {
        let one = scrape(Scrape.mostGivenBack * 2 + 1)
        one.write(ServiceFigures(version: []), .text)
        while one.exposition?.next() != nil {}
        #expect(!one.isWritten)
        #expect(!one.giveBack() && one.isWritten && one.exposition == nil)
        #expect(one.figures.count == Scrape.mostGivenBack + 1)
        #expect(!one.giveBack() && one.figures.count == 1)
        #expect(one.giveBack() && one.figures.isEmpty)
        #expect(one.giveBack())
    }

    @Test func whatIsOverTakesNoRoom() {
        let scrapes = Scrapes()
        for _ in 0..<10 { scrapes.begin(scrape(Scrapes.limit / 2)) }
        let last = scrape(Scrapes.limit / 3)
        scrapes.begin(last)
        let other = scrape(Scrapes.limit / 3)
        scrapes.begin(other)
        #expect(!last.isDropped && !other.isDropped)
    }
}
