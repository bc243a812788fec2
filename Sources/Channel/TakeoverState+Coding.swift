internal import Configuration

/// The form of a ``TakeoverState`` in a memory file: a magic text and the version, then its parts in order.
extension TakeoverState {
    private static let magic: ByteString = "fpmd takeover"

    /// The bytes that ``init(decoding:)`` reads back.
    public func encoded() -> [UInt8] {
        var writer = PlanWriter()
        writer.put(Self.magic)
        writer.put(Self.version)
        writer.put(childFileLimit)
        writer.put(fileLimit)
        writer.put(global)
        writer.put(errorLog)
        writer.put(hasOriginalStandardError)
        writer.put(listeners.count)
        for listener in listeners { listener.write(to: &writer) }
        writer.put(metricsListener)
        writer.put(pools.count)
        for pool in pools { pool.write(to: &writer) }
        writer.put(helpers)
        return writer.bytes
    }

    /// Reads what ``encoded()`` wrote; nil if it is anything else, also if it is that of another version.
    public init?(decoding bytes: [UInt8]) {
        var reader = PlanReader(bytes)
        guard reader.text() == Self.magic, reader.number() == Self.version else { return nil }
        childFileLimit = reader.number()
        fileLimit = reader.number()
        global = reader.pairs()
        errorLog = reader.optionalNumber()
        hasOriginalStandardError = reader.flag()
        listeners = reader.list { Listener(from: &$0) }
        metricsListener = reader.optionalNumber()
        pools = reader.list { Pool(from: &$0) }
        helpers = reader.numbers()
        guard reader.isComplete, isConsistent, encoded() == bytes else { return nil }
    }
}

extension TakeoverState.Listener {
    fileprivate func write(to writer: inout PlanWriter) {
        writer.put(descriptor)
        writer.put(name)
        writer.put(path)
        writer.put(wasStored)
        writer.put(socketUnit)
        writer.put(storedName)
        writer.put(hasFile)
        writer.put(device)
        writer.put(inode)
        writer.put(hasAccess)
        writer.put(userID)
        writer.put(groupID)
        writer.put(mode)
        writer.put(aclUsers)
        writer.put(aclGroups)
        writer.put(backlog)
        writer.put(queueLimit)
    }

    fileprivate init(from reader: inout PlanReader) {
        descriptor = reader.number()
        name = reader.text()
        path = reader.optionalText()
        wasStored = reader.flag()
        socketUnit = reader.optionalText()
        storedName = reader.optionalText()
        hasFile = reader.flag()
        device = reader.number()
        inode = reader.number()
        hasAccess = reader.flag()
        userID = reader.number()
        groupID = reader.number()
        mode = reader.number()
        aclUsers = reader.numbers()
        aclGroups = reader.numbers()
        backlog = reader.number()
        queueLimit = reader.optionalNumber()
    }
}

extension TakeoverState.Pool {
    fileprivate func write(to writer: inout PlanWriter) {
        writer.put(name)
        writer.put(settings)
        writer.put(userID)
        writer.put(groupID)
        writer.put(groupsOf)
        writer.put(userName)
        writer.put(home)
        writer.put(isDraining)
        writer.put(isHeld)
        writer.put(maxChildren)
        writer.put(listener)
        writer.put(statusListener)
        writer.put(startEpoch)
        writer.put(slotCount)
        writer.put(shared != nil)
        if let shared {
            writer.put(shared.scoreboard)
            writer.put(shared.queueWriter)
            writer.put(shared.queueReader)
        }
        writer.put(accessLog)
        writer.put(nextSerial)
        writer.put(limitReached)
        writer.put(slowRequests)
        writer.put(mostQueued)
        writer.put(zygote != nil)
        zygote?.write(to: &writer)
        writer.put(workers.count)
        for worker in workers { worker.write(to: &writer) }
        writer.put(connections.count)
        for connection in connections { connection.write(to: &writer) }
        writer.put(responses.count)
        for response in responses { response.write(to: &writer) }
    }

    fileprivate init(from reader: inout PlanReader) {
        name = reader.text()
        settings = reader.pairs()
        userID = reader.number()
        groupID = reader.number()
        groupsOf = reader.optionalText()
        userName = reader.optionalText()
        home = reader.optionalText()
        isDraining = reader.flag()
        isHeld = reader.flag()
        maxChildren = reader.number()
        listener = reader.number()
        statusListener = reader.optionalNumber()
        startEpoch = reader.number()
        slotCount = reader.number()
        if reader.flag() {
            var memory = TakeoverState.Shared()
            memory.scoreboard = reader.number()
            memory.queueWriter = reader.number()
            memory.queueReader = reader.number()
            shared = memory
        }
        accessLog = reader.optionalNumber()
        nextSerial = reader.number()
        limitReached = reader.number()
        slowRequests = reader.number()
        mostQueued = reader.number()
        if reader.flag() { zygote = TakeoverState.Zygote(from: &reader) }
        workers = reader.list { TakeoverState.Worker(from: &$0) }
        connections = reader.list { TakeoverState.Connection(from: &$0) }
        responses = reader.list { TakeoverState.Response(from: &$0) }
    }
}

extension TakeoverState.Zygote {
    fileprivate func write(to writer: inout PlanWriter) {
        writer.put(process)
        writer.put(channel)
        writer.put(output)
        writer.put(isReady)
        writer.put(isEnding)
        writer.put(report)
    }

    fileprivate init(from reader: inout PlanReader) {
        process = reader.number()
        channel = reader.number()
        output = reader.number()
        isReady = reader.flag()
        isEnding = reader.flag()
        report = reader.text()
    }
}

extension TakeoverState.Worker {
    fileprivate func write(to writer: inout PlanWriter) {
        writer.put(slot)
        writer.put(serial)
        writer.put(isRespawn)
        writer.put(stage.rawValue)
        writer.put(process)
        writer.put(channel)
        writer.put(standardOutput)
        writer.put(standardError)
        writer.put(deposit)
        writer.put(wasAskedToLeave)
        writer.put(isRetiring)
        writer.put(isReplaced)
        writer.put(startTime)
    }

    fileprivate init(from reader: inout PlanReader) {
        slot = reader.number()
        serial = reader.number()
        isRespawn = reader.flag()
        stage = Stage(rawValue: reader.number()) ?? .requested
        process = reader.number()
        channel = reader.number()
        standardOutput = reader.number()
        standardError = reader.number()
        deposit = reader.number()
        wasAskedToLeave = reader.flag()
        isRetiring = reader.flag()
        isReplaced = reader.flag()
        startTime = reader.number()
    }
}

extension TakeoverState.Connection {
    fileprivate func write(to writer: inout PlanWriter) {
        writer.put(descriptor)
        writer.put(purpose.rawValue)
        writer.put(flags)
        writer.put(acceptedTime)
        writer.put(bytes)
    }

    fileprivate init(from reader: inout PlanReader) {
        descriptor = reader.number()
        purpose = Purpose(rawValue: reader.number()) ?? .silent
        flags = reader.number()
        acceptedTime = reader.number()
        bytes = reader.text()
    }
}

extension TakeoverState.Response {
    fileprivate func write(to writer: inout PlanWriter) {
        writer.put(descriptor)
        writer.put(file)
        writer.put(position)
        writer.put(end)
        writer.put(bytes)
        writer.put(next.rawValue)
        writer.put(nextBytes)
    }

    fileprivate init(from reader: inout PlanReader) {
        descriptor = reader.number()
        file = reader.optionalNumber()
        position = reader.number()
        end = reader.number()
        bytes = reader.text()
        next = Next(rawValue: reader.number()) ?? .close
        nextBytes = reader.text()
    }
}

extension PlanWriter {
    fileprivate mutating func put(_ number: Int?) {
        put(number != nil)
        put(number ?? 0)
    }
    fileprivate mutating func put(_ numbers: [Int]) {
        put(numbers.count)
        for number in numbers { put(number) }
    }
}

extension PlanReader {
    fileprivate mutating func optionalNumber() -> Int? {
        let isThere = flag()
        let value = number()
        return isThere ? value : nil
    }
    fileprivate mutating func numbers() -> [Int] { list { $0.number() } }
}
