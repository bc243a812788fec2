internal import Configuration
internal import Logging
internal import Reactor
internal import Syscalls
internal import SystemPackage

/// Catches what one worker writes to its stdout and stderr, and logs it line by line.
///
/// A worker can write anything: ``OutputLines`` sees to it that lines of the log are always ones that the master wrote.
/// Reading is bounded per turn, so that one worker cannot keep the loop from the others.
final class WorkerOutput {
    private final class Watch {
        let descriptor: SharedDescriptor
        let stream: OutputLines.Stream
        private var registration: Reactor.Registration?

        init(
            _ descriptor: SharedDescriptor,
            _ stream: OutputLines.Stream,
            _ registration: Reactor.Registration
        ) {
            self.descriptor = descriptor
            self.stream = stream
            self.registration = registration
        }

        // The watch ends before the descriptor is closed: a helper process may have a copy.
        deinit { registration = nil }
    }

    private let pool: ByteString
    private let pid: () -> ByteString
    private let decorates: Bool
    /// Lines go out undecorated, with fields.
    private var isStructured: Bool
    /// `log_limit`.
    private var limit: Int
    private let log: Log
    private var lines: OutputLines
    private var watches: [Watch] = []
    private var hasSpoken = false
    /// The stream of the line so far.
    private var spoken = OutputLines.Stream.standardError
    /// stderr had the marker, and stdout has not been read to its end since.
    private var requestHasEnded = false
    /// The stream whose last turn has left something in its pipe.
    private var unread: OutputLines.Stream?

    init(pool: ByteString, pid: @escaping () -> ByteString, decorates: Bool, log: Log) {
        self.pool = pool
        self.pid = pid
        self.decorates = decorates
        self.log = log
        isStructured = log.isStructured
        limit = log.limit
        lines = Self.lines(pool, decorates, log)
    }

    private static func lines(_ pool: ByteString, _ decorates: Bool, _ log: Log) -> OutputLines {
        OutputLines(
            pool: pool,
            decorates: decorates && !log.isStructured,
            limit: log.isStructured ? min(log.limit, JournalEntry.longestMessage) : log.limit
        )
    }

    /// A reload takes the log's form over after its workers have started, and old ones go on.
    private func adapt() {
        guard log.isStructured != isStructured || log.limit != limit else { return }
        put(lines.end(origin), spoken)
        isStructured = log.isStructured
        limit = log.limit
        lines = Self.lines(pool, decorates, log)
    }

    /// Watches the reading end of one stream's pipe, which it owns from now on.
    func watch(_ descriptor: SharedDescriptor, _ stream: OutputLines.Stream, on reactor: Reactor)
        throws(Errno)
    {
        let number = descriptor.rawValue
        let registration = try reactor.watch(number, for: .readable) { [weak self] _ in
            self?.receive(number, stream)
        }
        watches.append(Watch(descriptor, stream, registration))
    }

    /// The worker has ended: takes what is left in the pipes, and closes them.
    func finish() {
        for watch in watches { take(watch.descriptor.rawValue, watch.stream, .rest) }
        watches = []
        put(lines.end(origin), spoken)
    }

    /// The reading end of a stream's pipe, while it is open.
    func descriptor(of stream: OutputLines.Stream) -> CInt? {
        watches.first { $0.stream == stream }?.descriptor.rawValue
    }

    /// Logs the beginning of a line whose end has not come: somebody else goes on reading.
    func handOver() { put(lines.end(origin), spoken) }

    private func receive(_ descriptor: CInt, _ stream: OutputLines.Stream) {
        // A change of streams would cut the line that the other one's turn has ended in.
        if let unread, unread != stream, let descriptor = self.descriptor(of: unread) {
            guard takeTurn(descriptor, unread) != .more else { return }
        }
        takeTurn(descriptor, stream)
        if requestHasEnded, unread == nil { endRequest() }
    }

    /// A request's end is told on stderr alone: what it has printed to stdout can be read by then, and its last line,
    /// if it has no end, would wait for the next request's text and join it.
    private func endRequest() {
        if let descriptor = descriptor(of: .standardOutput) {
            // The rest is read in further turns.
            guard takeTurn(descriptor, .standardOutput) != .more else { return }
        }
        requestHasEnded = false
        if spoken == .standardOutput { put(lines.end(origin), spoken) }
    }

    @discardableResult
    private func takeTurn(_ descriptor: CInt, _ stream: OutputLines.Stream) -> OutputShare.Rest {
        let rest = take(descriptor, stream, .turn)
        if rest.isOver { watches.removeAll { $0.descriptor.rawValue == descriptor } }
        if rest == .more {
            unread = stream
        } else if unread == stream {
            unread = nil
        }
        return rest
    }

    /// Reads a bounded amount, and writes its lines together.
    ///
    /// - Returns: What is left in the pipe.
    @discardableResult
    private func take(
        _ descriptor: CInt,
        _ stream: OutputLines.Stream,
        _ share: OutputShare
    ) -> OutputShare.Rest {
        adapt()
        var rest = OutputShare.Rest.more
        log.together { rest = read(descriptor, stream, share) }
        return rest
    }

    private func read(
        _ descriptor: CInt,
        _ stream: OutputLines.Stream,
        _ share: OutputShare
    ) -> OutputShare.Rest {
        let isFirst = !hasSpoken
        let origin = self.origin
        // The first words are looked after for the end of the pipe: then they say that it is closed.
        let rest = share.read(descriptor, looksForEnd: isFirst) { bytes in
            hasSpoken = true
            if isStructured, stream != spoken { put(lines.end(origin), spoken) }
            spoken = stream
            let finished = lines.take(bytes, from: stream, origin)
            if stream == .standardError, lines.endsRequest { requestHasEnded = true }
            put(finished, stream)
            return finished.count
        }
        if rest == .end, isFirst, hasSpoken { put(lines.end(origin, isPipeClosed: true), stream) }
        return rest
    }

    private var origin: OutputLines.Origin { OutputLines.Origin(time: log.timestamp(), process: pid()) }

    private func put(_ finished: [[UInt8]], _ stream: OutputLines.Stream) {
        guard !finished.isEmpty else { return }
        if isStructured { return putFields(finished, stream) }
        // php-fpm writes decorated lines without their decoration when it would not show warnings; none is better.
        guard !decorates || LogLevel.warning >= log.level else { return }
        for line in finished { log.writeRaw(line) }
    }

    private func putFields(_ finished: [[UInt8]], _ stream: OutputLines.Stream) {
        var context = LogContext.pool(pool, worker: pid())
        context.add(.stream, stream == .standardError ? "stderr" : "stdout")
        for line in finished {
            let text = ByteString(
                OutputAssembler.visible(line.last == UInt8(ascii: "\n") ? line.dropLast() : line)
            )
            log.writeOutput(OutputSeverity.of(text), text, context)
        }
    }
}

@available(*, unavailable)
extension WorkerOutput: Sendable {}
