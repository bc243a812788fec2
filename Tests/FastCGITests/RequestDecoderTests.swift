import FastCGI
import Testing

@Suite struct RequestDecoderTests {
    static let pairs = Wire.pairs([("REQUEST_METHOD", "POST"), ("SCRIPT_NAME", "/x.php"), ("EMPTY", "")])
    static let question = Wire.pair("FCGI_MPXS_CONNS", "")

    /// Every kind of record that is valid somewhere, twice over one connection.
    static let exchange: [UInt8] =
        Wire.body() + Wire.getValues(question, padding: 3)
        + Wire.begin(flags: 1, id: 0x0102, padding: 4)
        + Wire.parameters(pairs, id: 0x0102, padding: 7) + Wire.parameters(pairs, id: 0x0102)
        + Wire.parameters(id: 0x0102, padding: 8)
        + Wire.body([1, 2, 3], id: 0x0102, padding: 5) + Wire.body([9, 9], id: 7, padding: 6)
        + Wire.body([4, 5], id: 0x0102) + Wire.body(id: 0x0102, padding: 1)
        + Wire.begin(role: 3, id: 9) + Wire.parameters(pairs, id: 9) + Wire.parameters(id: 9)
        + Wire.body(id: 9)

    static let exchangeFacts: [Fact] = [
        .skipped, .getValues(question), .begin(0x0102, .responder, true), .parameters(pairs + pairs),
        .endOfParameters, .body([1, 2, 3]), .skipped, .body([4, 5]), .endOfBody,
        .begin(9, .filter, false), .parameters(pairs), .endOfParameters, .endOfBody,
    ]

    @Test func exchangeInOnePiece() {
        #expect(facts([Self.exchange]) == Self.exchangeFacts)
    }

    @Test func exchangeByteByByte() {
        #expect(facts(Self.exchange.map { [$0] }) == Self.exchangeFacts)
    }

    @Test func exchangeCutAnywhere() {
        for cut in 0...Self.exchange.count {
            let pieces = [Array(Self.exchange[..<cut]), Array(Self.exchange[cut...])]
            #expect(facts(pieces) == Self.exchangeFacts, "cut at \(cut)")
        }
    }

    /// A truncated exchange is a beginning of the whole one: nothing is invented, nothing is refused.
    @Test func exchangeTruncatedAnywhere() {
        for end in 0..<Self.exchange.count {
            var seen = facts([Array(Self.exchange[..<end])])
            if case .left = seen.last { seen.removeLast() }
            guard let last = seen.last else { continue }
            let before = seen.dropLast()
            #expect(before.elementsEqual(Self.exchangeFacts.prefix(before.count)), "truncated to \(end)")
            switch (last, Self.exchangeFacts[before.count]) {
            case (.parameters(let some), .parameters(let all)), (.body(let some), .body(let all)):
                #expect(all.starts(with: some), "truncated to \(end)")
            case (let one, let other): #expect(one == other, "truncated to \(end)")
            }
        }
    }

    static let start = Wire.begin() + Wire.parameters(pairs) + Wire.parameters()
    static let startFacts: [Fact] = [.begin(1, .responder, false), .parameters(pairs), .endOfParameters]

    @Test(
        arguments: [
            // First records.
            (Wire.begin(role: 2), [.begin(1, .authorizer, false)]),
            (Wire.begin(role: 0), [.violation(.unknownRole(0))]),
            (Wire.begin(role: 4), [.violation(.unknownRole(4))]),
            (Wire.begin(role: 0x0101), [.violation(.unknownRole(0x0101))]),
            (Wire.begin(flags: 0xff), [.begin(1, .responder, true)]),
            (Wire.begin(flags: 0xfe), [.begin(1, .responder, false)]),
            (Wire.begin(id: 0), [.begin(0, .responder, false)]),
            (Wire.begin(id: 65535), [.begin(65535, .responder, false)]),
            (Wire.record(1, [0, 1, 0, 0, 0, 0, 0]), [.violation(.beginRequestLength(7))]),
            (Wire.record(1, [0, 1, 0, 0, 0, 0, 0, 0, 0]), [.violation(.beginRequestLength(9))]),
            (Wire.record(1), [.violation(.beginRequestLength(0))]),
            (
                Wire.body() + Wire.body(id: 99, padding: 9) + Wire.begin(),
                [.skipped, .skipped, .begin(1, .responder, false)]
            ),
            (Wire.body([1]), [.violation(.unexpectedRecord(type: 5))]),
            (Wire.abort(), [.violation(.unexpectedRecord(type: 2))]),
            (Wire.parameters(), [.violation(.unexpectedRecord(type: 4))]),
            (Wire.record(8), [.violation(.unexpectedRecord(type: 8))]),
            (Wire.record(0), [.violation(.unexpectedRecord(type: 0))]),
            (Wire.record(200), [.violation(.unexpectedRecord(type: 200))]),
            (Wire.record(1, version: 0), [.violation(.unsupportedVersion(0))]),
            (Wire.record(5, version: 2), [.skipped]),
            (Wire.record(5, version: 255), [.skipped]),
            (Wire.getValues(), [.getValues([])]),
            (
                Wire.getValues([UInt8](repeating: 0, count: 8192)),
                [.getValues([UInt8](repeating: 0, count: 8192))]
            ),
            (Wire.getValues([UInt8](repeating: 0, count: 8193)), [.violation(.getValuesTooLong(8193))]),
            (Wire.getValues() + Wire.begin(), [.getValues([]), .begin(1, .responder, false)]),
            // While parameters come.
            (
                Wire.begin() + Wire.begin(),
                [.begin(1, .responder, false), .violation(.unexpectedRecord(type: 1))]
            ),
            (
                Wire.begin() + Wire.begin(id: 2),
                [.begin(1, .responder, false), .violation(.unexpectedRecord(type: 1))]
            ),
            (Wire.begin() + Wire.parameters(padding: 255), [.begin(1, .responder, false), .endOfParameters]),
            (Wire.begin() + Wire.parameters([1], id: 2), [.begin(1, .responder, false), .skipped]),
            (
                Wire.begin() + Wire.abort() + Wire.begin(),
                [
                    .begin(1, .responder, false), .abort, .begin(1, .responder, false),
                ]
            ),
            (Wire.begin() + Wire.abort(id: 2), [.begin(1, .responder, false), .skipped]),
            (
                Wire.begin() + Wire.record(8, [1]),
                [.begin(1, .responder, false), .violation(.unexpectedRecord(type: 8))]
            ),
            (
                Wire.begin() + Wire.record(77),
                [.begin(1, .responder, false), .violation(.unexpectedRecord(type: 77))]
            ),
            (Wire.begin() + Wire.getValues(), [.begin(1, .responder, false), .skipped]),
            // The empty PARAMS is missing.
            (
                Wire.begin() + Wire.parameters(pairs) + Wire.body([7]) + Wire.body(),
                startFacts + [.body([7]), .endOfBody]
            ),
            (Wire.begin() + Wire.body(), [.begin(1, .responder, false), .endOfParameters, .endOfBody]),
            // While the body comes.
            (start + Wire.begin(), startFacts + [.violation(.unexpectedRecord(type: 1))]),
            (
                start + Wire.body([1]) + Wire.begin(id: 2),
                startFacts + [.body([1]), .violation(.unexpectedRecord(type: 1))]
            ),
            (start + Wire.parameters(), startFacts + [.violation(.unexpectedRecord(type: 4))]),
            (start + Wire.record(8, [1]), startFacts + [.violation(.unexpectedRecord(type: 8))]),
            (start + Wire.body([1]) + Wire.abort(), startFacts + [.body([1]), .abort]),
            (start + Wire.record(5, version: 0), startFacts + [.violation(.unsupportedVersion(0))]),
            (start + Wire.record(200, [1, 2], id: 4), startFacts + [.skipped]),
            // After the terminator the body is over, whatever was promised.
            (
                start + Wire.body() + Wire.body([1]),
                startFacts + [.endOfBody, .violation(.unexpectedRecord(type: 5))]
            ),
        ] as [([UInt8], [Fact])]
    )
    func sequence(bytes: [UInt8], expected: [Fact]) {
        #expect(facts([bytes]) == expected)
        #expect(facts(bytes.map { [$0] }) == expected)
    }

    @Test func largestRecordWithPadding() {
        let content = [UInt8](repeating: 7, count: 65535)
        let bytes = Self.start + Wire.body(content, padding: 255) + Wire.body()
        #expect(facts([bytes]) == Self.startFacts + [.body(content), .endOfBody])
    }

    @Test func parametersAreLimitedPerRequest() {
        let decoder = RequestDecoder(maximumParameterBytes: 10)
        let five = [UInt8](repeating: 0, count: 5)
        let fits =
            Wire.begin() + Wire.parameters(five) + Wire.parameters(five) + Wire.parameters() + Wire.body()
        let fact: [Fact] = [
            .begin(1, .responder, false), .parameters(five + five), .endOfParameters, .endOfBody,
        ]
        #expect(facts([fits + fits], decoder: decoder) == fact + fact)
        let tooLong = Wire.begin() + Wire.parameters(five) + Wire.parameters(five + [0])
        #expect(
            facts([tooLong], decoder: decoder)
                == [
                    .begin(1, .responder, false), .parameters(five),
                    .violation(.parametersTooLong(limit: 10)),
                ]
        )
        // The limit speaks when the header comes, not when the memory has been filled.
        #expect(
            facts([Wire.begin() + Wire.parameters([UInt8](repeating: 0, count: 11))[..<8]], decoder: decoder)
                == [.begin(1, .responder, false), .violation(.parametersTooLong(limit: 10))]
        )
    }

    @Test func bodyIsHandedOutBeforeItsRecordIsComplete() throws {
        var decoder = RequestDecoder()
        var bytes = Self.start + Wire.body([1, 2, 3, 4], padding: 2)[..<10]
        for _ in 0..<3 { bytes.removeFirst(try decoder.next(bytes.span).consumed) }
        let expected: [([UInt8], RequestDecoder.Step)] = [
            (bytes, .init(consumed: 10, event: .body(8..<10))),
            ([], .init(consumed: 0, event: .needMore)),
            ([3], .init(consumed: 1, event: .body(0..<1))),
            // The record is over with its padding.
            ([4, 0x55], .init(consumed: 0, event: .needMore)),
            ([4, 0x55, 0x55], .init(consumed: 3, event: .body(0..<1))),
        ]
        for (bytes, step) in expected {
            let decoded = try decoder.next(bytes.span)
            #expect(decoded == step)
        }
    }

    /// What is complete is so with the padding: somebody else may read on from there.
    @Test(
        arguments: [
            (Wire.begin(padding: 4), [], .begin(1, .responder, false)),
            (Wire.getValues(padding: 4), [], .getValues([])),
            (Wire.body(padding: 4), [], .skipped),
            (Wire.parameters(padding: 4), Wire.begin(), .endOfParameters),
            (Wire.body(padding: 4), start, .endOfBody),
            (Wire.record(2, [1, 2], padding: 4), start, .abort),
        ] as [([UInt8], [UInt8], Fact)]
    )
    func recordsAreWholeWithTheirPadding(record: [UInt8], before: [UInt8], fact: Fact) throws {
        for count in 0..<record.count {
            var decoder = RequestDecoder()
            var bytes = before + record[..<count]
            while true {
                let step = try decoder.next(bytes.span)
                bytes.removeFirst(step.consumed)
                if step.event == .needMore { break }
            }
            #expect(bytes == Array(record[..<count]))
        }
        #expect(facts([before + record]).last == fact)
    }

    /// Requests are answered at different points of their body; then another follows, or the surplus.
    @Test(
        arguments: [
            // The body received and consumed; can the connection be kept; what follows; what that says.
            (Wire.body(), true, Wire.begin(), [.begin(1, .responder, false)]),
            ([], true, Wire.begin(), [.begin(1, .responder, false)]),
            ([], true, Wire.body() + Wire.begin(), [.skipped, .begin(1, .responder, false)]),
            ([], true, Wire.body([1]), [.violation(.unexpectedRecord(type: 5))]),
            (Wire.body([1, 2]), true, Wire.body(), [.skipped]),
            (Wire.body([1, 2]), true, Wire.body([1]), [.violation(.unexpectedRecord(type: 5))]),
            (Array(Wire.body([1, 2], padding: 4)[..<9]), false, [], []),
            (Array(Wire.body([1, 2])[..<9]), false, [], []),
            (Array(Wire.body([1, 2], id: 5)[..<9]), false, [], []),
            (Array(Wire.body([1, 2], id: 5, padding: 4)[..<12]), false, [], []),
        ] as [([UInt8], Bool, [UInt8], [Fact])]
    )
    func endingARequest(body: [UInt8], isKept: Bool, next: [UInt8], expected: [Fact]) throws {
        var decoder = RequestDecoder()
        var bytes = Self.start + body
        while true {
            let step = try decoder.next(bytes.span)
            bytes.removeFirst(step.consumed)
            if step.event == .needMore { break }
        }
        #expect(bytes.isEmpty)
        let isReusable = decoder.endRequest()
        #expect(isReusable == isKept)
        #expect(facts([next], decoder: decoder) == expected)
    }

    @Test func drainingMakesTheConnectionUsableAgain() throws {
        var decoder = RequestDecoder()
        var bytes = Self.start + Wire.body([1, 2])[..<9]
        while !bytes.isEmpty { bytes.removeFirst(try decoder.next(bytes.span).consumed) }
        let isReusable = decoder.endRequest()
        #expect(!isReusable)
        #expect(!decoder.isBetweenRequests)
        #expect(
            facts([[2] + Wire.body() + Wire.begin()], decoder: decoder) == [
                .body([2]), .endOfBody, .begin(1, .responder, false),
            ]
        )
    }

    @Test func betweenRequestsIsKnown() throws {
        var decoder = RequestDecoder()
        #expect(decoder.isBetweenRequests)
        _ = try decoder.next(Wire.begin().span)
        #expect(!decoder.isBetweenRequests)
        let isReusable = decoder.endRequest()
        #expect(!isReusable)
        _ = try decoder.next(Wire.parameters().span)
        #expect(!decoder.isBetweenRequests)
        _ = try decoder.next(Wire.body().span)
        #expect(decoder.isBetweenRequests)
    }
}
