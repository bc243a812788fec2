internal import CEpoll
internal import Glibc
public import Syscalls

/// One destination of log lines, written to without ever waiting for whoever reads it.
///
///     flowing ── would block ──► waiting (bounded) ── flush ──► flowing ── if lines were lost: says how many
///
/// Files are written synchronously, as their readers cannot hold them up. A pipe or a terminal is opened anew, so that
/// O_NONBLOCK is ours alone and not that of everybody who shares the open file; a socket is sent to with
/// MSG_DONTWAIT. A destination that fails (full disk, reader gone) loses lines, never the service; the loss is counted
/// and said once lines go out again.
public final class LogOutlet {
    private enum Way {
        /// write(2) does not wait: a regular file, or a descriptor that is non-blocking.
        case write
        /// send(2) with MSG_DONTWAIT.
        case send
        /// poll(2) first, then at most PIPE_BUF bytes: a pipe that cannot be opened anew.
        case poll
    }

    private static let atomicPipeWrite = 4096
    /// Most bytes of a file's lines that are written together.
    private static let largestFileWrite = 64 << 10

    /// What is written to, borrowed; -1 while there is no connection.
    public private(set) var descriptor: CInt
    private var owned: SharedDescriptor?
    private let way: Way
    /// Lines that wait are written together up to so many bytes; 0: each is a message of its own.
    private let mostJoined: Int
    /// Connects a socket anew whose other end has gone; nil for other destinations.
    private let reconnect: (() -> SharedDescriptor?)?
    private var queue = LineQueue()
    /// A line was cut off by an error: the next one starts on a line of its own.
    private var hasLooseEnd = false
    /// How many lost lines the notice in the queue tells of, of which a part is out; 0: there is none.
    private var halfTold = 0
    private var isNoticeBlocked = false
    /// How it is told that lines were lost.
    private let telling: Telling

    private enum Telling {
        /// By a line in the same place.
        case here((_ count: Int) -> [UInt8])
        case elsewhere((_ count: Int) -> Void)
    }
    /// The last ``flush()`` could not put everything out.
    private var isBlocked = false
    /// The last line that left the queue was taken by the destination.
    private var isTaking = true

    /// Writes to `file`, which it shares.
    ///
    /// - Parameters:
    ///   - file: Borrowed if `keeping` is nil: it must stay open as long as this.
    ///   - keeping: Its owner.
    ///   - describeLoss: Makes the line that tells of lost ones.
    convenience init(
        _ file: CInt,
        keeping: SharedDescriptor?,
        describeLoss: @escaping (_ count: Int) -> [UInt8]
    ) {
        self.init(file, keeping, .here(describeLoss))
    }

    /// Writes to `file`, which it shares; `tellLoss` is called with the number of lost lines once lines go out again.
    public convenience init(_ file: SharedDescriptor, tellLoss: @escaping (_ count: Int) -> Void) {
        self.init(file.rawValue, file, .elsewhere(tellLoss))
    }

    private init(_ file: CInt, _ keeping: SharedDescriptor?, _ telling: Telling) {
        self.telling = telling
        reconnect = nil
        switch cepoll_kind(file) {
        case CEPOLL_KIND_FILE:
            (way, descriptor, owned) = (.write, file, keeping)
            mostJoined = Self.largestFileWrite
        case CEPOLL_KIND_SOCKET:
            (way, descriptor, owned) = (.send, file, keeping)
            mostJoined = 0
        default:
            mostJoined = Self.atomicPipeWrite
            let own = cepoll_reopen_nonblocking(file)
            if own >= 0 {
                (way, descriptor, owned) = (.write, own, SharedDescriptor(adopting: own))
            } else {
                (way, descriptor, owned) = (.poll, file, keeping)
            }
        }
    }

    /// Sends datagrams, each line one, on a socket that `connect` makes, and makes anew after an error.
    init(
        connecting connect: @escaping () -> SharedDescriptor?,
        describeLoss: @escaping (_ count: Int) -> [UInt8]
    ) {
        telling = .here(describeLoss)
        reconnect = connect
        way = .send
        mostJoined = 0
        owned = connect()
        descriptor = owned?.rawValue ?? -1
    }

    /// Lines that have not reached the destination: those that wait, and those that are lost and have not been told of.
    var missing: Int { queue.lineCount + queue.lost + (halfTold > 0 ? halfTold - 1 : 0) }

    /// So many lines are lost elsewhere, and to be told of here.
    func countLost(_ lines: Int) { queue.countLost(lines) }

    /// Continues what another one, for lines of the same form, has begun: it must not be written to any more.
    ///
    /// Lines that wait there wait here. Of one that is out in part the rest follows, or all of it if that was another file.
    public func succeed(_ former: LogOutlet) {
        queue = former.queue
        halfTold = former.halfTold
        if isSameFile(former.descriptor, descriptor) {
            hasLooseEnd = former.hasLooseEnd
        } else {
            queue.beginAnew()
        }
    }

    private func isSameFile(_ one: CInt, _ other: CInt) -> Bool {
        var (first, second) = (stat(), stat())
        return fstat(one, &first) == 0 && fstat(other, &second) == 0
            && (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
    }

    /// Lines wait for the destination, or the one that tells of lost ones does.
    public var isWaiting: Bool { !queue.isEmpty || isNoticeBlocked }

    /// Writes one line with its newline, or keeps it until ``flush()``.
    public func write(_ line: [UInt8]) {
        guard flush() else { return queue.append(line) }
        queue.append(line)
        flush()
    }

    /// Keeps one line with its newline until ``flush()``, if others may be written together with it.
    func gather(_ line: [UInt8]) {
        // One attempt for all of them.
        guard !isBlocked else { return queue.append(line) }
        if queue.count + line.count > mostJoined, !flush() { return queue.append(line) }
        queue.append(line)
        if mostJoined == 0 { flush() }
    }

    /// Writes as much of what waits as is taken at once.
    ///
    /// - Returns: Whether nothing waits any more.
    @discardableResult
    public func flush() -> Bool {
        isBlocked = !putOut()
        return !isBlocked
    }

    private func putOut() -> Bool {
        while true {
            while !queue.isEmpty {
                let next = queue.next(joining: mostJoined)
                let newline = endOfCutLine
                switch attempt(newline.isEmpty ? next : newline + next) {
                case .bytes(let count):
                    let lines = queue.lineCount
                    queue.advance(count - newline.count)
                    hasLooseEnd = false
                    if queue.lineCount < lines { halfTold = 0 }
                    isTaking = true
                case .wouldBlock: return false
                case .endOfStream:
                    hasLooseEnd = hasLooseEnd || queue.isInsideLine
                    queue.lose(next.count)
                    // The notice itself is counted already.
                    queue.countLost(max(0, halfTold - 1))
                    halfTold = 0
                    isTaking = false
                }
            }
            // Told once lines go out again: where they still do not, the count goes on.
            guard queue.lost > 0 else { return true }
            guard case .here(let describe) = telling else { return tellElsewhere() }
            let notice = endOfCutLine + describe(queue.lost)
            let transfer = attempt(notice[...])
            isNoticeBlocked = transfer == .wouldBlock
            guard case .bytes(let count) = transfer else { return !isNoticeBlocked }
            hasLooseEnd = false
            let told = queue.takeLost()
            guard count < notice.count else { continue }
            halfTold = told
            queue.append(Array(notice))
            queue.advance(count)
        }
    }

    /// What is to come before the next line.
    private var endOfCutLine: ArraySlice<UInt8> { hasLooseEnd ? [UInt8(ascii: "\n")] : [] }

    private func tellElsewhere() -> Bool {
        if isTaking, case .elsewhere(let tell) = telling { tell(queue.takeLost()) }
        return true
    }

    /// One attempt, after an error of a socket one more on a new one; `endOfStream` stands for any failure.
    private func attempt(_ bytes: ArraySlice<UInt8>) -> Transfer {
        let first = descriptor < 0 ? .endOfStream : put(bytes)
        guard first == .endOfStream, let reconnect, let fresh = reconnect() else { return first }
        owned = fresh
        descriptor = fresh.rawValue
        return put(bytes)
    }

    private func put(_ bytes: ArraySlice<UInt8>) -> Transfer {
        bytes.withUnsafeBytes { buffer in
            switch way {
            case .send: return (try? Syscalls.send(descriptor, buffer)) ?? .endOfStream
            case .poll:
                guard cepoll_poll_one(descriptor, UInt32(CEPOLL_OUT), 0) > 0 else { return .wouldBlock }
                return write(UnsafeRawBufferPointer(rebasing: buffer.prefix(Self.atomicPipeWrite)))
            case .write: return write(buffer)
            }
        }
    }

    private func write(_ buffer: UnsafeRawBufferPointer) -> Transfer {
        while true {
            let count = Glibc.write(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return .bytes(count) }
            if errno != EINTR { return errno == EAGAIN ? .wouldBlock : .endOfStream }
        }
    }
}

@available(*, unavailable)
extension LogOutlet: Sendable {}
