import Configuration
import Syscalls
import Testing

@testable import Master

/// Words of log lines.
@Suite struct LogTextTests {
    @Test(arguments: [
        (0, "0 workers are busy"),
        (1, "1 worker is busy"),
        (2, "2 workers are busy"),
        (11, "11 workers are busy"),
        (101, "101 workers are busy"),
    ])
    func oneHasWordsOfItsOwn(count: Int, text: String) {
        #expect(counted(count, "worker is busy", "workers are busy") == text)
    }

    @Test(arguments: [
        (Duration.zero, "0.000000", "0.0 s"),
        (.microseconds(1), "0.000001", "0.0 s"),
        (.milliseconds(1250), "1.250000", "1.2 s"),
        (.seconds(3600), "3600.000000", "3600.0 s"),
    ])
    func durations(duration: Duration, seconds: String, tenths: String) {
        #expect(secondsText(duration).description == seconds)
        #expect(tenthsText(duration) == tenths)
    }

    @Test func exits() {
        let table: [(reason: ProcessExit.Reason, text: String)] = [
            (.code(0), "with code 0"),
            (.code(70), "with code 70"),
            (.signal(.kill, coreDumped: false), "on signal 9 (SIGKILL)"),
            (.signal(.segmentationFault, coreDumped: true), "on signal 11 (SIGSEGV - core dumped)"),
        ]
        for (reason, text) in table {
            #expect(describeExit(ProcessExit(process: ProcessID(4711), reason: reason)) == text)
        }
    }
}
