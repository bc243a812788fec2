import CEpoll
import Configuration
import Control
import Glibc

/// One thing that `fpmctl doctor` has found.
struct Finding {
    enum Severity: String {
        /// It does not work.
        case problem
        /// It will not work well.
        case warning
        /// Good to know.
        case advice
        /// As it should be.
        case fine
    }

    let severity: Severity
    /// The pool, or empty.
    let pool: String
    let text: String
    /// What to do about it.
    var remedy = ""

    var json: JSON {
        [
            "severity": .string(severity.rawValue), "pool": pool.isEmpty ? .null : .string(pool),
            "text": .string(text),
            "remedy": remedy.isEmpty ? .null : .string(remedy),
        ]
    }
}

/// Looks at a configuration, the machine, PHP and a running master.
struct Examination {
    let configuration: ServiceConfiguration
    let machine: Machine
    let engine: Engine?
    /// `status` of the running master, if it answers.
    let running: JSON?
    /// Users that web servers run as, in the order of preference; those that exist are looked at.
    let webUsers: [String]
    private(set) var findings: [Finding] = []

    init(
        configuration: ServiceConfiguration,
        machine: Machine,
        engine: Engine?,
        running: JSON?,
        webUsers: [String]
    ) {
        self.configuration = configuration
        self.machine = machine
        self.engine = engine
        self.running = running
        self.webUsers = webUsers
    }

    mutating func add(
        _ severity: Finding.Severity,
        _ text: String,
        pool: PoolSettings? = nil,
        remedy: String = ""
    ) {
        findings.append(
            Finding(severity: severity, pool: pool?.name.description ?? "", text: text, remedy: remedy)
        )
    }

    /// Everything.
    mutating func examine() {
        examineFiles()
        for pool in configuration.pools {
            examineSocket(pool)
            examineUser(pool)
        }
        examinePHP()
        examineMemory()
        if configuration.global.processControlTimeout == .zero {
            add(
                .advice,
                "process_control_timeout is 0: a stop ends running requests at once (a reload gives them 60 s)",
                remedy: "set process_control_timeout to what the slowest useful request needs"
            )
        }
        examineMaster()
    }

    // MARK: - Files and sockets

    private mutating func examineFiles() {
        let workers = configuration.pools.reduce(0) { $0 + $1.maxChildren }
        let wanted = 1024 + 8 * configuration.pools.count + 4 * workers
        let limit = configuration.global.rlimitFiles
        if limit > 0, limit < wanted {
            add(
                .warning,
                "rlimit_files = \(limit) is little for \(configuration.pools.count) pool(s) and \(workers) workers: idle connections are closed early",
                remedy: "rlimit_files = \(max(65536, wanted))"
            )
        } else if limit > machine.fileLimit {
            add(
                .problem,
                "rlimit_files = \(limit) is more than the kernel allows (fs.nr_open = \(machine.fileLimit))",
                remedy: "rlimit_files = \(machine.fileLimit)"
            )
        }
    }

    private mutating func examineSocket(_ pool: PoolSettings) {
        let backlog = pool.listenBacklog
        if backlog > machine.longestBacklog {
            add(
                .warning,
                "listen.backlog = \(backlog), but the kernel cuts it to net.core.somaxconn = \(machine.longestBacklog)",
                pool: pool,
                remedy: "sysctl net.core.somaxconn=\(backlog)"
            )
        } else if (0..<128).contains(backlog) {
            add(
                .warning,
                "listen.backlog = \(backlog) refuses connections in a burst",
                pool: pool,
                remedy: "leave it at -1"
            )
        }
        guard case .unix(let address) = pool.listen else {
            if pool.listenAllowedClients == nil, case .port = pool.listen {
                add(
                    .warning,
                    "listens on every address of the machine for everybody: whoever connects can run code",
                    pool: pool,
                    remedy: "listen = 127.0.0.1:PORT or a path, or listen.allowed_clients"
                )
            }
            return
        }
        let path = address.description
        let directory = path.split(separator: "/").dropLast().joined(separator: "/")
        if fileKind("/" + directory) != S_IFDIR {
            add(
                .problem,
                "/\(directory), for the socket, does not exist",
                pool: pool,
                remedy: "mkdir /\(directory), or systemd's RuntimeDirectory="
            )
        }
        let isServed = cepoll_unix_in_use(path, path.utf8.count) == 1
        let isOurs = running?["pools"]?.elements.contains { $0.words("listen") == path } ?? false
        if isServed, !isOurs {
            add(
                .problem,
                "something else listens on \(path)",
                pool: pool,
                remedy: "stop it (php-fpm?), or give the pool another listen"
            )
        }
        examineAccess(pool, path, isServed)
    }

    /// Whether a web server's user may connect.
    private mutating func examineAccess(_ pool: PoolSettings, _ path: String, _ exists: Bool) {
        guard pool.listenACLUsers == nil, pool.listenACLGroups == nil else { return }
        guard let name = webUsers.first(where: { getpwnam($0) != nil }), let user = getpwnam(name) else {
            return
        }
        let (uid, gid) = (user.pointee.pw_uid, user.pointee.pw_gid)
        var owner: uid_t = 0
        var group: gid_t = 0
        var mode = mode_t(pool.listenMode)
        var info = stat()
        if exists, stat(path, &info) == 0 {
            (owner, group, mode) = (info.st_uid, info.st_gid, info.st_mode)
        } else {
            if let text = pool.listenOwner?.description, !text.isEmpty {
                let entry = getpwnam(text)
                owner = entry?.pointee.pw_uid ?? uid_t(text) ?? 0
                group = entry?.pointee.pw_gid ?? 0
            }
            if let text = pool.listenGroup?.description, !text.isEmpty {
                group = getgrnam(text)?.pointee.gr_gid ?? gid_t(text) ?? 0
            }
        }
        let groups = Self.groups(of: name, primary: gid)
        let needed: mode_t = uid == owner ? 0o200 : groups.contains(group) ? 0o020 : 0o002
        guard mode & needed == 0 else { return }
        add(
            .warning,
            "the web server's user \(name) may not connect to \(path) (mode \(String(mode & 0o777, radix: 8)))",
            pool: pool,
            remedy: "listen.owner = \(name), listen.group = \(name); or name another with --web-user"
        )
    }

    private static func groups(of name: String, primary: gid_t) -> Set<gid_t> {
        var list = [gid_t](repeating: 0, count: 256)
        var count = CInt(list.count)
        guard getgrouplist(name, primary, &list, &count) >= 0 else { return [primary] }
        return Set(list.prefix(Int(count)))
    }

    private mutating func examineUser(_ pool: PoolSettings) {
        guard let user = pool.user?.description else { return }
        if user == "root" || user == "0" {
            add(.warning, "scripts run as root", pool: pool, remedy: "give the pool a user of its own")
        }
        let sharing = configuration.pools.filter { $0.user == pool.user && $0.name != pool.name }
        if !sharing.isEmpty, configuration.pools.first(where: { $0.user == pool.user })?.name == pool.name {
            add(
                .advice,
                "shares the user \(user) with \(sharing.count) other pool(s): they can read each other's files and memory",
                pool: pool,
                remedy: "one user for each site"
            )
        }
    }

    // MARK: - PHP

    private mutating func examinePHP() {
        guard let engine else {
            return add(
                .problem,
                "fpmd-php is not installed beside fpmctl or in libexec/fpmd",
                remedy: "install the package again"
            )
        }
        let version = engine.run(["--version"])
        guard version.status == 0 else {
            return add(
                .problem,
                "fpmd-php does not start: \(plain(version.errors.split(separator: "\n").first.map(String.init) ?? "exit status \(version.status)"))",
                remedy: "ldd \(engine.path)"
            )
        }
        add(.fine, String(version.output.split(separator: "\n").first ?? ""))
        for line in version.errors.split(separator: "\n")
        where line.contains("Unable to load") || line.contains("Warning") {
            add(
                .problem,
                "PHP says: \(plain(String(line.prefix(300))))",
                remedy: "install the library or remove the extension from php.ini"
            )
        }
        let modules = engine.run(["--modules"]).output
        guard modules.contains("Zend OPcache") else {
            return add(
                .warning,
                "opcache is not loaded: every request compiles every file",
                remedy: "install php8.2-opcache, and zend_extension=opcache.so in php.ini"
            )
        }
        if let value = engine.resolve("i:opcache.enable"),
            ["0", "off", "false", ""].contains(value.lowercased())
        {
            add(.warning, "opcache.enable is off", remedy: "opcache.enable = 1")
        }
        let isChecked =
            engine.resolve("i:opcache.validate_timestamps").map {
                !["0", "off", ""].contains($0.lowercased())
            } ?? true
        if isChecked {
            add(
                .advice,
                "opcache.validate_timestamps is on: each file is looked at again every opcache.revalidate_freq seconds",
                remedy: "off where deployments end with fpmctl reload or fpmctl opcache reset"
            )
        }
    }

    // MARK: - Memory

    private mutating func examineMemory() {
        let where_ = machine.isLimited ? "the control group's limit" : "the machine's memory"
        var total = 0
        var isMeasured = false
        // What is left for the system, the web server and the rest.
        let budget = machine.memory / 10 * 8
        var measured: [(pool: PoolSettings, each: Int)] = []
        for pool in configuration.pools {
            let sizes = workers(of: pool).compactMap { Machine.proportionalSize(of: $0) }
            guard let most = sizes.max() else { continue }
            isMeasured = true
            measured.append((pool, most))
            total += most * pool.maxChildren
        }
        guard isMeasured else {
            return add(
                .advice,
                "no worker runs whose memory could be measured (or it needs root): pm.max_children cannot be judged",
                remedy: "run fpmctl doctor as root while the service has served real requests"
            )
        }
        let share = measured.reduce(0) { $0 + $1.each * $1.pool.maxChildren }
        for (pool, each) in measured {
            // Each pool's part of the budget is as large as its part of what is configured.
            let part = Int(Double(budget) * Double(each * pool.maxChildren) / Double(max(1, share)))
            let fitting = max(1, part / max(1, each))
            let text =
                "a worker takes up to \(bytesText(each)); \(pool.maxChildren) of them \(bytesText(each * pool.maxChildren))"
            if total > budget {
                add(
                    .problem,
                    "\(text): too much together with the other pools",
                    pool: pool,
                    remedy: proposal(pool, fitting)
                )
            } else if pool.maxChildren < machine.processors {
                add(
                    .advice,
                    "\(text); fewer workers than processors (\(machine.processors))",
                    pool: pool,
                    remedy: proposal(pool, min(fitting, 4 * machine.processors))
                )
            } else {
                add(.fine, "\(text); up to pm.max_children = \(fitting) would fit", pool: pool)
            }
        }
        let sum =
            "all pools at pm.max_children take \(bytesText(total)) of \(bytesText(machine.memory)) (\(where_))"
        if total > machine.memory {
            add(
                .problem,
                "\(sum): the kernel will kill processes",
                remedy: "lower pm.max_children as proposed"
            )
        } else if total > budget {
            add(
                .warning,
                "\(sum): little is left for anything else",
                remedy: "lower pm.max_children as proposed"
            )
        } else {
            add(.fine, sum)
        }
    }

    /// The running master's workers; else those of whatever serves a pool of that name (php-fpm).
    private func workers(of pool: PoolSettings) -> [Int] {
        let name = pool.name.description
        guard let running else { return Machine.workers(of: name) }
        let found = running["pools"]?.elements.first { $0["name"]?.text == name }
        // One that has served nothing says nothing.
        let used = (found?["workers"]?.elements ?? []).filter { $0.number("requests") > 0 }
        return used.compactMap { $0["pid"]?.count }
    }

    private func proposal(_ pool: PoolSettings, _ count: Int) -> String {
        guard pool.processManager == .dynamic else { return "pm.max_children = \(count)" }
        let spare = max(1, count / 4)
        return
            "pm.max_children = \(count), pm.min_spare_servers = \(max(1, spare / 2)), pm.max_spare_servers = \(spare), pm.start_servers = \(spare)"
    }

    // MARK: - The running master

    private mutating func examineMaster() {
        guard let running else { return }
        let master = running["master"] ?? .null
        add(.fine, "fpmd \(master.number("pid")) is \(master.words("state"))")
        for pool in running["pools"]?.elements ?? [] {
            let settings = configuration.pools.first { $0.name.description == pool.words("name") }
            let reached = pool.number("max_children_reached")
            if reached > 0 {
                add(
                    .warning,
                    "pm.max_children was reached \(reached) times, \(pool.number("max_listen_queue")) requests waited at most",
                    pool: settings,
                    remedy: "raise pm.max_children if the memory allows it"
                )
            }
            if pool.words("state") == "drained" {
                add(.warning, "is drained", pool: settings, remedy: "fpmctl undrain \(pool.words("name"))")
            }
            if settings == nil {
                add(
                    .advice,
                    "pool \(pool.words("name")) runs, but is not in this configuration",
                    remedy: "fpmctl reload"
                )
            } else if pool.number("configured_max_children") != settings?.maxChildren {
                add(
                    .advice,
                    "runs with another pm.max_children than is configured",
                    pool: settings,
                    remedy: "fpmctl reload"
                )
            }
        }
    }

    /// What opcache says of itself in a running pool.
    mutating func examineOpcache(_ status: JSON, pool name: String) {
        let settings = configuration.pools.first { $0.name.description == name }
        guard status.isTrue("opcache_enabled"), let memory = status["memory_usage"] else {
            return add(
                .warning,
                "opcache is off in the running pool",
                pool: settings,
                remedy: "opcache.enable = 1"
            )
        }
        let used = memory.number("used_memory")
        let all = used + memory.number("free_memory") + memory.number("wasted_memory")
        let use = status["opcache_statistics"] ?? .null
        if status.isTrue("cache_full") || used * 100 > all * 95 {
            add(
                .warning,
                "opcache is full: \(bytesText(used)) of \(bytesText(all))",
                pool: settings,
                remedy: "opcache.memory_consumption = \(max(256, all * 2 >> 20))"
            )
        } else if use.number("num_cached_keys") * 100 > use.number("max_cached_keys") * 95 {
            add(
                .warning,
                "opcache has no more keys",
                pool: settings,
                remedy: "raise opcache.max_accelerated_files"
            )
        } else {
            add(.fine, "opcache uses \(bytesText(used)) of \(bytesText(all))", pool: settings)
        }
    }
}
