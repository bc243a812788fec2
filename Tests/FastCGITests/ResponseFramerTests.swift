import FastCGI
import Testing

@Suite struct ResponseFramerTests {
    /// Frames `pieces` through a buffer of `size` bytes and returns all bytes sent, and in how many sends.
    private func send(_ pieces: [(ResponseFramer.Stream, [UInt8])], size: Int, id: UInt16 = 1) -> (
        [UInt8], Int
    ) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 0xee)
        var framer = ResponseFramer(requestID: id)
        var sent: [UInt8] = []
        var sends = 0
        func flush() {
            framer.closeRecord(in: buffer)
            sent += buffer[..<framer.count]
            sends += 1
            framer.bufferSent()
        }
        for (stream, bytes) in pieces {
            var taken = 0
            while taken < bytes.count {
                taken += framer.append(bytes.span.extracting(taken..<bytes.count), to: stream, in: buffer)
                if taken < bytes.count { flush() }
            }
        }
        framer.endRequest(in: buffer)
        flush()
        return (sent, sends)
    }

    /// The content of each stream and the types of the records in order; nil if the framing is wrong.
    private func parse(_ bytes: [UInt8], id: UInt16 = 1) -> (types: [UInt8], out: [UInt8], error: [UInt8])? {
        var (types, out, error): ([UInt8], [UInt8], [UInt8]) = ([], [], [])
        var position = 0
        while position < bytes.count {
            guard bytes.count - position >= 8 else { return nil }
            let header = RecordHeader(bytes.span, at: position)
            let start = position + 8
            let end = start + Int(header.contentLength)
            position = end + Int(header.paddingLength)
            guard header.version == 1, header.requestID == id, header.contentLength > 0,
                position <= bytes.count,
                position % 8 == 0, bytes[start - 1] == 0, bytes[end..<position].allSatisfy({ $0 == 0 })
            else { return nil }
            types.append(header.type)
            switch header.type {
            case 6: out += bytes[start..<end]
            case 7: error += bytes[start..<end]
            case 3: guard Array(bytes[start..<end]) == [0, 0, 0, 0, 0, 0, 0, 0] else { return nil }
            default: return nil
            }
        }
        return (types, out, error)
    }

    @Test func aSmallResponseIsOneSend() {
        let (bytes, sends) = send(
            [(.standardOutput, Array("ab".utf8)), (.standardOutput, Array("c".utf8))],
            size: 64,
            id: 258
        )
        #expect(sends == 1)
        #expect(
            bytes == [
                1, 6, 1, 2, 0, 3, 5, 0, 0x61, 0x62, 0x63, 0, 0, 0, 0, 0,
                1, 3, 1, 2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ]
        )
    }

    @Test func anEmptyResponseIsItsEnd() {
        let (bytes, _) = send([(.standardOutput, [])], size: 64)
        #expect(bytes == [1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test func streamsKeepTheirOrder() throws {
        let (bytes, _) = send(
            [(.standardOutput, [1]), (.standardError, [2]), (.standardError, [3]), (.standardOutput, [4])],
            size: 256
        )
        let parsed = try #require(parse(bytes))
        #expect(parsed.types == [6, 7, 6, 3])
        #expect(parsed.out == [1, 4])
        #expect(parsed.error == [2, 3])
    }

    @Test(arguments: [64, 65, 71, 100, 127, 128, 1000, 8192, 65536, 70000, 200_000])
    func allSizesGoThroughAllBuffers(size: Int) throws {
        for length in [1, 2, 7, 8, 9, 30, 33, 34, 40, 41, 8184, 65527, 65528, 65529, 65535, 150_000]
        where length < 1000 || size >= 1000 {
            let content = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let half = length / 2
            let (bytes, _) = send(
                [
                    (.standardOutput, Array(content[..<half])), (.standardError, [1, 2, 3]),
                    (.standardOutput, Array(content[half...])),
                ],
                size: size
            )
            let parsed = try #require(parse(bytes), "length \(length)")
            #expect(parsed.out == content, "length \(length)")
            #expect(parsed.error == [1, 2, 3])
            #expect(parsed.types.filter { $0 == 3 }.count == 1 && parsed.types.last == 3)
        }
    }

    @Test(arguments: 64...90)
    func thereIsAlwaysRoomForTheEnd(size: Int) throws {
        for before in [0, 1, 5] {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
            defer { buffer.deallocate() }
            var framer = ResponseFramer(requestID: 1)
            let content = [UInt8](repeating: 7, count: 100)
            let error = framer.append(content.span.extracting(first: before), to: .standardError, in: buffer)
            let output = framer.append(content.span, to: .standardOutput, in: buffer)
            framer.endRequest(in: buffer)
            let parsed = try #require(parse(Array(buffer[..<framer.count])))
            #expect(parsed.out.count == output && parsed.error.count == error)
            #expect(parsed.types.last == 3)
        }
    }

    @Test func protocolStatusIsSent() {
        var framer = ResponseFramer(requestID: 1)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 8)
        defer { buffer.deallocate() }
        framer.endRequest(.overloaded, in: buffer)
        #expect(Array(buffer[..<16]) == [1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0])
    }

    static let empty: [UInt8] = [1, 10, 0, 0, 0, 0, 0, 0]
    static let answer: [UInt8] =
        [1, 10, 0, 0, 0, 18, 6, 0, 15, 1] + Array("FCGI_MPXS_CONNS0".utf8) + [0, 0, 0, 0, 0, 0]

    @Test(
        arguments: [
            ([], empty),
            (Wire.pair("FCGI_MPXS_CONNS", ""), answer),
            (Wire.pair("FCGI_MPXS_CONNS", "ignored"), answer),
            (Wire.pairs([("FCGI_MAX_CONNS", ""), ("FCGI_MPXS_CONNS", ""), ("FCGI_MAX_REQS", "")]), answer),
            (Wire.pairs([("FCGI_MPXS_CONNS", ""), ("FCGI_MPXS_CONNS", "")]), answer),
            (Wire.pairs([("FCGI_MAX_CONNS", ""), ("FCGI_MPXS_CONN", "")]), empty),
            (Wire.pair("FCGI_MPXS_CONNS", "", longLengths: true), answer),
            ([1], nil), ([15, 1] + Array("FCGI_MPXS_CONNS".utf8), nil),
        ] as [([UInt8], [UInt8]?)]
    )
    func getValuesAreAnswered(content: [UInt8], expected: [UInt8]?) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: GetValues.maximumResult, alignment: 8)
        defer { buffer.deallocate() }
        var result: [UInt8]?
        do throws(ProtocolViolation) {
            result = Array(buffer[..<(try GetValues.writeResult(for: content.span, in: buffer))])
        } catch {
            #expect(error == .truncatedPair)
        }
        #expect(result == expected)
    }
}
