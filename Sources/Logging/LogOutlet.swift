internal import CEpoll
internal import Glibc
internal import Syscalls

/// One destination of log lines, written to without ever waiting for whoever reads it.
///
///     flowing ── would block ──► waiting (bounded) ── flush ──► flowing ── if lines were lost: says how many
///
/// Files are written synchronously, as their readers cannot hold them up. A pipe or a terminal is opened anew, so that
/// O_NONBLOCK is ours alone and not that of everybody who shares the open file; a socket is sent to with
/// MSG_DONTWAIT. A destination that fails (full disk, reader gone) loses lines, never the service; the loss is counted
/// and said once lines go out again.
final class LogOutlet {
    private enum Way {
        /// write(2) does not wait: a regular file, or a descriptor that is non-blocking.
        case write
        /// send(2) with MSG_DONTWAIT.
        case send
        /// poll(2) first, then at most PIPE_BUF bytes: a pipe that cannot be opened anew.
        case poll
    }

    private static let atomicPipeWrite = 4096

    private(set) var descriptor: CInt
    private var owned: SharedDescriptor?
    private let way: Way
    /// Connects a socket anew whose other end has gone; nil for other destinations.
    private let reconnect: (() -> SharedDescriptor?)?
    private var queue = LineQueue()
    /// A line was cut off by an error: the next one starts on a line of its own.
    private var hasLooseEnd = false
    private var isNoticeBlocked = false
    /// The line that tells of `count` lost ones.
    private let describeLoss: (_ count: Int) -> [UInt8]

    /// Writes to `file`, which it shares.
    ///
    /// - Parameters:
    ///   - file: Borrowed if `keeping` is nil: it must stay open as long as this.
    ///   - keeping: Its owner.
    ///   - describeLoss: Makes the line that tells of lost ones.
    init(_ file: CInt, keeping: SharedDescriptor?, describeLoss: @escaping (_ count: Int) -> [UInt8]) {
        self.describeLoss = describeLoss
        reconnect = nil
        switch cepoll_kind(file) {
        case CEPOLL_KIND_FILE: (way, descriptor, owned) = (.write, file, keeping)
        case CEPOLL_KIND_SOCKET: (way, descriptor, owned) = (.send, file, keeping)
        default:
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
        self.describeLoss = describeLoss
        reconnect = connect
        way = .send
        owned = connect()
        descriptor = owned?.rawValue ?? -1
    }

    /// Lines wait for the destination, or the one that tells of lost ones does.
    var isWaiting: Bool { !queue.isEmpty || isNoticeBlocked }

    /// Writes one line with its newline, or keeps it until ``flush()``.
    func write(_ line: [UInt8]) {
        guard flush() else { return queue.append(line) }
        queue.append(hasLooseEnd ? [UInt8(ascii: "\n")] + line : line)
        hasLooseEnd = false
        flush()
    }

    /// Writes as much of what waits as is taken at once.
    ///
    /// - Returns: Whether nothing waits any more.
    @discardableResult
    func flush() -> Bool {
        while true {
            while !queue.isEmpty {
                switch attempt(queue.next) {
                case .bytes(let count): queue.advance(count)
                case .wouldBlock: return false
                case .endOfStream:
                    hasLooseEnd = hasLooseEnd || queue.isInsideLine
                    queue.loseFirst()
                }
            }
            // Told once lines go out again: where they still do not, the count goes on.
            guard queue.lost > 0 else { return true }
            let notice = describeLoss(queue.lost)
            let transfer = attempt(notice[...])
            isNoticeBlocked = transfer == .wouldBlock
            guard case .bytes(let count) = transfer else { return !isNoticeBlocked }
            _ = queue.takeLost()
            if count < notice.count { queue.append(Array(notice[count...])) }
        }
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
