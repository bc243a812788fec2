import Channel
import Configuration
import Testing

@Suite struct ZygoteReportTests {
    private var layout: TraceLayout? { TraceLayout((1...10).map { UInt64($0) }) }

    private func decoded(_ bytes: [UInt8]) -> ZygoteReport? {
        bytes.withUnsafeBytes { ZygoteReport(decoding: $0) }
    }

    @Test func isReadBack() {
        let report = ZygoteReport(traceLayout: layout, poweredBy: "PHP/8.2.0", charset: "UTF-8")
        #expect(decoded(report.encoded()) == report)
        let empty = ZygoteReport(traceLayout: nil, poweredBy: nil, charset: "")
        #expect(decoded(empty.encoded()) == empty)
    }

    @Test func headersCannotBeInjected() {
        let hostile = ZygoteReport(traceLayout: nil, poweredBy: "a\r\nSet-Cookie: x\0", charset: "b\nc")
        #expect(hostile.poweredBy == "aSet-Cookie: x" && hostile.charset == "bc")
        let long = ByteString([UInt8](repeating: 65, count: 5000))
        let report = ZygoteReport(traceLayout: nil, poweredBy: long, charset: long)
        #expect(report.encoded().count <= ZygoteReport.longestCount)
    }

    @Test func otherBytesAreNone() {
        #expect(decoded([]) == nil)
        #expect(decoded([UInt8](repeating: 1, count: 500)) == nil)
    }
}
