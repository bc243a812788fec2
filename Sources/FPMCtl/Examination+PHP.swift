import Configuration
import Control

/// PHP, its extensions, and opcache.
extension Examination {
    mutating func examinePHP() {
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
        for line in version.errors.split(separator: "\n") where INIErrorLine.matches(line.utf8) {
            add(
                .problem,
                "PHP cannot read its settings to the end: \(plain(String(line.dropFirst(INIErrorLine.prefix.count).prefix(300))))",
                remedy: "mend that line: nothing behind it is in force, and reloads are refused"
            )
        }
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

    /// What opcache says of itself in a running pool.
    mutating func examineOpcache(_ status: JSON, pool name: String) {
        let settings = settings(of: name)
        guard status.isTrue("opcache_enabled"), let memory = status["memory_usage"] else {
            return add(
                .warning,
                "opcache is off in the running pool",
                pool: settings,
                remedy: "opcache.enable = 1"
            )
        }
        let used = memory.plausible("used_memory")
        let all = used + memory.plausible("free_memory") + memory.plausible("wasted_memory")
        let use = status["opcache_statistics"] ?? .null
        if status.isTrue("cache_full") || used * 100 > all * 95 {
            add(
                .warning,
                "opcache is full: \(bytesText(used)) of \(bytesText(all))",
                pool: settings,
                remedy: "opcache.memory_consumption = \(max(256, (all * 2) >> 20))"
            )
        } else if use.plausible("num_cached_keys") * 100 > use.plausible("max_cached_keys") * 95 {
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
