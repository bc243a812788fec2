import Syscalls
import Testing

@testable import Master

@Suite struct AllowanceTests {
    private func take(_ allowance: inout Allowance, _ times: UInt64...) -> [Bool] {
        times.map { allowance.take(at: at($0)) }
    }

    private func at(_ milliseconds: UInt64) -> MonotonicTime {
        MonotonicTime(nanoseconds: 1_000_000_000_000 + milliseconds * 1_000_000)
    }

    @Test func someAtOnceThenOneInAPeriod() {
        var allowance = Allowance(most: 3, period: .seconds(2))
        #expect(take(&allowance, 0, 1, 2, 3, 4) == [true, true, true, false, false])
        #expect(take(&allowance, 1999, 2000, 2001, 3999, 4000) == [false, true, false, false, true])
    }

    @Test func restEarnsNoMoreThanAtFirst() {
        var allowance = Allowance(most: 2, period: .seconds(1))
        #expect(take(&allowance, 0, 0, 1) == [true, true, false])
        #expect(take(&allowance, 3_600_000, 3_600_000, 3_600_000) == [true, true, false])
    }
}
