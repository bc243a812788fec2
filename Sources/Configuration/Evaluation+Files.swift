// A pool's logs, directories and addresses: whatever names something outside.
extension Evaluation {
    mutating func checkLogs(_ index: Int) throws(Refusal) {
        let pool = pools[index].settings
        if let path = pool.accessLog, !path.isEmpty {
            if !pool.logsAccessToJournal { pools[index].settings.accessLog = expand(path, in: pool) }
            pools[index].settings.accessFormatText = pool.accessFormatText ?? "%R - %u %t \"%m %r\" %s"
        }
        let slowLog = pool.slowLog.flatMap { $0.isEmpty ? nil : expand($0, in: pool) }
        pools[index].settings.slowLog = slowLog ?? pool.slowLog
        try checkSlowLogTimeout(index, slowLog)

        let depth = pool.requestSlowLogTraceDepth
        if depth == 0 {
            pools[index].settings.requestSlowLogTraceDepth = 20
        } else if slowLog == nil {
            throw refuse(index, "'slowlog' must be specified for use with 'request_slowlog_trace_depth'")
        } else if depth < 0 {
            throw refuse(index, "'request_slowlog_trace_depth' (\(depth)) must be a positive value")
        }
    }

    private mutating func checkSlowLogTimeout(_ index: Int, _ slowLog: ByteString?) throws(Refusal) {
        let pool = pools[index].settings
        let timeout = pool.requestSlowLogTimeout.components.seconds
        let limit = pool.requestTerminateTimeout.components.seconds
        guard timeout != 0 else { return }
        guard let slowLog else {
            throw refuse(index, "'slowlog' must be specified for use with 'request_slowlog_timeout'")
        }
        guard limit == 0 || timeout <= limit else {
            let limitText: ByteString = "'request_terminate_timeout' (\(limit))"
            throw refuse(index, "'request_slowlog_timeout' (\(timeout)) can't be greater than \(limitText)")
        }
        do throws(SystemError) {
            try host.openLog(slowLog, as: .slowLog(pool: pool.name))
        } catch {
            throw refuse(
                .error,
                "Unable to create or open slowlog(\(slowLog)): \(reason(error))",
                hint: directoryRemedy(for: slowLog, code: error.code)
            )
        }
    }

    mutating func checkDirectories(_ index: Int) throws(Refusal) {
        let pool = pools[index].settings
        if let given = pool.chroot, !given.isEmpty {
            let path = expandRoot(given, in: pool)
            pools[index].settings.chroot = path
            guard path.isAbsolutePath else {
                throw refuse(index, "the chroot path '\(path)' must start with a '/'")
            }
            guard host.isDirectory(path) else {
                throw refuse(
                    index,
                    "the chroot path '\(path)' does not exist or is not a directory",
                    hint: "make the directory \(path), or correct the path"
                )
            }
        }
        guard let given = pool.chdir, !given.isEmpty else { return }
        let path = expand(given, in: pool)
        pools[index].settings.chdir = path
        guard path.isAbsolutePath else {
            throw refuse(index, "the chdir path '\(path)' must start with a '/'")
        }
        if let root = pools[index].settings.chroot, !root.isEmpty {
            let inside: ByteString = "\(root)/\(path)"
            guard host.isDirectory(inside) else {
                let place: ByteString = "within the chroot path '\(root)' ('\(inside)')"
                throw refuse(
                    index,
                    "the chdir path '\(path)' \(place) does not exist or is not a directory",
                    hint: "make the directory \(inside), or correct the path"
                )
            }
        } else if !host.isDirectory(path) {
            throw refuse(
                index,
                "the chdir path '\(path)' does not exist or is not a directory",
                hint: "make the directory \(path), or correct the path"
            )
        }
    }

    /// `chroot` after expansion: `$prefix` may stand at its beginning and nowhere else.
    private mutating func expandRoot(_ given: ByteString, in pool: PoolSettings) -> ByteString {
        guard !given.isAbsolutePath else { return given }
        let marker = Array("$prefix".utf8)
        let prefix = pathPrefix(of: pool)
        if given.bytes.starts(with: marker) {
            let rest = given.bytes.dropFirst(marker.count)
            return rest.isEmpty ? prefix : "\(prefix)/\(ByteString(rest))"
        }
        if given.bytes.indices.contains(where: { given.bytes[$0...].starts(with: marker) }) {
            log.report(.error, "'$prefix' must be use at the beginning of the value")
            return given
        }
        return "\(prefix)/\(given)"
    }

    /// PHP settings that are paths count from the pool's prefix.
    mutating func expandPHPPaths(_ index: Int) {
        let pool = pools[index].settings
        pools[index].settings.phpValues = pool.phpValues.map { expandPHPPath($0, in: pool) }
        pools[index].settings.phpAdminValues = pool.phpAdminValues.map { expandPHPPath($0, in: pool) }
    }

    private func expandPHPPath(_ setting: PHPSetting, in pool: PoolSettings) -> PHPSetting {
        let pathSettings: [ByteString] = [
            "error_log", "extension_dir", "mime_magic.magicfile", "sendmail_path", "session.cookie_path",
            "session_pgsql.sem_file_name", "soap.wsdl_cache_dir", "uploadprogress.file.filename_template",
            "xdebug.output_dir", "xdebug.profiler_output_dir", "xdebug.trace_output_dir", "xmms.path",
            "axis2.client_home", "blenc.key_file", "coin_acceptor.device",
        ]
        guard pathSettings.contains(where: { $0.equalsIgnoringCase(setting.name) }) else { return setting }
        let isLogToSyslog =
            setting.name.equalsIgnoringCase("error_log") && setting.value.equalsIgnoringCase("syslog")
        if setting.isAdmin, isLogToSyslog { return setting }
        var expanded = setting
        expanded.value = expand(setting.value, in: pool)
        return expanded
    }

    /// No two pools, hidden ones included, may have the same address text.
    mutating func checkAddresses() throws(Refusal) {
        let addresses = pools.map { $0.settings.listenText ?? "" }
        let users = Dictionary(grouping: addresses.indices) { addresses[$0] }.values.filter { $0.count > 1 }
        if let conflict = users.min(by: { $0[0] < $1[0] }) {
            let first = pools[conflict[0]].settings.name
            throw refuse(
                conflict[1],
                "unable to set listen address as it's already used in another pool '\(first)'"
            )
        }
        for pool in pools {
            guard let owner = pool.owner else { continue }
            pools[owner].settings.statusListenerText = pool.settings.listenText
        }
    }

    mutating func openAccessLogs() throws(Refusal) {
        for pool in pools.map(\.settings) {
            guard let path = pool.accessLog else { continue }
            do throws(SystemError) {
                try host.openLog(path, as: pool.logsAccessToJournal ? .journal : .accessLog(pool: pool.name))
            } catch {
                throw refuse(
                    .error,
                    "failed to open access log (\(path)): \(reason(error))",
                    hint: pool.logsAccessToJournal
                        ? Self.noJournal : directoryRemedy(for: path, code: error.code)
                )
            }
        }
    }

    mutating func checkAccessFormats() throws(Refusal) {
        for index in pools.indices {
            let pool = pools[index].settings
            guard let path = pool.accessLog, !path.isEmpty, let text = pool.accessFormatText else { continue }
            do throws(AccessLogFormat.Problem) {
                _ = try AccessLogFormat(text)
            } catch {
                log.report(.warning, error.message)
                throw refuse(index, "wrong format for access.format '\(text)'")
            }
        }
    }
}
