extension GlobalSettings {
    /// The directives of `[global]`, in the order of the dump.
    // One row a line where it fits.
    // swift-format-ignore
    static let table: [DirectiveRow<GlobalSettings>] = [
        row("pid", .text(\.pidFile), "none", "File for the master's process id."),
        row("error_log", .text(\.errorLog), "log/php-fpm.log", "File for the error log, `syslog` or `journald`."),
        row("syslog.ident", .text(\.syslogIdent), "php-fpm", "Name in front of lines in syslog."),
        row("syslog.facility", .facility(\.syslogFacility), "daemon", "Facility of lines in syslog."),
        row("log_buffering", .boolean(\.logBuffering), "yes", "Write each log line at once."),
        row("log_level", .logLevel(\.logLevel), "notice", "Least severity that is logged."),
        row("log_format", .text(\.logFormat), "text", "`text`, or `json` for a JSON object a line.", dump: .whenSet),
        row("log_limit", .integer(\.logLimit), "1024", "Bytes of a log line; worker output wraps."),
        row(
            "emergency_restart_interval", .seconds(\.emergencyRestartInterval), "0",
            "Time in which the crashes of `emergency_restart_threshold` count; 0 is off."),
        row(
            "emergency_restart_threshold", .integer(\.emergencyRestartThreshold), "0",
            "Crashed workers after which the master restarts; 0 is off."),
        row(
            "process_control_timeout", .seconds(\.processControlTimeout), "0",
            "Patience after the first signal of a stop or reload."),
        row("process.max", .integer(\.processMax), "0", "Workers over all pools; 0 is unlimited."),
        row(
            "process.idle_zygotes", .integer(\.idleZygotes), "16",
            "Ondemand pools without a worker whose PHP is kept started for their next request.", dump: .whenSet),
        row("process.priority", .priority(\.processPriority), "unset", "Nice value of the master, -19…20."),
        row("daemonize", .boolean(\.daemonize), "yes", "Run in the background; `-D` and `-F` override it."),
        row("rlimit_files", .integer(\.rlimitFiles), "0", "Open files of the master; 0 leaves it alone."),
        row("rlimit_core", .coreLimit(\.rlimitCore), "0", "Core size of the master; 0 leaves it alone."),
        row(
            "events.mechanism", .text(\.eventsMechanism), "epoll",
            "`epoll`, `poll` or `select`; the event loop is epoll whatever is chosen."),
        row(
            "systemd_interval", .optionalSeconds(\.systemdInterval), "10",
            "Time between two status messages to systemd; 0 disables them."),
        row(
            "metrics.listen", .text(\.metricsListenText), "none",
            "Address for metrics, a dashboard and health over HTTP; as `listen`.", dump: .whenSet),
        row(
            "metrics.allowed_clients", .text(\.metricsAllowedClients), "any",
            "Addresses that may connect there over TCP; comma list, blank denies everyone.", dump: .whenSet),
        row(
            "control.socket", .text(\.controlSocket), "/run/fpmd/fpmd.sock",
            "Unix socket for `fpmctl`, made by default where its directory exists; `off` for none.", dump: .whenSet),
        row(
            "control.group", .text(\.controlGroup), "none",
            "Group whose members may use `fpmctl status`, `top` and `health`; all else is for root and the master's user.",
            dump: .whenSet),
    ]
    /// Those that take one value.
    static let scalars = ScalarDirectives(of: table)

    private static func row(
        _ name: ByteString,
        _ field: DirectiveField<GlobalSettings>,
        _ defaultText: String,
        _ summary: String,
        _ effect: DirectiveEffect = .effective,
        dump: DumpRule = .always
    ) -> DirectiveRow<GlobalSettings> {
        DirectiveRow(
            name,
            field,
            scope: .global,
            default: defaultText,
            summary,
            effect: effect,
            dump: dump
        )
    }
}
