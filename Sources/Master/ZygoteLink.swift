internal import CEpoll
internal import Channel
internal import Configuration
internal import Glibc
internal import Logging
internal import Reactor
internal import Scoreboard
internal import Syscalls
internal import SystemPackage

/// A pool's zygote as the master sees it: the process, its channel, its output.
final class ZygoteLink {
    enum State { case starting, ready, ending }

    /// What a gentle start adds to the nice value: it gets a third of the processor beside one that serves.
    private static let gentleness: CInt = 5
    private static let mayRaisePriority = cepoll_may_raise_priority()

    let process: ProcessID
    private(set) var state = State.starting
    /// It has been reaped: its number may be another process's.
    private(set) var hasEnded = false
    let startTime = MonotonicTime.now
    /// It starts with less of the processors than others have, until it is ready.
    private let isGentle: Bool
    /// Where its workers' call frames are; nil before PHP has started.
    private(set) var report: ZygoteReport?
    let channel: MessageSocket
    let output: ZygoteOutput
    private var registration: Reactor.Registration?
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Message.length + ZygoteReport.longestCount,
        alignment: 16
    )

    /// What the zygote says.
    enum Event {
        case ready
        case spawned(slot: Int, serial: Int64, ProcessID)
        case spawnFailed(slot: Int, serial: Int64, Errno)
        /// It sent what a zygote does not send; the descriptors are of unknown kind.
        case unexpected([CInt])
        /// The channel is closed or broken: the zygote is of no more use.
        case gone
    }

    /// Starts the engine program as a pool's zygote.
    ///
    /// - Throws: `Errno` of the call that failed; nothing is left behind.
    init(
        program: EngineProgram,
        plan: ZygotePlan,
        scoreboard: Scoreboard,
        queue: MessageSocket,
        listener: Listener,
        accessLog: SharedDescriptor?,
        reactor: Reactor,
        log: Log,
        fileLimit: UInt64,
        startsGently: Bool,
        handler: @escaping (Event) -> Void
    ) throws(Errno) {
        guard let pages = scoreboard.memory else { throw .invalidArgument }
        let (mine, theirs) = try MessageSocket.pair()
        mine.isBounded = true
        let bytes = plan.encoded()
        let file = SharedDescriptor(
            adopting: try retryingOnInterrupt { cepoll_memory_file("fpmd-plan") }
        )
        let written = bytes.withUnsafeBytes { write(file.rawValue, $0.baseAddress, $0.count) }
        guard written == bytes.count else { throw .noSpace }
        let null = SharedDescriptor(
            adopting: try retryingOnInterrupt { open("/dev/null", O_RDWR | O_CLOEXEC) }
        )
        let pipe = try makePipe()
        isGentle = startsGently && plan.priority == nil && Self.mayRaisePriority
        process = try spawnProgram(
            program.executed,
            [ByteString(program.path), ByteString(EngineMode.zygote.rawValue), paddedTitle(plan.pool)],
            host: program.host,
            descriptors: [
                null.rawValue, pipe.write.rawValue, pipe.write.rawValue, theirs.descriptor, file.rawValue,
                pages.descriptor.rawValue, queue.descriptor, listener.descriptor.rawValue,
                accessLog?.rawValue ?? null.rawValue,
            ],
            fileLimit: fileLimit,
            niceness: isGentle ? Self.gentleness : 0
        )
        channel = mine
        output = ZygoteOutput(pool: plan.pool, log: log)
        try output.watch(pipe.read, on: reactor)
        registration = try reactor.watch(mine.descriptor, for: .readable) { [weak self] _ in
            self?.receive(handler)
        }
    }

    /// A zygote that the image of the program before this one has started.
    ///
    /// - Throws: `Errno` of `epoll_ctl(2)`.
    init(
        adopting zygote: TakeoverState.Zygote,
        pool: ByteString,
        startedGently: Bool,
        reactor: Reactor,
        log: Log,
        handler: @escaping (Event) -> Void
    ) throws(Errno) {
        process = ProcessID(Int32(zygote.process))
        isGentle = startedGently
        channel = MessageSocket(adopting: CInt(zygote.channel))
        channel.isBounded = true
        output = ZygoteOutput(pool: pool, log: log)
        state = zygote.isEnding ? .ending : zygote.isReady ? .ready : .starting
        report = zygote.report.bytes.withUnsafeBytes { ZygoteReport(decoding: $0) }
        if zygote.output >= 0 {
            try output.watch(SharedDescriptor(adopting: CInt(zygote.output)), on: reactor)
        }
        registration = try reactor.watch(channel.descriptor, for: .readable) { [weak self] _ in
            self?.receive(handler)
        }
    }

    deinit { buffer.deallocate() }

    private func receive(_ handler: (Event) -> Void) {
        // One message a turn: level-triggered, so that no pool keeps the loop.
        guard let arrival = try? channel.receive(into: buffer) else { return handler(.gone) }
        switch arrival {
        case .wouldBlock: return
        case .descriptorsLost(let descriptors), .malformed(let descriptors):
            handler(.unexpected(descriptors))
        case .closed:
            registration = nil
            handler(.gone)
        case .message(_, _, let descriptors, _) where !descriptors.isEmpty: handler(.unexpected(descriptors))
        case .message(let message, let payload, _, _):
            switch message.kind {
            // Said once: each counts in the master as the end of a start.
            case .zygoteReady where state == .starting:
                state = .ready
                if isGentle { _ = cepoll_share_priority(process.rawValue) }
                output.takeRest()
                report = ZygoteReport(decoding: UnsafeRawBufferPointer(rebasing: buffer[0..<payload]))
                handler(.ready)
            case .spawned:
                handler(
                    .spawned(
                        slot: Int(message.slot),
                        serial: message.serial,
                        ProcessID(Int32(truncatingIfNeeded: message.value))
                    )
                )
            case .spawnFailed:
                handler(
                    .spawnFailed(
                        slot: Int(message.slot),
                        serial: message.serial,
                        Errno(rawValue: CInt(truncatingIfNeeded: message.value))
                    )
                )
            case .zygoteReady where state == .ending: return
            case .zygoteReady, .spawn, .accessLog, .opcache, .listen, .leave, .workerReady, .park, .share,
                .unshare, .deposited,
                .linger, .deliver,
                .busy,
                .retiring,
                .crashed, .opcacheDone, .serve:
                registration = nil
                handler(.gone)
            }
        }
    }

    /// What PHP found wrong in php.ini, if it could not read all of it.
    var syntaxError: ByteString? { output.syntaxError }

    /// Asks for a worker; false when the zygote does not take the request.
    func spawn(slot: Int, serial: Int64, channel end: MessageSocket, output: CInt, errors: CInt) -> Bool {
        let request = Message(.spawn, slot: UInt32(slot), serial: serial)
        guard case .bytes? = try? channel.send(request, descriptors: [end.descriptor, output, errors]) else {
            return false
        }
        return true
    }

    /// Nothing is asked of it any more.
    func expectEnd() { state = .ending }

    /// Has it end when its channel does, where it may not be signalled.
    func shutChannel() { _ = shutdown(channel.descriptor, CInt(SHUT_RDWR)) }

    /// Gives future workers another access log.
    func replaceAccessLog(_ file: SharedDescriptor) {
        _ = try? channel.send(Message(.accessLog), descriptors: [file.rawValue])
    }

    /// The process has ended: takes what it still had to say.
    ///
    /// `handler` gets what it said of workers: those that it has forked are there.
    func ended(_ handler: (Event) -> Void) {
        registration = nil
        hasEnded = true
        // A worker's fork may hold its channel, and go on sending.
        var left = Self.mostLeftMessages
        while left > 0 {
            left -= 1
            var isOver = true
            receive { event in
                switch event {
                case .spawned, .spawnFailed: handler(event)
                case .unexpected: return handler(event)
                case .ready, .gone: return
                }
                isOver = false
            }
            if isOver { break }
        }
        output.finish()
    }

    /// More than the kernel queues.
    private static let mostLeftMessages = 1024
}

/// The title is written over argv: leave room for a long pool name.
private func paddedTitle(_ pool: ByteString) -> ByteString { "pool=\(pool)" }

/// A pipe with the reading end non-blocking.
func makePipe() throws(Errno) -> (read: SharedDescriptor, write: SharedDescriptor) {
    var ends: [CInt] = [-1, -1]
    let result = ends.withUnsafeMutableBufferPointer { buffer in
        buffer.baseAddress.map { cepoll_pipe($0) } ?? -1
    }
    if result < 0 { throw currentErrno }
    return (SharedDescriptor(adopting: ends[0]), SharedDescriptor(adopting: ends[1]))
}

/// What a zygote writes: mostly why PHP does not start.
///
/// Lines come with a level, or count as notices that `log_level` does not hide.
final class ZygoteOutput {
    private let pool: ByteString
    private let log: Log
    private var assembler: OutputAssembler
    private(set) var descriptor: SharedDescriptor?
    private var registration: Reactor.Registration?
    /// The first line in which PHP says that php.ini cannot be read to its end.
    private(set) var syntaxError: ByteString?

    init(pool: ByteString, log: Log) {
        self.pool = pool
        self.log = log
        assembler = OutputAssembler(limit: log.limit)
    }

    func watch(_ descriptor: SharedDescriptor, on reactor: Reactor) throws(Errno) {
        self.descriptor = descriptor
        registration = try reactor.watch(descriptor.rawValue, for: .readable) { [weak self] _ in
            guard let self, receive(.turn) else { return }
            registration = nil
        }
    }

    /// Takes what has been written so far.
    func takeRest() { receive(.rest) }

    func finish() {
        takeRest()
        registration = nil
        descriptor = nil
        if let rest = assembler.flush() { emit(rest.text) }
    }

    /// Reads a bounded amount, and writes its lines together.
    ///
    /// - Returns: Whether no more can come.
    @discardableResult
    private func receive(_ share: OutputShare) -> Bool {
        guard let descriptor else { return true }
        var rest = OutputShare.Rest.more
        log.together {
            rest = share.read(descriptor.rawValue) { bytes in
                let finished = assembler.take(bytes, from: 2)
                for line in finished { emit(line.text) }
                return finished.count
            }
        }
        return rest.isOver
    }

    private func emit(_ text: [UInt8]) {
        for level in LogLevel.allCases {
            let label = Array("\(level.name): ".utf8)
            if text.starts(with: label) {
                return log.write(level, named(ByteString(text.dropFirst(label.count))), .pool(pool))
            }
        }
        let isSyntaxError = INIErrorLine.matches(text)
        if isSyntaxError, syntaxError == nil { syntaxError = ByteString(text) }
        // Why PHP does not start is seen whatever `log_level` is, as with php-fpm.
        let severity = isSyntaxError ? LogLevel.error : max(.notice, log.level)
        log.writeOutput(severity, named(ByteString(text)), .pool(pool))
    }

    private func named(_ text: ByteString) -> ByteString {
        let prefix: ByteString = "[pool \(pool)] "
        return text.bytes.starts(with: prefix.bytes) ? text : prefix + text
    }
}

@available(*, unavailable)
extension ZygoteLink: Sendable {}
@available(*, unavailable)
extension ZygoteOutput: Sendable {}
