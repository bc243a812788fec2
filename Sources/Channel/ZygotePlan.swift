public import Configuration

/// Everything a zygote must know, in the order in which it acts on it.
///
/// The master writes it into a memory file; the zygote, a program of the same build, reads it once at its
/// start.
public struct ZygotePlan: Equatable {
    // Engine.
    /// argv[0] of the master: PHP_BINARY, and where php.ini is looked for.
    public var executable = ByteString()
    /// `-c`.
    public var iniPath: ByteString?
    /// `-n`.
    public var noIni = false
    /// `-e`.
    public var extendedInfo = false
    /// `-d`, in order, then the pool's `php_admin_value[opcache.*]`.
    public var defines: [NamedValue] = []
    /// How many of ``defines`` come from `-d`, and are read by the INI scanner; the others are literal.
    public var commandLineDefines = 0

    // Identity.
    /// Name of the pool.
    public var pool = ByteString()
    /// User to become; 0 stays.
    public var userID: UInt32 = 0
    /// Group to become; 0 stays.
    public var groupID: UInt32 = 0
    /// Name for initgroups(3); nil: no supplementary groups.
    public var userName: ByteString?
    /// Whether the master is root, so that identity, chroot and priority apply.
    public var isPrivileged = false
    /// `chroot`.
    public var chroot: ByteString?
    /// `chdir`.
    public var chdir: ByteString?
    /// `rlimit_files`, 0 inherits.
    public var fileLimit = 0
    /// `rlimit_core`, 0 inherits, -1 unlimited.
    public var coreLimit = 0
    /// `process.priority`.
    public var priority: Int?
    /// `process.dumpable`.
    public var isDumpable = false
    /// `apparmor_hat`.
    public var apparmorHat: ByteString?
    /// Workers let the master read their memory for the slow log, though it is not privileged.
    public var allowsTracing = false
    /// `clear_env`.
    public var clearsEnvironment = true
    /// `env[]` in order of application, resolved, and USER and HOME.
    public var environment: [NamedValue] = []

    // Requests.
    /// `php_value` and `php_admin_value` in order of application.
    public var settings: [PHPSetting] = []
    /// `security.limit_extensions`; empty: no check.
    public var limitExtensions: [ByteString] = []
    /// `log_limit`.
    public var logLimit = 1024
    /// `catch_workers_output`.
    public var catchesOutput = false
    /// `log_level`.
    public var logLevel = LogLevel.notice
    /// `pm`, for status pages.
    public var processManager = ByteString()
    /// Slots of the scoreboard: `pm.max_children`, and those of workers that replace others.
    public var slotCount = 1
    /// `pm.max_requests`.
    public var maxRequests = 0
    /// `pm.max_memory`.
    public var maxMemory = 0
    /// Whether there is `pm.max_queue` or `pm.queue_timeout`.
    ///
    /// Waiting requests are the master's to count then, and scripts are told how long theirs has waited,
    /// also if it has not.
    public var limitsQueue = false
    /// `request_buffer`.
    public var requestBuffer = 0
    /// `response_buffer`.
    public var responseBuffer = 0
    /// `ping.path`, `ping.response`.
    public var pingPath: ByteString?
    /// `ping.response`.
    public var pingResponse = ByteString()
    /// `pm.status_path`.
    public var statusPath: ByteString?
    /// `access.format`; nil without an access log.
    public var accessFormat: ByteString?
    /// `access.suppress_path[]`.
    public var suppressedPaths: [ByteString] = []
    /// `access.log` is the journal: entries for it are written, in place of lines.
    public var logsAccessToJournal = false
    /// `listen.allowed_clients`, unchecked elements; nil allows everyone.
    public var allowedClients: [ByteString]?
    /// Whether peers have addresses.
    public var isTCP = false

    /// A plan with nothing in it.
    public init() {}
}

/// A name and a value.
public struct NamedValue: Equatable {
    /// Name.
    public var name: ByteString
    /// Value.
    public var value: ByteString
    /// Both.
    public init(name: ByteString, value: ByteString) {
        self.name = name
        self.value = value
    }
}

extension ZygotePlan {
    /// Bytes of responses that the master keeps for the pool's slow readers at most.
    ///
    /// Workers stop giving it more at this number, and the master drops the oldest at twice it.
    public var responseQuota: Int { Self.responseQuota(responseBuffer: responseBuffer) }

    /// ``responseQuota`` of a pool with this `response_buffer`.
    public static func responseQuota(responseBuffer: Int) -> Int { max(256 << 20, 64 * responseBuffer) }

    /// The bytes that ``init(decoding:)`` reads back.
    public func encoded() -> [UInt8] {
        var writer = PlanWriter()
        writer.put(executable)
        writer.put(iniPath)
        writer.put(noIni)
        writer.put(extendedInfo)
        writer.put(defines)
        writer.put(commandLineDefines)
        writer.put(pool)
        writer.put(Int(userID))
        writer.put(Int(groupID))
        writer.put(userName)
        writer.put(isPrivileged)
        writer.put(chroot)
        writer.put(chdir)
        writer.put(fileLimit)
        writer.put(coreLimit)
        writer.put(priority != nil)
        writer.put(priority ?? 0)
        writer.put(isDumpable)
        writer.put(apparmorHat)
        writer.put(allowsTracing)
        writer.put(clearsEnvironment)
        writer.put(environment)
        writer.put(settings.count)
        for setting in settings {
            writer.put(setting.name)
            writer.put(setting.value)
            writer.put(setting.isAdmin)
        }
        writer.put(limitExtensions)
        writer.put(logLimit)
        writer.put(catchesOutput)
        writer.put(logLevel.rawValue)
        writer.put(processManager)
        writer.put(slotCount)
        writer.put(maxRequests)
        writer.put(maxMemory)
        writer.put(limitsQueue)
        writer.put(requestBuffer)
        writer.put(responseBuffer)
        writer.put(pingPath)
        writer.put(pingResponse)
        writer.put(statusPath)
        writer.put(accessFormat)
        writer.put(suppressedPaths)
        writer.put(logsAccessToJournal)
        writer.put(allowedClients != nil)
        writer.put(allowedClients ?? [])
        writer.put(isTCP)
        return writer.bytes
    }

    /// Reads what ``encoded()`` wrote; nil if it is anything else.
    public init?(decoding bytes: [UInt8]) {
        var reader = PlanReader(bytes)
        executable = reader.text()
        iniPath = reader.optionalText()
        noIni = reader.flag()
        extendedInfo = reader.flag()
        defines = reader.pairs()
        commandLineDefines = reader.number()
        pool = reader.text()
        userID = UInt32(truncatingIfNeeded: reader.number())
        groupID = UInt32(truncatingIfNeeded: reader.number())
        userName = reader.optionalText()
        isPrivileged = reader.flag()
        chroot = reader.optionalText()
        chdir = reader.optionalText()
        fileLimit = reader.number()
        coreLimit = reader.number()
        let hasPriority = reader.flag()
        let value = reader.number()
        priority = hasPriority ? value : nil
        isDumpable = reader.flag()
        apparmorHat = reader.optionalText()
        allowsTracing = reader.flag()
        clearsEnvironment = reader.flag()
        environment = reader.pairs()
        settings = reader.list { reader in
            PHPSetting(name: reader.text(), value: reader.text(), isAdmin: reader.flag())
        }
        limitExtensions = reader.texts()
        logLimit = reader.number()
        catchesOutput = reader.flag()
        logLevel = LogLevel(rawValue: reader.number()) ?? .notice
        processManager = reader.text()
        slotCount = reader.number()
        maxRequests = reader.number()
        maxMemory = reader.number()
        limitsQueue = reader.flag()
        requestBuffer = reader.number()
        responseBuffer = reader.number()
        pingPath = reader.optionalText()
        pingResponse = reader.text()
        statusPath = reader.optionalText()
        accessFormat = reader.optionalText()
        suppressedPaths = reader.texts()
        logsAccessToJournal = reader.flag()
        let hasClients = reader.flag()
        let clients = reader.texts()
        allowedClients = hasClients ? clients : nil
        isTCP = reader.flag()
        guard reader.isComplete, slotCount > 0, slotCount <= Int(Int32.max),
            (0...defines.count).contains(commandLineDefines)
        else { return nil }
        // Numbers that were cut, levels that do not exist, flags other than 0 and 1: what was read is not what was there.
        guard encoded() == bytes else { return nil }
    }
}
