/// The `pm` directive: how many workers a pool keeps.
public enum ProcessManager: Int, Hashable, Sendable, CaseIterable {
    case `static` = 1
    case dynamic
    case ondemand

    /// The word in configuration files and dumps.
    public var name: String {
        switch self {
        case .static: "static"
        case .dynamic: "dynamic"
        case .ondemand: "ondemand"
        }
    }
}

/// One `env[…]` entry.
public struct EnvironmentEntry: Hashable, Sendable {
    /// Variable name; not validated.
    public var name: ByteString
    /// Value; a leading `$` names a variable of the master to copy, see ``resolved(by:)``.
    public var value: ByteString

    /// Creates an entry.
    public init(name: ByteString, value: ByteString) {
        self.name = name
        self.value = value
    }

    /// The value with `$NAME` replaced by the master's variable, empty when that is unset.
    public func resolved(by host: some ConfigurationHost) -> ByteString {
        guard value.bytes.first == UInt8(ascii: "$") else { return value }
        return host.environmentVariable(ByteString(value.bytes.dropFirst())) ?? ByteString()
    }
}

/// One `php_value`, `php_flag`, `php_admin_value` or `php_admin_flag` entry.
public struct PHPSetting: Hashable, Sendable {
    /// Name of the PHP setting.
    public var name: ByteString
    /// Value: flags are `1` or `0`, and settings that are paths are expanded.
    public var value: ByteString
    /// Whether scripts and `.user.ini` may not change it.
    public var isAdmin: Bool

    /// Creates an entry.
    public init(name: ByteString, value: ByteString, isAdmin: Bool) {
        self.name = name
        self.value = value
        self.isAdmin = isAdmin
    }
}

/// A file that says something of a pool.
public struct PoolSource: Hashable, Sendable {
    /// Its path, as it was opened.
    public var path: ByteString
    /// The pool's section was in force where the file begins: it is included from within the section.
    public var beginsInside: Bool
}

/// A pool's section: one property per directive, with php-fpm's defaults.
///
/// After a successful load paths are expanded and defaults filled in. Optional texts are nil when the
/// directive is absent, and empty when it is given blank and php-fpm tells the two apart.
public struct PoolSettings: Sendable {
    /// The section's name as first spelled.
    public var name: ByteString

    /// The files that say something of the pool, in order.
    public var sources: [PoolSource] = []

    /// `prefix`: directory for the pool's relative paths.
    public var prefix: ByteString?

    /// `user` as given: a name or digits; see ``resolveIdentity(options:realUserID:host:)``.
    public var user: ByteString?
    /// `group` as given: a name or digits.
    public var group: ByteString?

    /// `listen` after path expansion; two pools with equal text conflict.
    public var listenText: ByteString?
    /// `listen.backlog`: -1 is the kernel's maximum.
    public var listenBacklog = -1
    /// `listen.acl_users`: comma list as given.
    public var listenACLUsers: ByteString?
    /// `listen.acl_groups`: comma list as given.
    public var listenACLGroups: ByteString?
    /// `listen.owner`: a name or digits.
    public var listenOwner: ByteString?
    /// `listen.group`: a name or digits.
    public var listenGroup: ByteString?
    /// `listen.mode` as given; see ``listenMode``.
    public var listenModeText: ByteString?
    /// `listen.allowed_clients`: comma list as given; blank denies everyone; nil allows everyone.
    public var listenAllowedClients: ByteString?

    /// `process.priority`: -19 … 20; nil when unset.
    public var processPriority: Int?
    /// `process.dumpable`.
    public var processDumpable = false
    /// `pm`; present in every accepted pool.
    public var processManager: ProcessManager?
    /// `pm.max_children`: at least 1 in every accepted pool.
    public var maxChildren = 0
    /// `pm.start_servers`.
    public var startServers = 0
    /// `pm.min_spare_servers`.
    public var minSpareServers = 0
    /// `pm.max_spare_servers`.
    public var maxSpareServers = 0
    /// `pm.max_spawn_rate`: workers at once; at least 1 in an accepted dynamic pool.
    public var maxSpawnRate = 32
    /// `pm.process_idle_timeout`: whole seconds.
    public var processIdleTimeout: Duration = .seconds(10)
    /// `pm.max_requests`: 0 is unlimited.
    public var maxRequests = 0
    /// `pm.max_memory`: bytes of private memory after a request; 0 is off.
    public var maxMemory = 0
    /// `pm.max_queue`: requests that may wait for a worker; 0 is no limit.
    public var maxQueue = 0
    /// `pm.queue_timeout`: whole seconds; zero is off.
    public var queueTimeout: Duration = .zero
    /// `pm.status_path`.
    public var statusPath: ByteString?
    /// `pm.status_listen` as given: address of an extra listener for status and ping.
    public var statusListenText: ByteString?
    /// `pm.status_listen` after path expansion; it counts from the global prefix, not the pool's.
    public var statusListenerText: ByteString?
    /// `ping.path`.
    public var pingPath: ByteString?
    /// `ping.response`: `pong` by default when there is a ping path.
    public var pingResponse: ByteString?

    /// `access.log`: expanded path; nil for none.
    public var accessLog: ByteString?
    /// `access.format` as given or by default; see ``accessLogFormat``.
    public var accessFormatText: ByteString?
    /// `access.suppress_path[]`, last in the file first.
    public var suppressedPaths: [ByteString] = []
    /// `slowlog`: expanded path.
    public var slowLog: ByteString?
    /// `request_slowlog_timeout`: whole seconds; zero is off.
    public var requestSlowLogTimeout: Duration = .zero
    /// `request_slowlog_trace_depth`: frames; 20 by default when there is a slow log.
    public var requestSlowLogTraceDepth = 0
    /// `request_terminate_timeout`: whole seconds; zero is off.
    public var requestTerminateTimeout: Duration = .zero
    /// `request_terminate_timeout_track_finished`.
    public var requestTerminateTimeoutTracksFinished = false

    /// `request_soft_timeout`: whole seconds; zero is off.
    public var requestSoftTimeout: Duration = .zero
    /// `request_buffer`: bytes of a request kept for a slow sender; 0 is off.
    public var requestBuffer = 128 << 10
    /// `response_buffer`: bytes of a response kept for a slow reader; 0 is off.
    public var responseBuffer = 1 << 20

    /// `rlimit_files`: 0 inherits.
    public var rlimitFiles = 0
    /// `rlimit_core`: 0 inherits, -1 is unlimited.
    public var rlimitCore = 0
    /// `chroot`: absolute path.
    public var chroot: ByteString?
    /// `chdir`: absolute path, inside `chroot` when there is one.
    public var chdir: ByteString?
    /// `catch_workers_output`.
    public var catchWorkersOutput = false
    /// `decorate_workers_output`.
    public var decorateWorkersOutput = true
    /// `clear_env`.
    public var clearEnvironment = true
    /// `security.limit_extensions` as given or by default; see ``limitedExtensions``.
    public var limitExtensionsText: ByteString?
    /// `apparmor_hat`.
    public var apparmorHat: ByteString?

    /// `env[…]`, last in the file first: the order of application, in which a later one wins.
    public var environment: [EnvironmentEntry] = []
    /// `php_value[…]` and `php_flag[…]`, last in the file first.
    public var phpValues: [PHPSetting] = []
    /// `php_admin_value[…]` and `php_admin_flag[…]`, last in the file first.
    public var phpAdminValues: [PHPSetting] = []

    /// Creates a pool without any directive.
    public init(name: ByteString) { self.name = name }
}

extension PoolSettings {
    /// Where the pool listens; an accepted pool always has an address.
    public var listen: ListenAddress { ListenAddress(listenText ?? ByteString()) }

    /// Where the pool's extra status listener is, if it has one.
    public var statusListen: ListenAddress? { statusListenerText.map { ListenAddress($0) } }

    /// The extra status listener as a pool of its own, as php-fpm has it: its address, and the owner's permissions.
    public var statusListenerSettings: PoolSettings? {
        guard let text = statusListenerText else { return nil }
        var hidden = PoolSettings(name: "\(name)_status")
        hidden.listenText = text
        hidden.listenOwner = listenOwner
        hidden.listenGroup = listenGroup
        hidden.listenModeText = listenModeText
        hidden.listenACLUsers = listenACLUsers
        hidden.listenACLGroups = listenACLGroups
        return hidden
    }

    /// Whether `access.log` selects the journal instead of a file.
    public var logsAccessToJournal: Bool { accessLog?.equalsIgnoringCase("journald") ?? false }

    /// `listen.mode` as permission bits; 0660 by default.
    public var listenMode: UInt32 { listenModeText.map { cOctal($0.bytes[...]) } ?? 0o660 }

    /// The elements of `listen.allowed_clients`, unchecked; nil allows everyone.
    public var allowedClients: [ByteString]? { listenAllowedClients?.split(at: UInt8(ascii: ",")) }

    /// The suffixes of `security.limit_extensions`; empty allows every script.
    public var limitedExtensions: [ByteString] {
        (limitExtensionsText ?? ByteString()).bytes.split(whereSeparator: \.isBlank).map { ByteString($0) }
    }

    /// How many workers there may be beyond `pm.max_children` while they replace others that are about to leave.
    ///
    /// A tenth, at least one; none where workers do not announce that they leave.
    public var replacementOverlap: Int {
        maxRequests >= PoolSettings.leastAnnouncedRequests || maxMemory > 0 ? max(1, maxChildren / 10) : 0
    }

    /// How many workers beyond `pm.max_children` an operator may ask for until the next reload.
    public var scaleHeadroom: Int { min(max(4, maxChildren), 16) }

    /// The most workers there can ever be in the pool.
    public var slotCount: Int { maxChildren + max(replacementOverlap, 1) + scaleHeadroom }

    /// With a smaller `pm.max_requests` workers serve exactly as many, and are replaced when they have gone, as in php-fpm.
    public static let leastAnnouncedRequests = 10

    /// Whether the pool limits its queue, so that its depth is kept exactly and scripts are told how long they waited.
    public var limitsQueue: Bool { maxQueue > 0 || queueTimeout > .zero }

    /// The parsed `access.format`; nil without an access log or format.
    public var accessLogFormat: AccessLogFormat? {
        guard accessLog != nil, let text = accessFormatText else { return nil }
        return try? AccessLogFormat(text)
    }

    /// All PHP settings in the order in which a worker applies them: values, then admin values.
    public var phpSettings: [PHPSetting] { phpValues + phpAdminValues }
}

extension ByteString {
    /// The pieces between occurrences of `separator`, empty ones included.
    func split(at separator: UInt8) -> [ByteString] {
        bytes.split(separator: separator, omittingEmptySubsequences: false).map { ByteString($0) }
    }
}
