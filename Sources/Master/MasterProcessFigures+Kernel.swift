internal import CEpoll
internal import Glibc
internal import StatusPage

extension MasterProcessFigures {
    /// Asks the kernel; what it does not tell stays unknown.
    static func current(fileLimit: UInt64) -> MasterProcessFigures {
        var figures = MasterProcessFigures()
        figures.fileLimit = fileLimit
        var usage = cepoll_usage()
        guard cepoll_own_usage(&usage) == 0 else { return figures }
        figures.cpuMicroseconds = usage.cpu_us
        figures.residentMemory = usage.resident
        figures.virtualMemory = usage.virtual_size
        figures.startCentiseconds = usage.start_centiseconds
        if usage.open_files > 0 { figures.openFiles = usage.open_files }
        return figures
    }
}
