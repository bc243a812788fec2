/// What loading a configuration asks of the world; the module itself does no input or output.
///
/// Paths are as php-fpm would pass them to the kernel: absolute or relative to the working directory.
public protocol ConfigurationHost {
    /// Reads a whole file.
    ///
    /// - Throws: ``SystemError`` with the errno of the `open(2)` or `read(2)` that failed.
    func readFile(_ path: ByteString) throws(SystemError) -> [UInt8]

    /// Expands a pattern like `glob(3)` with `GLOB_ERR | GLOB_MARK`: byte-sorted, directories end in `/`.
    func expandPattern(_ pattern: ByteString) -> PatternExpansion

    /// Whether `path` names an existing directory (symbolic links followed).
    func isDirectory(_ path: ByteString) -> Bool

    /// The value of a variable of the process environment; nil when unset.
    func environmentVariable(_ name: ByteString) -> ByteString?

    /// The value of a php.ini setting as configured (php.ini, scan directory, `-d`); nil when not configured.
    func iniSetting(_ name: ByteString) -> ByteString?

    /// What PHP prints if it cannot read php.ini to its end; nil if it can, or there is none to ask.
    func iniError() -> ByteString?

    /// The text of a PHP constant, such as `32767` for `E_ALL`; nil when there is none of that exact name.
    func constant(_ name: ByteString) -> ByteString?

    /// Looks a user up by name, as `getpwnam(3)`.
    func user(named name: ByteString) -> Lookup<UserEntry>

    /// Looks a user up by number, as `getpwuid(3)`.
    func user(withID id: UInt32) -> Lookup<UserEntry>

    /// Looks a group up by name, as `getgrnam(3)`; the value is the group id.
    func group(named name: ByteString) -> Lookup<UInt32>

    /// The C library's text for an errno value, e.g. `Permission denied`.
    func errorText(_ code: Int32) -> ByteString

    /// Opens (creating with mode 0600, for appending) a log at the moment the evaluation reaches it.
    ///
    /// - Throws: ``SystemError`` when the file cannot be opened, which refuses the configuration.
    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError)
}

extension ConfigurationHost {
    /// Nothing: there is no PHP to ask.
    public func iniError() -> ByteString? { nil }
}

/// A failed system call's errno.
public struct SystemError: Error, Hashable, Sendable {
    /// The errno value, greater than zero.
    public var code: Int32

    /// Wraps an errno value.
    public init(code: Int32) { self.code = code }
}

/// The answer to an include pattern.
public enum PatternExpansion: Hashable, Sendable {
    /// At least one path, byte-sorted; directories end in `/`.
    case matches([ByteString])
    /// `GLOB_NOMATCH`.
    case noMatch
    /// Any other `glob(3)` result: 1 is out of memory, 2 a read error.
    case failed(code: Int32)
}

/// The answer to a user or group lookup.
public enum Lookup<Entry: Sendable>: Sendable {
    /// The entry.
    case found(Entry)
    /// No entry; `code` is errno after the call, often 0.
    case missing(code: Int32)
}

/// What configuration needs of a password database entry.
public struct UserEntry: Hashable, Sendable {
    /// Numeric user id.
    public var userID: UInt32
    /// Primary group id.
    public var groupID: UInt32
    /// Login name.
    public var name: ByteString
    /// Home directory.
    public var home: ByteString

    /// Creates an entry from the fields of `struct passwd`.
    public init(userID: UInt32, groupID: UInt32, name: ByteString, home: ByteString) {
        self.userID = userID
        self.groupID = groupID
        self.name = name
        self.home = home
    }
}

/// Which log a path is for.
public enum LogRole: Hashable, Sendable {
    /// `error_log` in a file.
    case errorLog
    /// `error_log = syslog`; the path is `syslog.ident`. Lines php-fpm prints on stderr from now on, until
    /// start-up is complete, have the form `[LEVEL] message`.
    case syslog(facility: Int)
    /// `error_log = journald` or `access.log = journald`.
    case journal
    /// `access.log` of the pool named.
    case accessLog(pool: ByteString)
    /// `slowlog` of the pool named, only opened for a check.
    case slowLog(pool: ByteString)
}
