internal import CEpoll
internal import PoolPolicy
internal import Syscalls

/// What a worker's requests use of the processor, asked of the kernel as seldom as possible.
struct RequestMeter {
    /// How long a reading of the ticks is good for.
    private static let nanosecondsBetweenReadings: UInt64 = 1_000_000

    /// Ticks at the last reading, and when that was.
    private var cpuRead = cepoll_cpu()
    private var cpuReadTime = MonotonicTime(nanoseconds: 0)
    /// Ticks that the last request has used.
    private(set) var cpuUsed = cepoll_cpu()
    /// Nanoseconds of processor time at the last reading, and of short requests since then.
    private var workRead: UInt64 = 0
    private var workSince: UInt64 = 0

    /// In the new worker: what the process has used so far is no request's.
    mutating func start() {
        cepoll_cpu_ticks(&cpuRead)
        workRead = cepoll_processor_time(0)
    }

    /// What the request has used since the former reading.
    ///
    /// The kernel counts ticks of 10 ms: to ask after each of many short requests would be a system call for
    /// nothing.
    mutating func readCPU(_ now: MonotonicTime) {
        guard now.nanoseconds(since: cpuReadTime) >= Self.nanosecondsBetweenReadings else {
            cpuUsed = cepoll_cpu()
            return
        }
        var cpu = cepoll_cpu()
        cepoll_cpu_ticks(&cpu)
        cpuUsed = cepoll_cpu(user: cpu.user - cpuRead.user, system: cpu.system - cpuRead.system)
        (cpuRead, cpuReadTime) = (cpu, now)
    }

    /// Nanoseconds of processor time that the request has used.
    ///
    /// A short one's are not asked for: they are no more than it took.
    mutating func workOfRequest(_ elapsed: UInt64) -> UInt64 {
        guard elapsed > ListeningWidth.shortRequest else {
            workSince &+= elapsed
            return elapsed
        }
        let now = cepoll_processor_time(0)
        let used = now - min(now, workRead &+ workSince)
        (workRead, workSince) = (now, 0)
        return min(used, elapsed)
    }
}
