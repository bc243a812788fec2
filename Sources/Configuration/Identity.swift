/// The user and group a pool's workers run as.
public struct PoolIdentity: Hashable, Sendable {
    /// User id to set; nil keeps the master's.
    public var userID: UInt32?
    /// Group id to set; nil keeps the master's.
    public var groupID: UInt32?
    /// Name for the supplementary groups; nil sets none.
    public var supplementaryGroupsOf: ByteString?
    /// `USER` for the environment; nil for a numeric user.
    public var userName: ByteString?
    /// `HOME` for the environment; nil for a numeric user.
    public var home: ByteString?

    /// The master's own identity.
    public init() {}
}

extension PoolSettings {
    /// Resolves `user` and `group` for a start, as the master does once it is in the background.
    ///
    /// - Parameters:
    ///   - options: Whether this is root and whether pools may be.
    ///   - realUserID: The real user id, whose entry gives `USER` and `HOME` when not root.
    ///   - host: Answers the lookups.
    /// - Returns: The identity, or nil when the pool cannot start; and the lines to log in order.
    public func resolveIdentity(
        options: LoadOptions,
        realUserID: UInt32,
        host: some ConfigurationHost
    ) -> (identity: PoolIdentity?, diagnostics: [Diagnostic]) {
        options.isRoot
            ? resolveAsRoot(allowsRoot: options.allowsRoot, host: host)
            : resolveAsOrdinaryUser(realUserID, host: host)
    }

    private func resolveAsRoot(
        allowsRoot: Bool,
        host: some ConfigurationHost
    ) -> (PoolIdentity?, [Diagnostic]) {
        func refuse(_ message: ByteString, hint: ByteString? = nil) -> (PoolIdentity?, [Diagnostic]) {
            (
                nil,
                [
                    Diagnostic(
                        level: .error,
                        message: "[pool \(name)] \(message)",
                        isAfterErrorLogOpened: true,
                        hint: hint,
                        isVerbatim: true
                    )
                ]
            )
        }
        var userID: UInt32 = 0
        var groupID: UInt32 = 0
        var identity = PoolIdentity()
        if let user, !user.isEmpty {
            if user.isAllDigits {
                userID = UInt32(truncatingIfNeeded: cLong(user.bytes[...]))
                identity.supplementaryGroupsOf = user
                if case .found(let entry) = host.user(withID: userID) {
                    groupID = entry.groupID
                    identity.supplementaryGroupsOf = entry.name
                }
            } else {
                guard case .found(let entry) = host.user(named: user) else {
                    return refuse("cannot get uid for user '\(user)'", hint: unknownNameRemedy)
                }
                (userID, groupID) = (entry.userID, entry.groupID)
                identity.supplementaryGroupsOf = entry.name
                identity.userName = entry.name
                identity.home = entry.home
            }
        }
        if let group, !group.isEmpty {
            if group.isAllDigits {
                groupID = UInt32(truncatingIfNeeded: cLong(group.bytes[...]))
            } else {
                guard case .found(let id) = host.group(named: group) else {
                    return refuse("cannot get gid for group '\(group)'", hint: unknownNameRemedy)
                }
                groupID = id
            }
        }
        guard allowsRoot || (userID != 0 && groupID != 0) else {
            return refuse("please specify user and group other than root")
        }
        // Number 0 is never set: as root it is what the worker has anyway.
        identity.userID = userID == 0 ? nil : userID
        identity.groupID = groupID == 0 ? nil : groupID
        if userID == 0 { identity.supplementaryGroupsOf = nil }
        return (identity, [])
    }

    private func resolveAsOrdinaryUser(
        _ realUserID: UInt32,
        host: some ConfigurationHost
    ) -> (PoolIdentity?, [Diagnostic]) {
        let ignored: [(ByteString, Bool)] = [
            ("user", user.map { !$0.isEmpty } ?? false), ("group", group.map { !$0.isEmpty } ?? false),
            ("chroot", chroot.map { !$0.isEmpty } ?? false), ("process.priority", processPriority != nil),
        ]
        let notices = ignored.filter(\.1).map { directive, _ in
            Diagnostic(
                level: .notice,
                message: "[pool \(name)] '\(directive)' directive is ignored when FPM is not running as root",
                isAfterErrorLogOpened: true
            )
        }
        var identity = PoolIdentity()
        if case .found(let entry) = host.user(withID: realUserID) {
            identity.userName = entry.name
            identity.home = entry.home
        }
        return (identity, notices)
    }
}

/// Reports the first user or group name that does not exist, as `-t` does; false when there is one.
func testIdentities(
    of configuration: ServiceConfiguration,
    host: some ConfigurationHost,
    log: inout DiagnosticLog
) -> Bool {
    for pool in configuration.pools {
        var problem: ByteString?
        if let user = nameToTest(pool.user), case .missing = host.user(named: user) {
            problem = "cannot get uid for user '\(user)'"
        } else if let group = nameToTest(pool.group), case .missing = host.group(named: group) {
            problem = "cannot get gid for group '\(group)'"
        } else if let owner = nameToTest(pool.listenOwner), case .missing(let code) = host.user(named: owner)
        {
            problem = "cannot get uid for user '\(owner)': \(host.errorText(code)) (\(code))"
        } else if let group = nameToTest(pool.listenGroup), case .missing(let code) = host.group(named: group)
        {
            problem = "cannot get gid for group '\(group)': \(host.errorText(code)) (\(code))"
        }
        if let problem {
            log.report(.error, "[pool \(pool.name)] \(problem)", hint: unknownNameRemedy, isVerbatim: true)
            return false
        }
    }
    return true
}

/// What to do about a name that nobody has; the message itself is compared by php-fpm's tests, and by deployment tools.
private let unknownNameRemedy: ByteString =
    "make it (useradd --system, groupadd --system), or correct the name"

/// A name to look up; nil for nothing and for numbers, which need not exist.
private func nameToTest(_ text: ByteString?) -> ByteString? {
    text.flatMap { $0.isEmpty || $0.isAllDigits ? nil : $0 }
}
