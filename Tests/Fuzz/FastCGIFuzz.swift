// Fuzzes what a peer can send: records, parameters, script resolution. Built together with the module:
//   swiftc -O -sanitize=fuzzer,address -parse-as-library Sources/FastCGI/*.swift Tests/Fuzz/FastCGIFuzz.swift

/// What a connection said, whatever way its bytes were cut.
private struct Transcript: Equatable {
    var events: [RequestDecoder.Event] = []
    var bodies: [[UInt8]] = []
    /// Names and values of each request's table after resolution, or the violation.
    var tables: [[[UInt8]]] = []
    var violation: ProtocolViolation?
    var left: [UInt8] = []
}

/// Steps of a small generator that needs no seed from outside.
private struct Cuts {
    var state: UInt64

    mutating func next(below limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % limit
    }
}

/// Decodes `input` as a worker does, in pieces whose lengths `cut` chooses.
private func transcript(of input: [UInt8], cut: (_ remaining: Int) -> Int) -> Transcript {
    var decoder = RequestDecoder(maximumParameterBytes: 4096)
    var table = ParameterTable(maximumCount: 64, seed: 7)
    var transcript = Transcript()
    var buffer: [UInt8] = []
    var position = 0
    do throws(ProtocolViolation) {
        while position < input.count {
            let length = cut(input.count - position)
            buffer += input[position..<(position + length)]
            position += length
            while try take(&decoder, &table, &buffer, &transcript) {}
        }
    } catch {
        transcript.violation = error
        return transcript
    }
    transcript.left = buffer
    return transcript
}

/// Takes one event from the front of `buffer`.
///
/// - Returns: Whether there was one.
private func take(
    _ decoder: inout RequestDecoder,
    _ table: inout ParameterTable,
    _ buffer: inout [UInt8],
    _ transcript: inout Transcript
) throws(ProtocolViolation) -> Bool {
    let step = try decoder.next(buffer.span)
    precondition(step.consumed <= buffer.count)
    var event: RequestDecoder.Event? = step.event
    switch step.event {
    case .needMore: event = nil
    case .begin(_, let role, _): table.reset(role: role)
    case .parameters(let range):
        precondition(!range.isEmpty && range.upperBound <= step.consumed)
        try table.append(buffer.span.extracting(range))
        event = nil
    case .endOfParameters:
        try table.finish()
        transcript.tables.append(resolved(&table))
    case .body(let range):
        precondition(!range.isEmpty && range.upperBound <= step.consumed)
        // Pieces of the body count as one.
        if transcript.events.last != .body(0..<0) {
            transcript.events.append(.body(0..<0))
            transcript.bodies.append([])
        }
        transcript.bodies[transcript.bodies.count - 1] += buffer[range]
        event = nil
    case .getValues(let range):
        precondition(range.upperBound <= step.consumed)
        transcript.bodies.append(Array(buffer[range]))
        event = .getValues(0..<range.count)
        try answer(Array(buffer[range]))
    case .endOfBody, .abort, .skipped: break
    }
    if let event { transcript.events.append(event) }
    buffer.removeFirst(step.consumed)
    return step.event != .needMore
}

/// Answers GET_VALUES into memory of exactly the promised size.
private func answer(_ content: [UInt8]) throws(ProtocolViolation) {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: GetValues.maximumResult, alignment: 1)
    defer { memory.deallocate() }
    let length = try GetValues.writeResult(for: content.span, in: memory)
    precondition(length % 8 == 0 && length <= memory.count)
}

/// Resolves the request of `table` with every setting in turn and returns what is in it then.
private func resolved(_ table: inout ParameterTable) -> [[UInt8]] {
    var all: [[UInt8]] = []
    let settings: [ScriptResolver.Settings] = [
        .init(fixPathinfo: false, discardPath: true), .init(fixPathinfo: false),
        .init(documentRoot: Array("/root".utf8)),
    ]
    for setting in settings {
        // Paths exist or not by a rule that reaches all branches.
        let resolution = ScriptResolver(setting).resolve(
            &table,
            exists: { path in
                path.withUnsafeBufferPointer { path in
                    precondition(path.baseAddress.map { $0[path.count] } == 0, "no NUL behind a path")
                }
                return path.count % 3 == 0
            },
            isRegularFile: { $0.count % 2 == 0 }
        )
        if let path = resolution.scriptPath {
            let path = table.bytes(of: path)
            precondition(!path.isEmpty && !path.contains(0))
            precondition(!path.split(separator: UInt8(ascii: "/")).contains(Array("..".utf8)[...]))
            all.append(path)
        }
        if let uri = resolution.requestURI { all.append(table.bytes(of: uri)) }
    }
    var names: Set<[UInt8]> = []
    table.withEntries { entries, arena in
        for entry in entries {
            let name = UnsafeBufferPointer(
                start: UnsafeRawPointer(arena + Int(entry.nameOffset)).assumingMemoryBound(to: UInt8.self),
                count: Int(entry.nameLength)
            )
            let value = UnsafeBufferPointer(
                start: UnsafeRawPointer(arena + Int(entry.valueOffset)).assumingMemoryBound(to: UInt8.self),
                count: Int(entry.valueLength)
            )
            precondition(!name.contains(0) && !value.contains(0))
            precondition(arena[Int(entry.nameOffset) + name.count] == 0)
            precondition(arena[Int(entry.valueOffset) + value.count] == 0)
            precondition(names.insert(Array(name)).inserted, "a name is there twice")
            all.append(Array(name))
            all.append(Array(value))
        }
    }
    for name in names { precondition(table.value(of: name.span) != nil, "a name cannot be found") }
    return all
}

/// Frames `input` as output of both streams through a small buffer, and reads it back.
private func frame(_ input: [UInt8], _ cuts: inout Cuts) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: ResponseFramer.minimumBuffer + cuts.next(below: 200),
        alignment: 1
    )
    defer { buffer.deallocate() }
    var framer = ResponseFramer(requestID: 1)
    var sent: [UInt8] = []
    var position = 0
    var output: [[UInt8]] = [[], []]
    while position < input.count {
        let length = 1 + cuts.next(below: input.count - position)
        let isError = cuts.next(below: 3) == 0
        let piece = input.span.extracting(position..<(position + length))
        let taken = framer.append(piece, to: isError ? .standardError : .standardOutput, in: buffer)
        output[isError ? 1 : 0] += input[position..<(position + taken)]
        position += taken
        if taken < length {
            framer.closeRecord(in: buffer)
            sent += buffer[..<framer.count]
            framer.bufferSent()
        }
    }
    framer.endRequest(in: buffer)
    sent += buffer[..<framer.count]
    var read: [[UInt8]] = [[], []]
    position = 0
    while position < sent.count {
        let header = RecordHeader(sent.span, at: position)
        let end = position + 8 + Int(header.contentLength)
        if header.type != 3 { read[Int(header.type) - 6] += sent[(position + 8)..<end] }
        position = end + Int(header.paddingLength)
        precondition(position % 8 == 0)
    }
    precondition(position == sent.count && read == output)
}

/// Checks that the same bytes say the same, however they are cut.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzFastCGI(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: bytes, count: count))
    var cuts = Cuts(state: input.reduce(UInt64(count)) { $0 &* 31 &+ UInt64($1) })
    let whole = transcript(of: input) { $0 }
    let pieces = transcript(of: input) { 1 + cuts.next(below: min($0, 40)) }
    let single = transcript(of: input) { _ in 1 }
    precondition(whole == single && whole == pieces, "the cuts matter:\n\(whole)\n\(pieces)\n\(single)")
    if !input.isEmpty { frame(input, &cuts) }
    return 0
}
