/// Reads a file and what it includes into sections, as yet without checks that need several values.
struct FileLoader<Host: ConfigurationHost> {
    let host: Host
    let options: LoadOptions
    var diagnostics = DiagnosticLog()
    var global = GlobalSettings()
    var pools: [PoolSettings] = []

    /// The pool whose section is in force, even past the end of a file; nil for the global one.
    var currentPool: Int?
    /// Where each pool is, by its name in small letters.
    var poolIndices: [ByteString: Int] = [:]
    /// Whether a section has begun in the file being read.
    var hasSection = false
    /// Reads what the files say of this pool only, and follows no `include`.
    let onlyPool: ByteString?

    /// The place of the line being read, for messages.
    var file: ByteString = ""
    var line = 0
    /// The pattern of an `include` on the line being read.
    var pendingInclude: ByteString?
    /// Whether the line being read has an error, after which its other entries do not count.
    var isLineWrong = false
    private var depth = 0

    init(host: Host, options: LoadOptions, onlyPool: ByteString? = nil) {
        self.onlyPool = onlyPool
        self.host = host
        self.options = options
        global.pidFile = options.pidFile.flatMap { $0.isEmpty ? nil : $0 }
    }
}

extension FileLoader {
    /// Files within each other at most, counting the top one.
    private static var maximumDepth: Int { 5 }

    /// Reads one file; false after an error, which has been reported.
    mutating func loadFile(_ path: ByteString) -> Bool {
        guard !path.isEmpty else {
            diagnostics.report(.error, "configuration filename is empty")
            return false
        }
        let content: [UInt8]
        do throws(SystemError) {
            content = try host.readFile(path)
        } catch {
            let reason = "\(host.errorText(error.code)) (\(error.code))" as ByteString
            diagnostics.report(.error, "failed to open configuration file '\(path)': \(reason)")
            return false
        }
        guard depth < Self.maximumDepth else {
            diagnostics.report(.error, "failed to include more than 5 files recursively")
            return false
        }
        let outer = (file, line, hasSection)
        depth += 1
        hasSection = false
        defer {
            depth -= 1
            (file, line, hasSection) = outer
        }
        var rest = content[...]
        var number = 0
        while !rest.isEmpty {
            let text = rest.prefix { $0 != UInt8(ascii: "\n") }
            rest = rest[text.endIndex...].dropFirst()
            number += 1
            (file, line) = (path, number)
            guard text.isEmpty || loadLine(text) else { return false }
        }
        return true
    }

    /// Reads one physical line, on its own as php-fpm does: nothing spans lines.
    private mutating func loadLine(_ text: ArraySlice<UInt8>) -> Bool {
        isLineWrong = false
        var parser = INIParser(text + [UInt8(ascii: "\n")], host: host)
        do throws(INISyntaxError) {
            try parser.parse { event in handle(event) }
        } catch {
            let isSection =
                text.first { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") } == UInt8(ascii: "[")
            let remedy: ByteString =
                isSection
                ? "the name of a section stands between [ and ]"
                : "put a value with any of = ; & | ^ ~ ! ( ) in double quotes"
            // PHP names neither the file nor the file's line.
            diagnostics.reportRaw(
                "PHP:  \(error.message) in Unknown on line \(error.line)",
                hint: "this is \(file):\(line); \(remedy)"
            )
            return false
        }
        guard !isLineWrong else { return false }
        guard let pattern = pendingInclude else { return true }
        pendingInclude = nil
        guard onlyPool == nil else { return true }
        return include(expand(pattern))
    }

    /// Loads every file that matches `pattern`.
    private mutating func include(_ pattern: ByteString) -> Bool {
        switch host.expandPattern(pattern) {
        case .noMatch:
            diagnostics.report(
                .warning,
                "Nothing matches the include pattern '\(pattern)' from \(file) at line \(line)."
            )
            return true
        case .failed(let code):
            diagnostics.report(
                .error,
                "Unable to globalize '\(pattern)' (ret=\(code)) from \(file) at line \(line).",
                hint: "make the directory that include names and let fpmd read it, or correct the pattern"
            )
            return false
        case .matches(let paths):
            for path in paths where !path.isEmpty && path.bytes.last != UInt8(ascii: "/") {
                guard loadFile(path) else {
                    diagnostics.report(.error, "Unable to include \(path) from \(file) at line \(line)")
                    return false
                }
            }
            return true
        }
    }

    /// A relative pattern is below `-p` or the installation prefix, never beside the including file.
    private func expand(_ pattern: ByteString) -> ByteString {
        pattern.isAbsolutePath ? pattern : "\(options.prefix ?? options.installationPrefix)/\(pattern)"
    }
}
