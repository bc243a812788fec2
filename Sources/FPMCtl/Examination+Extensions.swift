import Configuration

/// Extensions that pools load by `php_value[extension]` and `php_admin_value[extension]`.
///
/// A pool serves without one that is missing, so its scripts fail one by one: a start says no more than a warning.
extension Examination {
    /// Each costs a start of PHP.
    private static let mostTried = 64

    mutating func examineExtensions() {
        guard let engine else { return }
        // What php.ini does is said already.
        let known = Set(complaints(engine.run(["--modules"])))
        var answers: [String: [String]] = [:]
        for pool in configuration.pools {
            var directory = ""
            for setting in pool.phpSettings {
                let value = setting.value.description
                if setting.name == "extension_dir" { directory = value }
                guard setting.name == "extension", !value.isEmpty else { continue }
                let file = path(of: value, in: directory)
                if answers[file] == nil {
                    guard answers.count < Self.mostTried else { return }
                    let output = engine.run(["--modules", "-d", "extension", file])
                    answers[file] = complaints(output).filter { !known.contains($0) }
                }
                report(answers[file] ?? [], of: setting, in: pool)
            }
        }
    }

    /// With a directory of the pool's own a path: as a setting of PHP's start it would hold for what php.ini loads, too.
    private func path(of name: String, in directory: String) -> String {
        if directory.isEmpty || name.contains("/") { return name }
        return "\(directory)/\(name.hasSuffix(".so") ? name : name + ".so")"
    }

    private mutating func report(_ complaints: [String], of setting: PHPSetting, in pool: PoolSettings) {
        let directive = setting.isAdmin ? "php_admin_value[extension]" : "php_value[extension]"
        let value = plain(setting.value.description)
        let asked = "\(directive) = \(value)"
        for line in complaints {
            if line.contains("already loaded") {
                add(
                    .warning,
                    "\(asked): php.ini loads it already",
                    pool: pool,
                    remedy: "remove the line from the pool"
                )
            } else {
                add(
                    .problem,
                    "\(asked) does not load, and the pool serves without it: \(plain(reason(line)))",
                    pool: pool,
                    remedy: value.contains("/")
                        ? "correct the path, or remove the line"
                        : "apt install php8.2-\(bare(value)), or remove the line"
                )
            }
        }
    }

    /// What the dynamic linker says of the file that was meant: PHP tries the name as a file, then with `.so` behind it.
    private func reason(_ line: String) -> String {
        let tried = line.split(separator: "(").dropFirst(2).compactMap { $0.split(separator: ")").first }
        guard line.contains("(tried: "), let last = tried.last else {
            return String((line.split(separator: "PHP Startup: ").last ?? "").prefix(300))
        }
        return String((tried.first { !$0.contains(".so.so: ") && $0.contains(".so: ") } ?? last).prefix(300))
    }

    /// `redis` of `redis.so`.
    private func bare(_ name: String) -> String {
        name.hasSuffix(".so") ? String(name.dropLast(3)) : name
    }

    private func complaints(_ output: Engine.Output) -> [String] {
        output.errors.split(separator: "\n").map(String.init).filter {
            $0.contains("Unable to load") || $0.contains("Warning")
        }
    }
}
