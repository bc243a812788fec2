/// The `[global]` section: one property per directive, with php-fpm's defaults.
///
/// After a successful load paths are expanded and defaults filled in.
public struct GlobalSettings: Sendable {
    /// `pid`: file for the master's process id; nil for none.
    public var pidFile: ByteString?

    /// `error_log`: an expanded path, or `syslog` or `journald` in any case (see ``logsToSyslog`` and
    /// ``logsToJournal``).
    public var errorLog: ByteString?

    /// `syslog.ident`: name in front of syslog lines.
    public var syslogIdent: ByteString?

    /// `syslog.facility`: the platform's number as in `<syslog.h>`; daemon is 24.
    public var syslogFacility = -1

    /// `log_buffering`: one write per line.
    public var logBuffering = true

    /// `log_format`: `text` or `json`, checked by the load.
    public var logFormat: ByteString?

    /// `log_level` as given; nil when unset, see ``effectiveLogLevel``.
    public var logLevel: LogLevel?

    /// `log_limit`: bytes of a log line including its newline; at least 512.
    public var logLimit = 1024

    /// `emergency_restart_threshold`: crashes within the interval; 0 is off.
    public var emergencyRestartThreshold = 0

    /// `emergency_restart_interval`: whole seconds; zero is off.
    public var emergencyRestartInterval: Duration = .zero

    /// `process_control_timeout`: patience between two stop signals, whole seconds.
    public var processControlTimeout: Duration = .zero

    /// `process.max`: workers over all pools; 0 is unlimited.
    public var processMax = 0

    /// `process.idle_zygotes`: zygotes of ondemand pools that are kept, and started ahead, without a worker.
    public var idleZygotes = 16

    /// `process.priority`: -19 … 20; nil when unset.
    public var processPriority: Int?

    /// `daemonize`, with `-D` and `-F` applied.
    public var daemonize = true

    /// `rlimit_files`: 0 leaves the limit alone.
    public var rlimitFiles = 0

    /// `rlimit_core`: 0 leaves the limit alone, -1 is unlimited.
    public var rlimitCore = 0

    /// `events.mechanism`: the chosen one's name, such as `epoll`.
    public var eventsMechanism: ByteString?

    /// `systemd_interval`: time between notifications, whole milliseconds; zero disables them.
    ///
    /// Never nil after a load: 10 s by default, half of `WATCHDOG_USEC` when systemd asks for a watchdog.
    public var systemdInterval: Duration?

    /// `control.socket`: path of the socket for `fpmctl`, `off`, or nil for the default; see ``ControlSocketPath``.
    public var controlSocket: ByteString?

    /// `control.group`: who may look, but not touch, by `fpmctl`; a name or digits.
    public var controlGroup: ByteString?

    /// Whether systemd asked for a watchdog, so that each notification carries `WATCHDOG=1`.
    public var answersSystemdWatchdog = false

    /// `metrics.listen`: address as given, a path expanded; nil for none.
    public var metricsListenText: ByteString?
    /// `metrics.allowed_clients`: comma list as given; blank denies everyone; nil allows everyone.
    public var metricsAllowedClients: ByteString?

    /// Creates a section without any directive.
    public init() {}

    /// Whether `error_log` selects syslog instead of a file.
    public var logsToSyslog: Bool { errorLog?.equalsIgnoringCase("syslog") ?? false }

    /// Whether `error_log` selects the journal instead of a file.
    public var logsToJournal: Bool { errorLog?.equalsIgnoringCase("journald") ?? false }

    /// Whether lines in files and on stderr are JSON objects.
    public var logsAsJSON: Bool { logFormat?.equalsIgnoringCase("json") ?? false }

    /// The least severity to log: `notice` when `log_level` is unset.
    public var effectiveLogLevel: LogLevel { logLevel ?? .notice }
}
