extension PoolSettings {
    /// The directives of a pool, in the order of the dump.
    static let table: [DirectiveRow<PoolSettings>] = listening + management + requests + confinement
    /// Those that take one value.
    static let scalars = ScalarDirectives(of: table)

    // swift-format-ignore
    private static let listening: [DirectiveRow<PoolSettings>] = [
        row("prefix", .text(\.prefix), "none", "Directory for the pool's relative paths."),
        row("user", .text(\.user), "none", "User of the workers; required as root without `-R`."),
        row("group", .text(\.group), "the user's", "Group of the workers."),
        row("listen", .text(\.listenText), "required", "Port, `HOST:PORT`, `[IPv6]:PORT` or a path."),
        row("listen.backlog", .integer(\.listenBacklog), "-1", "Length of the queue; -1 is the maximum."),
        row("listen.acl_users", .text(\.listenACLUsers), "none", "Users who may connect; comma list."),
        row("listen.acl_groups", .text(\.listenACLGroups), "none", "Groups who may connect; comma list."),
        row("listen.owner", .text(\.listenOwner), "the master's", "Owner of a Unix socket."),
        row("listen.group", .text(\.listenGroup), "the owner's", "Group of a Unix socket."),
        row("listen.mode", .text(\.listenModeText), "0660", "Permissions of a Unix socket, octal."),
        row(
            "listen.allowed_clients", .text(\.listenAllowedClients), "any",
            "Addresses that may connect over TCP; comma list, blank denies everyone."),
    ]

    // swift-format-ignore
    private static let management: [DirectiveRow<PoolSettings>] = [
        row("process.priority", .priority(\.processPriority), "unset", "Nice value of the workers, -19…20."),
        row("process.dumpable", .boolean(\.processDumpable), "no", "Let workers dump core and be traced."),
        row("pm", .processManager(\.processManager), "required", "How the number of workers is chosen."),
        row("pm.max_children", .integer(\.maxChildren), "required", "Most workers at a time."),
        row("pm.start_servers", .integer(\.startServers), "between spares", "Workers at start (dynamic)."),
        row("pm.min_spare_servers", .integer(\.minSpareServers), "required", "Least idle workers (dynamic)."),
        row("pm.max_spare_servers", .integer(\.maxSpareServers), "required", "Most idle workers (dynamic)."),
        row("pm.max_spawn_rate", .integer(\.maxSpawnRate), "32", "Most workers spawned at once (dynamic)."),
        row(
            "pm.process_idle_timeout", .plainSeconds(\.processIdleTimeout), "10",
            "How long a worker may be idle (ondemand), or surplus (dynamic)."),
        row("pm.max_requests", .integer(\.maxRequests), "0", "Requests of a worker; 0 is unlimited."),
        row(
            "pm.max_memory", .size(\.maxMemory), "0",
            "Private memory beyond which a worker is replaced after its request; 0 is off.", dump: .whenSet),
        row(
            "pm.max_queue", .integer(\.maxQueue), "0",
            "Requests that may wait for a worker; more get 503; 0 is no limit.", dump: .whenSet),
        row(
            "pm.queue_timeout", .seconds(\.queueTimeout), "0",
            "How long a request may wait for a worker before it gets 503; 0 is off.", dump: .whenSet),
        row("pm.status_path", .text(\.statusPath), "none", "URI that answers with the pool's status."),
        row(
            "pm.status_listen", .text(\.statusListenText), "none", "Extra address for status and ping."),
        row("ping.path", .text(\.pingPath), "none", "URI that answers with `ping.response`."),
        row("ping.response", .text(\.pingResponse), "pong", "Answer to a ping."),
    ]

    // swift-format-ignore
    private static let requests: [DirectiveRow<PoolSettings>] = [
        row("access.log", .text(\.accessLog), "none", "File for the access log, or `journald`."),
        row("access.format", .text(\.accessFormatText), "%R - %u %t \"%m %r\" %s", "Form of its lines."),
        row("access.suppress_path", .paths(\.suppressedPaths), "none", "Path whose success is not logged."),
        row("slowlog", .text(\.slowLog), "none", "File for traces of slow requests."),
        row(
            "request_slowlog_timeout", .seconds(\.requestSlowLogTimeout), "0",
            "Time after which a request is traced; 0 is off."),
        row("request_slowlog_trace_depth", .integer(\.requestSlowLogTraceDepth), "20", "Frames of a trace."),
        row(
            "request_terminate_timeout", .seconds(\.requestTerminateTimeout), "0",
            "Time after which a request is killed; 0 is off."),
        row(
            "request_terminate_timeout_track_finished", .boolean(\.requestTerminateTimeoutTracksFinished),
            "no", "Apply it after `fastcgi_finish_request` too."),
        row(
            "request_soft_timeout", .seconds(\.requestSoftTimeout), "0",
            "Time after which a script is ended as by `max_execution_time`; 0 is off.", dump: .whenSet),
        row(
            "request_buffer", .size(\.requestBuffer), "128K",
            "Bytes of a request received before its script starts, without a worker if its client is slow; 0 is off.",
            dump: .whenSet),
        row(
            "response_buffer", .size(\.responseBuffer), "1M",
            "Bytes of a response kept for a client that reads slowly, so that its worker is free; 0 is off.",
            dump: .whenSet),
    ]

    // swift-format-ignore
    private static let confinement: [DirectiveRow<PoolSettings>] = [
        row("rlimit_files", .integer(\.rlimitFiles), "0", "Open file limit of the workers; 0 inherits."),
        row("rlimit_core", .coreLimit(\.rlimitCore), "0", "Core size limit of the workers; 0 inherits."),
        row("chroot", .text(\.chroot), "none", "Root directory of the workers."),
        row("chdir", .text(\.chdir), "none", "Working directory of the workers, inside `chroot`."),
        row("catch_workers_output", .boolean(\.catchWorkersOutput), "no", "Log what workers write."),
        row("decorate_workers_output", .boolean(\.decorateWorkersOutput), "yes", "Name the worker there."),
        row("clear_env", .boolean(\.clearEnvironment), "yes", "Start workers with an empty environment."),
        row(
            "security.limit_extensions", .text(\.limitExtensionsText), ".php .phar",
            "Suffixes a script may have; blank allows all."),
        row(
            "apparmor_hat", .text(\.apparmorHat), "none", "AppArmor hat of the workers.", dump: .never),
        row("env", .environment(\.environment), "none", "Environment variable; `$NAME` copies the master's."),
        row(
            "php_value", .phpSettings(\.phpValues, isAdmin: false, isFlag: false), "none",
            "PHP setting that scripts may change."),
        row(
            "php_flag", .phpSettings(\.phpValues, isAdmin: false, isFlag: true), "none",
            "The same for a boolean setting.", dump: .never),
        row(
            "php_admin_value", .phpSettings(\.phpAdminValues, isAdmin: true, isFlag: false), "none",
            "PHP setting that scripts may not change."),
        row(
            "php_admin_flag", .phpSettings(\.phpAdminValues, isAdmin: true, isFlag: true), "none",
            "The same for a boolean setting.", dump: .never),
    ]

    private static func row(
        _ name: ByteString,
        _ field: DirectiveField<PoolSettings>,
        _ defaultText: String,
        _ summary: String,
        _ effect: DirectiveEffect = .effective,
        dump: DumpRule = .always
    ) -> DirectiveRow<PoolSettings> {
        DirectiveRow(
            name,
            field,
            scope: .pool,
            default: defaultText,
            summary,
            effect: effect,
            dump: dump
        )
    }
}
