import Control
import Testing

/// Requests and answers: what is written is read back, and what is malformed is refused with its reason.
struct ControlProtocolTests {
    private static func decode(_ text: String) throws -> ControlRequest {
        try ControlRequest(decoding: Array(text.utf8))
    }

    @Test(arguments: ControlCommand.allCases)
    func requestsAreReadBack(_ command: ControlCommand) throws {
        var request = ControlRequest(command)
        #expect(try ControlRequest(decoding: request.encoded.dropLast()) == request)
        request.pool = "p\"\n ☃"
        request.process = .max
        request.count = 0
        request.action = "reset"
        request.file = "/srv/é.php"
        request.showsWorkers = true
        #expect(request.encoded.last == UInt8(ascii: "\n"))
        #expect(request.encoded.dropLast().contains(UInt8(ascii: "\n")) == false)
        #expect(try ControlRequest(decoding: Array(request.encoded.dropLast())) == request)
    }

    static let malformed: [(String, ControlError)] = [
        ("", .malformed), ("hello", .malformed), ("[]", .malformed), ("null", .malformed), ("{}", .malformed),
        (#"{"command":"status"}"#, .malformed), (#"{"version":"1","command":"status"}"#, .malformed),
        (#"{"version":2,"command":"status"}"#, .version), (#"{"version":1}"#, .malformed),
        (#"{"version":1,"command":1}"#, .malformed), (#"{"version":1,"command":"format-disk"}"#, .command),
        (#"{"version":1,"command":"status","extra":1}"#, .malformed),
        (#"{"version":1,"command":"status","pool":1}"#, .malformed),
        (#"{"version":1,"command":"status","pool":""}"#, .malformed),
        (#"{"version":1,"command":"status","pool":"a\u0000b"}"#, .malformed),
        (#"{"version":1,"command":"trace","process":0}"#, .malformed),
        (#"{"version":1,"command":"trace","process":-1}"#, .malformed),
        (#"{"version":1,"command":"trace","process":4294967296}"#, .malformed),
        (#"{"version":1,"command":"scale","count":-1}"#, .malformed),
        (#"{"version":1,"command":"scale","count":1.5}"#, .malformed),
        (#"{"version":1,"command":"status","command":"restart"}"#, .malformed),
    ]

    @Test(arguments: malformed)
    func refuses(_ text: String, _ code: ControlError) {
        let error = #expect(throws: ControlRequest.Refused.self) { try Self.decode(text) }
        #expect(error?.code == code)
        #expect(error?.reason.isEmpty == false)
    }

    @Test func refusesTextsThatAreTooLongOrTooMany() {
        let long = String(repeating: "x", count: 4097)
        #expect(throws: ControlRequest.Refused.self) {
            try Self.decode(#"{"version":1,"command":"status","pool":"\#(long)"}"#)
        }
        let many = (0..<100).map { "\"m\($0)\":1" }.joined(separator: ",")
        #expect(throws: ControlRequest.Refused.self) {
            try Self.decode(#"{"version":1,"command":"status",\#(many)}"#)
        }
    }

    @Test func answersAreReadBack() {
        let answers: [ControlAnswer] = [
            .done(.null), .done(["a": [1, "x"]]), .refused(.noPool, "there is no pool 'a\nb'"),
            .refused(.failed, "refused", details: ["one", "two"]),
        ]
        for answer in answers {
            let bytes = answer.encoded
            #expect(bytes.filter { $0 == UInt8(ascii: "\n") }.count == 1)
            #expect(ControlAnswer(decoding: Array(bytes.dropLast())) == answer)
        }
    }

    @Test func whatIsNoAnswerIsNone() {
        for text in [
            "", "{}", #"{"version":1}"#, #"{"version":9,"ok":true}"#, #"{"version":1,"ok":false}"#,
            "HTTP/1.1 200 OK",
        ] {
            #expect(ControlAnswer(decoding: Array(text.utf8)) == nil)
        }
    }

    @Test func onlyLookingIsReadOnly() {
        let readable = ControlCommand.allCases.filter(\.isReadOnly)
        #expect(readable == [.status, .health])
    }

    @Test func suggestsTheNearestName() {
        #expect(nearestName(to: "ww", among: ["api", "www", "shop"]) == "www")
        #expect(nearestName(to: "shpo", among: ["api", "www", "shop"]) == nil)
        #expect(nearestName(to: "shoq", among: ["api", "www", "shop"]) == "shop")
        #expect(nearestName(to: "zebra", among: ["api", "www"]) == nil)
        #expect(nearestName(to: "x", among: []) == nil)
    }
}
