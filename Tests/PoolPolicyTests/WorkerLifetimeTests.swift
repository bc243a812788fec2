import PoolPolicy
import Testing

@Suite struct WorkerLifetimeTests {
    /// Serves until the worker leaves: after how many requests it announced that, and how many there were.
    private func run(_ maxRequests: Int, seed: UInt64) -> (announced: Int?, served: Int) {
        var life = WorkerLifetime(maxRequests: maxRequests, least: 10, seed: seed)
        var announced: Int?
        for served in 1...(maxRequests + 1) {
            switch life.requestServed() {
            case .goOn: #expect(!life.isOver)
            case .announce:
                #expect(announced == nil, "said once")
                announced = served
            case .leave:
                #expect(life.isOver)
                return (announced, served)
            }
        }
        Issue.record("more than \(maxRequests) requests")
        return (announced, .max)
    }

    @Test func withoutLimit() {
        var life = WorkerLifetime(maxRequests: 0, least: 10, seed: 1)
        for _ in 1...1000 { #expect(life.requestServed() == .goOn) }
        #expect(!life.isOver)
    }

    @Test(arguments: 1...9) func smallNumbersAreKeptExactly(maxRequests: Int) {
        for seed in 0..<50 {
            let (announced, served) = run(maxRequests, seed: UInt64(seed))
            #expect(served == maxRequests)
            #expect(announced == nil)
        }
    }

    @Test(arguments: [10, 11, 99, 500, 10000]) func spread(maxRequests: Int) throws {
        var lives: Set<Int> = []
        for seed in UInt64(4000)..<4100 {
            let (announced, served) = run(maxRequests, seed: seed)
            #expect(served <= maxRequests)
            #expect(served >= maxRequests - maxRequests / 10)
            #expect(try #require(announced) < served)
            #expect(served - (announced ?? 0) <= 32)
            lives.insert(served)
        }
        #expect(
            lives.count > min(100, maxRequests / 10 + 1) / 2,
            "workers started together do not leave together"
        )
    }
}
