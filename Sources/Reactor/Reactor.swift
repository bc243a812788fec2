internal import CEpoll
internal import HeapModule
public import Syscalls
public import SystemPackage

/// One epoll loop: descriptors and deadlines of a process with one thread.
///
/// Handlers run on the loop, one at a time; a handler may add or drop any registration, also its own, and
/// events of a dropped one that were already fetched are not delivered. Interest is level-triggered.
public final class Reactor {
    /// What a handler is told.
    public struct Readiness: OptionSet {
        /// epoll's event bits.
        public let rawValue: UInt32
        /// The bits as epoll gives them.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Bytes, a connection or the end of the stream can be read.
        public static var readable: Readiness { Readiness(rawValue: UInt32(CEPOLL_IN)) }
        /// Bytes can be written.
        public static var writable: Readiness { Readiness(rawValue: UInt32(CEPOLL_OUT)) }
        /// The other end is gone, or an error is pending; reported without asking.
        public static var hangup: Readiness { Readiness(rawValue: UInt32(CEPOLL_HUP) | UInt32(CEPOLL_ERR)) }
        /// Tell of each change once, not as long as it holds: EPOLLET.
        public static var edgeTriggered: Readiness { Readiness(rawValue: 1 << 31) }
        /// The other end will not send any more.
        public static var peerClosed: Readiness { Readiness(rawValue: UInt32(CEPOLL_RDHUP)) }
    }

    /// A descriptor under watch; dropping it ends the watch.
    ///
    /// The descriptor itself is borrowed: it must be closed after the registration is dropped, never before
    /// (another process may keep the open file alive, and epoll would go on reporting a number that means
    /// something else here).
    public final class Registration {
        fileprivate let reactor: Reactor
        fileprivate let descriptor: CInt
        fileprivate let index: Int

        fileprivate init(reactor: Reactor, descriptor: CInt, index: Int) {
            self.reactor = reactor
            self.descriptor = descriptor
            self.index = index
        }

        /// Changes what is watched for; not possible for an exclusive registration.
        public func watch(for interest: Readiness) throws(Errno) {
            let data = reactor.entries[index].token
            _ = try retryingOnInterrupt {
                cepoll_modify(reactor.epoll.rawValue, descriptor, interest.rawValue, data)
            }
        }

        deinit { reactor.forget(index: index, descriptor: descriptor) }
    }

    /// A deadline that has not come; dropping it cancels.
    public final class Deadline {
        fileprivate let number: UInt64
        fileprivate let reactor: Reactor

        fileprivate init(reactor: Reactor, number: UInt64) {
            self.reactor = reactor
            self.number = number
        }

        deinit { _ = reactor.takeHandler(of: number) }
    }

    private struct Entry {
        /// (use count of this index, index): an event that was fetched for a former user does not match.
        var token: UInt64
        var handler: ((Readiness) -> Void)?
    }

    private struct Alarm: Comparable {
        let time: MonotonicTime
        let number: UInt64
        static func < (left: Alarm, right: Alarm) -> Bool {
            (left.time, left.number) < (right.time, right.number)
        }
    }

    private static let batch = 64

    private let epoll: OwnedDescriptor
    private var entries: [Entry] = []
    private var free: [Int] = []
    private var alarms = Heap<Alarm>()
    /// When those of ``alarms`` that may come earlier are due if the loop is awake.
    private var occasions = Heap<Alarm>()
    private var handlers: [UInt64: () -> Void] = [:]
    private var nextNumber: UInt64 = 0
    private let ready = UnsafeMutablePointer<cepoll_ready>.allocate(capacity: Reactor.batch)
    private var stopped = false
    /// The time when the current batch of events was fetched.
    public private(set) var now = MonotonicTime.now

    /// Creates the epoll instance.
    public init() throws(Errno) {
        epoll = OwnedDescriptor(adopting: try retryingOnInterrupt { cepoll_create() })
    }

    deinit { ready.deallocate() }

    /// Watches `descriptor`, which the reactor borrows.
    ///
    /// - Parameters:
    ///   - descriptor: Open until the registration is dropped.
    ///   - interest: What to watch for; a hangup is always reported.
    ///   - exclusive: EPOLLEXCLUSIVE: wake this loop only if no earlier exclusive waiter (in any process) takes the
    ///     event.
    ///   - handler: Runs on the loop; may drop this registration or others.
    /// - Returns: The registration; dropping it ends the watch.
    /// - Throws: `Errno` from `epoll_ctl(2)`: `ENOSPC` at the watch limit, `EPERM` for a file.
    public func watch(
        _ descriptor: CInt,
        for interest: Readiness,
        exclusive: Bool = false,
        handler: @escaping (Readiness) -> Void
    ) throws(Errno) -> Registration {
        let index: Int
        if let reused = free.popLast() {
            index = reused
            entries[index].token &+= 1 << 32
            entries[index].handler = handler
        } else {
            index = entries.count
            entries.append(Entry(token: UInt64(index), handler: handler))
        }
        let token = entries[index].token
        do {
            _ = try retryingOnInterrupt {
                cepoll_add(epoll.rawValue, descriptor, interest.rawValue, exclusive, token)
            }
        } catch {
            _ = takeHandler(at: index)
            free.append(index)
            throw error
        }
        return Registration(reactor: self, descriptor: descriptor, index: index)
    }

    private func forget(index: Int, descriptor: CInt) {
        _ = cepoll_remove(epoll.rawValue, descriptor)
        let handler = takeHandler(at: index)
        free.append(index)
        withExtendedLifetime(handler) {}
    }

    /// Handlers may own other registrations and deadlines, which come back here when they go: a handler must not be
    /// released while the table that held it is being changed, so it is handed out.
    private func takeHandler(at index: Int) -> ((Readiness) -> Void)? {
        let handler = entries[index].handler
        entries[index].handler = nil
        return handler
    }

    private func takeHandler(of deadline: UInt64) -> (() -> Void)? {
        let handler = handlers[deadline]
        handlers[deadline] = nil
        return handler
    }

    /// Calls `handler` once, at or soon after `time`.
    public func at(_ time: MonotonicTime, handler: @escaping () -> Void) -> Deadline {
        nextNumber += 1
        // Cancelled deadlines stay in the heap until they are due; do not let them outnumber the live ones.
        if alarms.count > 2 * handlers.count + 1024 {
            alarms = Heap(alarms.unordered.filter { handlers[$0.number] != nil })
        }
        handlers[nextNumber] = handler
        alarms.insert(Alarm(time: time, number: nextNumber))
        return Deadline(reactor: self, number: nextNumber)
    }

    /// Calls `handler` once, `duration` after now.
    public func after(_ duration: Duration, handler: @escaping () -> Void) -> Deadline {
        at(MonotonicTime.now + duration, handler: handler)
    }

    /// Calls `handler` once: as soon as the loop is awake for something else after `earliest` from now, and at `latest`
    /// in any case.
    ///
    /// For what need not be exact: being woken costs more than most of what is done then.
    public func between(_ earliest: Duration, _ latest: Duration, handler: @escaping () -> Void) -> Deadline {
        let start = MonotonicTime.now
        let deadline = at(start + latest, handler: handler)
        if occasions.count > 2 * handlers.count + 1024 {
            occasions = Heap(occasions.unordered.filter { handlers[$0.number] != nil })
        }
        occasions.insert(Alarm(time: start + earliest, number: deadline.number))
        return deadline
    }

    /// How many deadlines are kept, cancelled ones included; for tests.
    package var alarmCount: Int { alarms.count }

    /// Runs handlers until ``stop()`` is called.
    ///
    /// - Throws: `Errno` from `epoll_wait(2)` other than EINTR.
    public func run() throws(Errno) {
        stopped = false
        while !stopped { try turn() }
    }

    /// Makes ``run()`` return after the current handler.
    public func stop() { stopped = true }

    /// One turn: fires what is due, then waits for events and delivers them.
    ///
    /// - Parameter limit: Wait no longer than this.
    /// - Throws: `Errno` from `epoll_wait(2)` other than EINTR.
    public func turn(limit: Duration? = nil) throws(Errno) {
        fireDue()
        if stopped { return }
        var timeout: Int64 = -1
        if let alarm = nextAlarm() { timeout = Int64(clamping: (alarm.time - MonotonicTime.now).nanoseconds) }
        if let limit {
            let bound = Int64(clamping: limit.nanoseconds)
            timeout = timeout < 0 ? bound : min(timeout, bound)
        }
        let count: CInt
        do {
            count = try waiting { cepoll_wait(epoll.rawValue, ready, CInt(Reactor.batch), timeout) }
        } catch .interrupted { return }
        now = MonotonicTime.now
        for position in 0..<Int(count) {
            let event = ready[position]
            let index = Int(event.data & 0xffff_ffff)
            guard index < entries.count, entries[index].token == event.data,
                let handler = entries[index].handler
            else { continue }
            handler(Readiness(rawValue: event.events))
            if stopped { return }
        }
        fireDue()
    }

    /// A wait is not repeated on EINTR: the loop goes round and takes the time anew.
    private func waiting(_ call: () -> CInt) throws(Errno) -> CInt {
        let value = call()
        if value == -1 { throw currentErrno }
        return value
    }

    private func nextAlarm() -> Alarm? {
        while let alarm = alarms.min {
            if handlers[alarm.number] != nil { return alarm }
            _ = alarms.popMin()
        }
        return nil
    }

    private func fireDue() {
        guard let first = nextAlarm() else { return }
        now = MonotonicTime.now
        if first.time <= now {
            while let alarm = nextAlarm(), alarm.time <= now {
                _ = alarms.popMin()
                if let handler = takeHandler(of: alarm.number) { handler() }
                if stopped { return }
            }
        }
        while let occasion = occasions.min, occasion.time <= now {
            _ = occasions.popMin()
            if let handler = takeHandler(of: occasion.number) { handler() }
            if stopped { return }
        }
    }
}

@available(*, unavailable)
extension Reactor: Sendable {}
