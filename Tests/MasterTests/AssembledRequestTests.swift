import FastCGI
import Testing

@testable import Master

@Suite struct AssembledRequestTests {
    private static func record(_ kind: UInt8, _ content: [UInt8]) -> [UInt8] {
        [1, kind, 0, 7, UInt8(content.count >> 8), UInt8(content.count & 255), 0, 0] + content
    }
    private static func begin(keep: Bool) -> [UInt8] { record(1, [0, 1, keep ? 1 : 0, 0, 0, 0, 0, 0]) }
    private static func pair(_ name: String, _ value: String) -> [UInt8] {
        [UInt8(name.utf8.count), UInt8(value.utf8.count)] + Array(name.utf8) + Array(value.utf8)
    }
    private static func parameters(_ pairs: [UInt8]) -> [UInt8] { record(4, pairs) + record(4, []) }

    private func read(_ bytes: [UInt8]) -> AssembledRequest? {
        AssembledRequest.read(bytes, into: &RequestScratch().table)
    }

    @Test(arguments: [true, false]) func complete(_ keep: Bool) {
        let bytes = Self.begin(keep: keep) + Self.parameters(Self.pair("A", "b")) + Self.record(5, [])
        let request = read(bytes + [1, 1, 0])
        #expect(request?.requestID == 7 && request?.keepsConnection == keep && request?.end == bytes.count)
    }

    @Test func bodyIsStillToCome() {
        let head = Self.begin(keep: true) + Self.parameters(Self.pair("CONTENT_LENGTH", "5"))
        let request = read(head + Self.record(5, [1, 2]))
        #expect(request != nil && request?.end == nil)
    }

    /// A client that does not end the stream of its body: what it announced is there.
    @Test func endOfBodyIsMissing() {
        let bytes =
            Self.begin(keep: true) + Self.parameters(Self.pair("CONTENT_LENGTH", "2"))
            + Self.record(5, [1, 2])
        #expect(read(bytes)?.end == bytes.count)
    }

    /// Only its end says how long such a body is.
    @Test func bodyOfUnknownLength() {
        let bytes =
            Self.begin(keep: true) + Self.parameters(Self.pair("CONTENT_LENGTH", "-1"))
            + Self.record(5, [1, 2])
        let request = read(bytes)
        #expect(request != nil && request?.end == nil)
        let end = Self.record(5, [])
        #expect(read(bytes + end)?.end == bytes.count + end.count)
    }

    @Test func notARequest() {
        #expect(read([]) == nil)
        #expect(read(Self.begin(keep: true)) == nil)
        #expect(read(Self.begin(keep: true) + Self.record(4, Self.pair("A", "b"))) == nil)
        #expect(read(Self.record(9, [])) == nil)
        #expect(read([9, 9, 9, 9, 9, 9, 9, 9]) == nil)
        #expect(read(Self.begin(keep: true) + Self.record(4, [200]) + Self.record(4, [])) == nil)
    }
}
