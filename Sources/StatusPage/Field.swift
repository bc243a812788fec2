/// One figure of the status page: its name and its value before escaping.
struct Field {
    enum Value {
        case number(UInt64)
        case signed(Int64)
        /// Two decimals.
        case decimal(Double)
        /// Raw bytes.
        case text([UInt8])
        /// URI and query, escaped each for itself.
        case uri([UInt8], query: [UInt8])
    }

    var name: StaticString
    var value: Value

    init(_ name: StaticString, _ value: Value) {
        self.name = name
        self.value = value
    }
}

extension PoolStatus {
    /// All figures in order; `readableTime` chooses between local time and seconds.
    func fields(readableTime: Bool) -> [Field] {
        var fields = [
            Field("pool", .text(pool)),
            Field("process manager", .text(processManager)),
            Field("start time", start.value(readable: readableTime)),
            Field("start since", .signed(start.secondsSince)),
            Field("accepted conn", .number(acceptedConnections)),
            Field("listen queue", .number(listenQueue)),
            Field("max listen queue", .number(maxListenQueue)),
            Field("listen queue len", .number(listenQueueLength)),
            Field("idle processes", .number(idleProcesses)),
            Field("active processes", .number(activeProcesses)),
            Field("total processes", .number(totalProcesses)),
            Field("max active processes", .number(maxActiveProcesses)),
            Field("max children reached", .number(maxChildrenReached)),
            Field("slow requests", .number(slowRequests)),
        ]
        if let memoryPeak { fields.append(Field("memory peak", .number(memoryPeak))) }
        return fields
    }
}

extension ProcessStatus {
    /// All figures in order; the text page spells one name in its own way.
    func fields(readableTime: Bool, uriName: StaticString = "request uri") -> [Field] {
        [
            Field("pid", .signed(Int64(pid))),
            Field("state", .text(Array(state.text))),
            Field("start time", start.value(readable: readableTime)),
            Field("start since", .signed(start.secondsSince)),
            Field("requests", .number(requests)),
            Field("request duration", .number(requestDuration)),
            Field("request method", .text(requestMethod.orDash)),
            Field(uriName, .uri(requestURI.orDash, query: queryString)),
            Field("content length", .number(contentLength)),
            Field("user", .text(user.orDash)),
            Field("script", .text(script.orDash)),
            Field("last request cpu", .decimal(lastRequestCPU)),
            Field("last request memory", .number(lastRequestMemory)),
        ]
    }
}

extension StartTime {
    fileprivate func value(readable: Bool) -> Field.Value { readable ? .text(text) : .signed(epochSeconds) }
}

extension [UInt8] {
    fileprivate init(_ text: StaticString) {
        self = []
        append(text)
    }

    fileprivate var orDash: [UInt8] { isEmpty ? [UInt8(ascii: "-")] : self }

    mutating func append(_ value: Field.Value, _ escaping: Escaping) {
        switch value {
        case .number(let number): append(contentsOf: String(number).utf8)
        case .signed(let number): append(contentsOf: String(number).utf8)
        case .decimal(let number): appendDecimal(number)
        case .text(let text): append(text, escaping)
        case .uri(let uri, let query):
            append(uri, escaping)
            if !query.isEmpty {
                append(UInt8(ascii: "?"))
                append(query, escaping)
            }
        }
    }

    private mutating func appendDecimal(_ number: Double) {
        let hundredths = (number * 100).rounded(.toNearestOrEven)
        // What is no sensible share of a processor is none.
        let whole = hundredths >= 0 && hundredths < 1e15 ? UInt64(hundredths) : 0
        append(contentsOf: String(whole / 100).utf8)
        append(UInt8(ascii: "."))
        append(UInt8(ascii: "0") + UInt8(whole % 100 / 10))
        append(UInt8(ascii: "0") + UInt8(whole % 10))
    }
}
