internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging
internal import Syscalls

/// What a reload changes for the service as a whole.
extension Master {
    /// Takes over the global settings of the new configuration.
    ///
    /// It is in force already: what cannot be done is said, and stays as it was.
    func applyGlobals(former: GlobalSettings) {
        let global = configuration.global
        log.level = global.effectiveLogLevel
        log.limit = global.logLimit
        log.format = global.logsAsJSON ? .json : .text
        applyLog(global)
        openControl()
        if global.pidFile != former.pidFile { movePIDFile(from: former.pidFile) }
        if options.loadOptions.isRoot, global.processPriority != former.processPriority,
            cepoll_set_priority(CInt(global.processPriority ?? 0)) < 0
        {
            log.error("process.priority stays: \(describe(currentErrno))")
        }
        let isFileLimitNew = global.rlimitFiles != 0 && global.rlimitFiles != former.rlimitFiles
        let isCoreLimitNew = global.rlimitCore != 0 && global.rlimitCore != former.rlimitCore
        if isFileLimitNew || isCoreLimitNew { _ = applyLimits() }
    }

    /// Writes the new pid file and removes the former one, in this order: where it cannot be written, the former stays in
    /// force.
    private func movePIDFile(from former: ByteString?) {
        guard writePIDFile(orSay: "pid stays: ") else { return configuration.global.pidFile = former }
        guard let former, isOwn(former) else { return }
        var file: (device: UInt64, inode: UInt64) = (0, 0)
        var other: (device: UInt64, inode: UInt64) = (0, 0)
        // It may be another name of the same file.
        if let path = configuration.global.pidFile,
            cepoll_path_identity(path.cString, &file.device, &file.inode) == 0,
            cepoll_path_identity(former.cString, &other.device, &other.inode) == 0, file == other
        {
            return
        }
        unlink(former.cString)
    }

    /// The error log of the new configuration, also where it is syslog or the journal now, or was.
    private func applyLog(_ global: GlobalSettings) {
        guard !log.isPinnedToStandardError else { return }
        if global.logsToSyslog {
            log.openSyslog(
                ident: global.syslogIdent ?? "php-fpm",
                facility: global.syslogFacility
            )
            return log.use(.syslog)
        }
        if global.logsToJournal { return log.use(.journal) }
        guard let path = global.errorLog else { return }
        let descriptor = cepoll_open_append(path.cString)
        guard descriptor >= 0 else {
            return log.error("error_log stays: failed to open '\(path)': \(describe(currentErrno))")
        }
        log.use(.file(path: path, descriptor: SharedDescriptor(adopting: descriptor)))
    }
}
