import FastCGI
import Testing

@Suite struct ParameterTableTests {
    private func fill(_ table: inout ParameterTable, _ pieces: [[UInt8]]) throws(ProtocolViolation) {
        table.reset()
        for piece in pieces { try table.append(piece.span) }
        try table.finish()
    }

    @Test func pairsKeepTheirOrder() throws {
        var table = ParameterTable()
        let stream = Wire.pairs([("B", "2"), ("A", "1"), ("EMPTY", ""), ("", "nameless"), ("C", "3")])
        try fill(&table, [stream])
        #expect(table.pairs == [["B", "2"], ["A", "1"], ["EMPTY", ""], ["", "nameless"], ["C", "3"]])
        #expect(table.count == 5)
        #expect(table.text(of: "A") == "1")
        #expect(table.text(of: "EMPTY") == "")
        #expect(table.text(of: "D") == nil)
        #expect(table.text(of: "a") == nil)
    }

    @Test func lastValueWinsAndFirstPlaceStays() throws {
        var table = ParameterTable()
        try fill(&table, [Wire.pairs([("A", "1"), ("B", "2"), ("A", "three"), ("A", "")])])
        #expect(table.pairs == [["A", ""], ["B", "2"]])
    }

    static let long = String(repeating: "v", count: 300)
    static let stream =
        Wire.pairs([("SHORT", "value"), (String(repeating: "N", count: 200), "x"), ("LONG", long), ("E", "")])
        + Wire.pair("FOUR", "bytes", longLengths: true)
    static let pairs = [
        ["SHORT", "value"], [String(repeating: "N", count: 200), "x"], ["LONG", long], ["E", ""],
        ["FOUR", "bytes"],
    ]

    @Test func streamCutAnywhere() throws {
        var table = ParameterTable()
        for cut in 0...Self.stream.count {
            try fill(&table, [Array(Self.stream[..<cut]), Array(Self.stream[cut...])])
            #expect(table.pairs == Self.pairs, "cut at \(cut)")
        }
        try fill(&table, Self.stream.map { [$0] })
        #expect(table.pairs == Self.pairs)
    }

    @Test func streamTruncatedAnywhere() throws {
        var table = ParameterTable()
        var ends: Set<Int> = [0]
        for pair in Self.pairs { ends.insert((ends.max() ?? 0) + Wire.pair(pair[0], pair[1]).count) }
        ends.remove(Self.stream.count - 6)
        for end in 0..<Self.stream.count {
            if ends.contains(end) {
                try fill(&table, [Array(Self.stream[..<end])])
            } else {
                #expect(throws: ProtocolViolation.truncatedPair, "truncated to \(end)") {
                    try fill(&table, [Array(Self.stream[..<end])])
                }
            }
        }
    }

    @Test(
        arguments: [
            [0x80, 0, 0], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], [1], [0x80, 0, 0, 1],
            [1, 0x80, 0, 0, 0],
            [5, 0, 1, 2, 3, 4], [0, 5, 1, 2, 3, 4], [127, 127],
        ] as [[UInt8]]
    )
    func lyingLengths(stream: [UInt8]) {
        var table = ParameterTable()
        #expect(throws: ProtocolViolation.truncatedPair) { try fill(&table, [stream]) }
        #expect(throws: ProtocolViolation.truncatedPair) { try fill(&table, stream.map { [$0] }) }
    }

    @Test func pairsAreLimited() throws {
        var table = ParameterTable(maximumCount: 2)
        try fill(&table, [Wire.pairs([("A", "1"), ("A", "2")])])
        #expect(throws: ProtocolViolation.tooManyParameters(limit: 2)) {
            try fill(&table, [Wire.pairs([("A", "1"), ("A", "2"), ("A", "3")])])
        }
        try fill(&table, [Wire.pairs([("A", "1"), ("B", "2")])])
        #expect(table.count == 2)
    }

    @Test(arguments: [[1, 1], [2, 1]])
    func bytesFromANULOnAreDropped(cutting: [Int]) throws {
        let stream =
            Wire.pair("HTTP_PROXY\0X", "evil") + Wire.pair("SCRIPT_FILENAME", "/d/evil.jpg\0.php")
            + Wire.pair("A", "1") + Wire.pair("A\0B", "2")
        var table = ParameterTable()
        try fill(&table, cutting[0] == 1 ? [stream] : stream.map { [$0] })
        #expect(table.pairs == [["HTTP_PROXY", "evil"], ["SCRIPT_FILENAME", "/d/evil.jpg"], ["A", "2"]])
        #expect(table.text(of: "HTTP_PROXY") == "evil")
        #expect(table.text(of: "HTTP_PROXY\0X") == nil)
    }

    @Test func tablesAreUsedAgain() throws {
        var table = ParameterTable()
        try fill(&table, [Self.stream])
        #expect(throws: ProtocolViolation.truncatedPair) { try fill(&table, [[9, 9, 9]]) }
        try fill(&table, [Wire.pair("A", "1")])
        #expect(table.pairs == [["A", "1"]])
        #expect(table.text(of: "SHORT") == nil)
        table.reset(role: .authorizer)
        try table.append(Wire.pair("A", "2").span)
        try table.finish()
        #expect(table.pairs == [["FCGI_ROLE", "AUTHORIZER"], ["A", "2"]])
    }

    @Test func manyNames() throws {
        var table = ParameterTable(seed: 1)
        let names = (0..<20000).map { "NAME_\($0)" }
        let bytes = names.flatMap { Wire.pair($0, "v" + $0) }
        try fill(&table, [bytes, bytes])
        #expect(table.count == names.count)
        for name in names.indices where name % 997 == 0 {
            #expect(table.text(of: names[name]) == "v" + names[name])
        }
        #expect(table.text(of: "NAME_20000") == nil)
        try fill(&table, [Wire.pair("NAME_1", "x")])
        #expect(table.pairs == [["NAME_1", "x"]])
    }

    @Test func changes() throws {
        var table = ParameterTable()
        try fill(&table, [Wire.pairs([("A", "1"), ("B", "2"), ("C", "3")])])
        guard let b = table.value(of: "B") else {
            Issue.record("B is missing")
            return
        }
        table.set("ORIG_B", to: b)
        table.set("B", to: "two")
        #expect(table.pairs == [["A", "1"], ["B", "two"], ["C", "3"], ["ORIG_B", "2"]])
        table.remove("A")
        table.remove("A")
        #expect(table.pairs == [["B", "two"], ["C", "3"], ["ORIG_B", "2"]])
        #expect(table.text(of: "A") == nil)
        #expect(table.text(of: "C") == "3")
        table.set("A", to: [UInt8]("again".utf8).span)
        #expect(table.pairs.last == ["A", "again"])
    }

    @Test func namesOfAllLengthsAreTold() throws {
        var table = ParameterTable()
        let names = (0...40).flatMap { length in
            [String(repeating: "x", count: length), String(repeating: "x", count: length) + "y"]
        }
        try fill(&table, [names.flatMap { Wire.pair($0, "v" + $0) }])
        #expect(table.count == names.count)
        for name in names { #expect(table.text(of: name) == "v" + name) }
    }

    @Test func cSeesTerminatedStrings() throws {
        var table = ParameterTable()
        try fill(&table, [Wire.pairs([("NAME", "value"), ("E", "")])])
        #expect(MemoryLayout<ParameterTable.Entry>.stride == 16)
        let seen = table.withEntries { entries, arena in
            entries.flatMap {
                [
                    String(cString: arena + Int($0.nameOffset)), String(cString: arena + Int($0.valueOffset)),
                    "\($0.nameLength) \($0.valueLength)",
                ]
            }
        }
        #expect(seen == ["NAME", "value", "4 5", "E", "", "1 0"])
    }

    @Test(
        arguments: [
            (nil, 0), ("", 0), ("0", 0), ("17", 17), ("+17", 17), ("-5", -5), (" \t17x9", 17), ("x17", 0),
            ("--5", 0),
            ("007", 7), ("9223372036854775807", .max), ("9223372036854775808", .max),
            ("-9223372036854775808", .min),
            ("-99999999999999999999", .min), ("-", 0), (" ", 0),
        ] as [(String?, Int)]
    )
    func numbersAreReadAsCDoes(text: String?, number: Int) throws {
        var table = ParameterTable()
        try fill(&table, [text.map { Wire.pair("CONTENT_LENGTH", $0) } ?? []])
        #expect(table.number(of: "CONTENT_LENGTH") == number)
    }
}
