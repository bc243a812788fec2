import CEpoll
import Foundation
import Syscalls
import Testing

/// Durations and moments.
@Suite struct TimeTests {
    static let ceiling = UInt64(Int64.max)

    @Test(
        arguments: [
            (Duration.zero, 0), (.nanoseconds(1), 1), (.milliseconds(1500), 1_500_000_000),
            (.seconds(3) + .nanoseconds(7), 3_000_000_007), (.nanoseconds(-1), 0), (.seconds(-5), 0),
            (Duration(secondsComponent: 0, attosecondsComponent: 999_999_999), 0),
            (Duration(secondsComponent: 0, attosecondsComponent: 1_000_000_000), 1),
            (.seconds(9_223_372_036), 9_223_372_036_000_000_000),
            // Beyond 2^63 ns, on both sides of 2^64 ns, and far out: never less than what is shorter.
            (.seconds(9_223_372_037), ceiling), (.seconds(18_446_744_073), ceiling),
            (.seconds(18_446_744_073) + .milliseconds(999), ceiling), (.seconds(18_446_744_074), ceiling),
            (.seconds(Int64.max), ceiling),
        ] as [(Duration, UInt64)]
    )
    func nanosecondsSaturate(duration: Duration, expected: UInt64) {
        #expect(duration.nanoseconds == expected)
    }

    @Test func momentsAddAndSubtract() {
        let start = MonotonicTime(nanoseconds: 5_000_000_000)
        #expect(start + .milliseconds(250) == MonotonicTime(nanoseconds: 5_250_000_000))
        #expect(start + .seconds(-3) == start, "no way back")
        #expect((start + .seconds(2)) - start == .seconds(2))
        #expect(start - (start + .seconds(2)) == .zero)
        #expect(start - start == .zero)
        #expect(start < start + .nanoseconds(1))
        #expect(!(start < start))
    }

    @Test func additionSaturates() {
        let late = MonotonicTime(nanoseconds: UInt64.max - 5)
        #expect(late + .seconds(1) == MonotonicTime(nanoseconds: .max))
        #expect(MonotonicTime.now + .seconds(Int64.max) > MonotonicTime.now)
        #expect(MonotonicTime(nanoseconds: .max) - MonotonicTime(nanoseconds: 0) == .nanoseconds(Int64.max))
    }

    @Test func clocksGoForward() {
        let first = MonotonicTime.now
        let second = MonotonicTime.now
        #expect(second >= first)
        #expect(abs(Double(wallClockSeconds()) - Date().timeIntervalSince1970) < 5)
    }

    @Test func wallClockIsFormattedInLocalTime() async {
        await #expect(processExitsWith: .success) {
            setenv("TZ", "XYZ-3:30", 1)
            #expect(formatLocalTime("%d-%b-%Y %H:%M:%S", 1_795_348_817) == "22-Nov-2026 15:30:17")
            #expect(formatLocalTime("", 0) == "")
            #expect(formatLocalTime(String(repeating: "x", count: 255), 0).count == 255)
            #expect(
                formatLocalTime(String(repeating: "x", count: 256), 0) == "",
                "256 bytes with the terminator"
            )
        }
    }
}
