import Foundation

/// A running fpmd or php-fpm with its own directory, configuration, php.ini and document root.
///
/// The running test's context stops it in the end, unless the test has, and verifies how it went: see
/// ``finish()``.
package final class Daemon {
    /// What php.ini the daemon reads.
    package enum Ini: Sendable {
        /// A small one of the tests' own with these lines added, and the distribution's extensions.
        case neutral(String = "")
        /// What the distribution's php-fpm reads, named by variables of the environment.
        case distribution
        /// What the program finds by itself.
        case builtIn
    }

    /// How a daemon is started, beside its configuration.
    package struct Options: Sendable {
        /// The program; the one under test unless told otherwise.
        package var program = Program.underTest
        /// Lines added to the section `[global]` of the tests' own.
        package var global = ""
        package var ini = Ini.neutral()
        /// Arguments that say how to run; `-y FILE` follows.
        package var mode = ["-F", "-O", "-R"]
        /// Further arguments.
        package var arguments: [String] = []
        /// Variables added to ``baseEnvironment``.
        package var environment: [String: String] = [:]
        /// Words put before the program, such as `setpriv`; the last of them must execute it in its place.
        package var wrapper: [String] = []
        /// A configuration file that exists, used instead of one written for the test.
        package var configurationFile: String?
        /// Whether to wait until the daemon serves.
        package var waitsUntilReady = true

        /// Takes the defaults; see the properties.
        package init(
            program: Program = .underTest,
            global: String = "",
            ini: Ini = .neutral(),
            arguments: [String] = [],
            environment: [String: String] = [:]
        ) {
            self.program = program
            self.global = global
            self.ini = ini
            self.arguments = arguments
            self.environment = environment
        }
    }

    package let program: Program
    /// Holds the configuration, logs, sockets and the document root; removed when the test passes.
    package let directory: String
    /// The document root with a copy of all fixtures.
    package let documentRoot: String
    /// A directory that every user may write to.
    package let scratch: String
    /// What the daemon writes to its standard error: its log.
    package let log: LogFile
    /// What the program wrote to its standard output.
    package let outputPath: String
    /// The whole command line.
    package let commandLine: [String]
    package let environment: [String: String]
    /// The configuration file.
    package let configurationPath: String
    package private(set) var process: ChildProcess

    private let global: String
    private var template: ConfigurationTemplate
    private var allowed: [(String) -> Bool] = []
    private var descriptorBaseline: (children: Int, descriptors: Int)?
    var expectedStatus = ExitStatus.code(0)
    var isFinished = false

    /// Starts a daemon with one pool `www` of user www-data on ``endpoint``; `lines` are added to it.
    package static func startPool(_ lines: String, _ options: Options = Options()) throws -> Daemon {
        try start(poolSection(lines), options)
    }

    /// The section that ``startPool(_:_:)`` writes.
    package static func poolSection(_ lines: String) -> String {
        "[www]\nuser = www-data\ngroup = www-data\nlisten = {{SOCKET}}\n\(lines)\n"
    }

    /// Starts a daemon with these pools and waits until it serves.
    ///
    /// `pools` are sections, with placeholders as in ``ConfigurationTemplate``. When the daemon does not come
    /// up, the error has its log.
    package static func start(_ pools: String, _ options: Options = Options()) throws -> Daemon {
        let daemon = try Daemon(pools, options)
        if options.waitsUntilReady { try daemon.waitUntilReady() }
        return daemon
    }

    /// Starts a daemon that is expected to refuse, and waits for its end.
    ///
    /// `status` is its exit status; 78 is the one for a configuration that does not work.
    package static func startInVain(
        _ pools: String,
        _ options: Options = Options(),
        status: Int32 = 78
    ) throws -> Daemon {
        let daemon = try Daemon(pools, options)
        daemon.expectEnd(.code(status))
        daemon.allowLog(/.*/)
        try daemon.process.wait()
        return daemon
    }

    private init(_ pools: String, _ options: Options) throws {
        let context = try TestContext.required()
        directory = try context.makeDirectory("d")
        program = options.program
        global = options.global
        documentRoot = directory + "/www"
        scratch = directory + "/tmp"
        configurationPath = options.configurationFile ?? directory + "/fpm.conf"
        outputPath = directory + "/stdout"
        log = LogFile(path: directory + "/stderr")
        template = ConfigurationTemplate(directory: directory)
        try FileManager.default.copyItem(atPath: sourceRoot + "/Tests/Fixtures", toPath: documentRoot)
        try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: false)
        chmod(scratch, 0o1777)

        var variables = baseEnvironment.merging(options.environment) { $1 }
        switch options.ini {
        case .neutral(let lines):
            let iniDirectory = directory + "/ini"
            try FileManager.default.createDirectory(atPath: iniDirectory, withIntermediateDirectories: false)
            try (Self.neutralIni + lines + "\n").write(
                toFile: iniDirectory + "/php.ini",
                atomically: false,
                encoding: .utf8
            )
            variables["PHPRC"] = iniDirectory
        case .distribution:
            variables["PHPRC"] = "/etc/php/8.2/fpm"
        case .builtIn:
            break
        }
        if case .builtIn = options.ini {
        } else {
            variables["PHP_INI_SCAN_DIR"] = variables["PHP_INI_SCAN_DIR"] ?? "/etc/php/8.2/fpm/conf.d"
        }
        environment = variables
        commandLine =
            options.wrapper + [program.path] + options.mode + ["-y", configurationPath] + options.arguments
        if options.configurationFile == nil {
            try Self.write(pools, global: global, to: configurationPath, filling: &template)
        }
        process = try ChildProcess(
            commandLine,
            environment: environment,
            output: outputPath,
            errors: log.path,
            directory: directory
        )
        context.adopt(self)
    }

    /// What php.ini says unless a test adds to it.
    package static let neutralIni = """
        error_reporting = E_ALL
        display_errors = Off
        log_errors = On
        expose_php = Off
        short_open_tag = Off
        variables_order = "EGPCS"
        date.timezone = UTC

        """

    private static func write(
        _ pools: String,
        global: String,
        to path: String,
        filling template: inout ConfigurationTemplate
    ) throws {
        let head = "[global]\nerror_log = {{DIR}}/error.log\npid = {{DIR}}/fpm.pid\n\(global)\n"
        try template.fill(head + pools + "\n").write(toFile: path, atomically: true, encoding: .utf8)
    }

    /// Replaces the configuration file; the daemon reads it when it is told to.
    package func rewriteConfiguration(_ pools: String, global: String? = nil) throws {
        try Self.write(pools, global: global ?? self.global, to: configurationPath, filling: &template)
    }

    // MARK: Where it listens

    /// The address of `{{SOCKET:label}}` or else `{{PORT:label}}` on 127.0.0.1.
    package func endpoint(_ label: String = "") throws -> Endpoint {
        if let path = template.sockets[label] { return .unix(path) }
        return .tcp("127.0.0.1", try port(label))
    }

    /// The number of `{{PORT:label}}`.
    package func port(_ label: String = "") throws -> UInt16 {
        guard let port = template.ports[label] else {
            throw TestFailure("no socket or port '\(label)' configured")
        }
        return port
    }

    /// The paths that every `{{SOCKET}}` stands for.
    package var socketPaths: [String] { template.sockets.values.sorted() }

    /// The numbers that every `{{PORT}}` stands for.
    package var portNumbers: [UInt16] { template.ports.values.sorted() }

    // MARK: Life cycle

    /// Waits until the daemon says that it serves, and remembers how many descriptors it has open.
    package func waitUntilReady(within limit: Duration = patience) throws {
        do {
            try wait(for: "the daemon to be ready", within: limit) {
                if log.count(of: /ready to handle connections/) > 0 { return true }
                if !process.isRunning { throw TestFailure("the daemon ended") }
                return false
            }
        } catch {
            throw TestFailure("\(error); its log:\n" + readText(log.path) + readText(outputPath))
        }
        log.skipToEnd()
    }

    /// The process id of the master.
    package var master: Int32 { process.pid }

    /// Continues with another process as the master: the one that daemonizing left.
    package func adoptMaster(_ pid: Int32) {
        process = ChildProcess(adopting: pid)
    }

    /// Sends a signal to the master.
    package func signal(_ signal: Int32) {
        process.send(signal)
    }

    /// Sends a signal that ends the daemon and waits for its end.
    @discardableResult
    package func stop(_ signal: Int32 = 15, within limit: Duration = patience) throws -> ExitStatus {
        process.send(signal)
        return try process.wait(within: limit)
    }

    // MARK: What a test expects

    /// Waits for a log line after the one found last; see ``LogFile/wait(for:within:)``.
    @discardableResult
    package func waitForLog(_ pattern: some RegexComponent, within limit: Duration = patience) throws
        -> String
    {
        try log.wait(for: pattern, within: limit)
    }

    /// Declares that the test provokes log lines that would otherwise fail it.
    package func allowLog<Pattern: RegexComponent>(_ pattern: Pattern) {
        allowed.append { $0.contains(pattern) }
    }

    /// Declares that the daemon ends in another way than with exit status 0.
    package func expectEnd(_ status: ExitStatus) {
        expectedStatus = status
    }

    func isAllowed(_ line: String) -> Bool {
        allowed.contains { $0(line) }
    }

    // MARK: Its processes

    /// Workers of a pool, or of all pools, without those that have ended.
    package func workers(pool: String? = nil) -> [ProcessSnapshot] {
        ProcessSnapshot.descendants(of: master)
            .filter { process in
                guard process.state != "Z", process.title.hasPrefix("php-fpm: pool ") else { return false }
                guard let pool else { return true }
                return process.title == "php-fpm: pool \(pool)"
            }
            .sorted { ($0.startTime, $0.pid) < ($1.startTime, $1.pid) }
    }

    /// Zygotes that have said whose they are; none of php-fpm's.
    package func zygotes() -> [ProcessSnapshot] {
        ProcessSnapshot.descendants(of: master)
            .filter { $0.state != "Z" && $0.title.hasPrefix("fpmd: zygote of pool ") }
    }

    /// Waits until a pool has exactly so many workers.
    @discardableResult
    package func waitForWorkers(
        _ count: Int,
        pool: String? = nil,
        within limit: Duration = patience
    ) throws -> [ProcessSnapshot] {
        try wait(for: "\(count) workers, there are \(workers(pool: pool).count)", within: limit) {
            let found = workers(pool: pool)
            return found.count == count ? found : nil
        }
    }

    /// Remembers how many descriptors the master has open now; ``finish()`` compares.
    package func markDescriptors() {
        guard let master = ProcessSnapshot(pid: master), let count = master.descriptorCount else { return }
        descriptorBaseline = (ProcessSnapshot.descendants(of: master.pid).count, count)
    }

    /// A complaint when the master has other descriptors open than at ``markDescriptors()``.
    ///
    /// With another number of children there is nothing to say: each has pipes of its own.
    func descriptorProblem() -> String? {
        guard let baseline = descriptorBaseline else { return nil }
        var last = baseline.descriptors
        let settled: Void? = try? wait(for: "descriptors", within: .seconds(5)) {
            guard let snapshot = ProcessSnapshot(pid: master), let count = snapshot.descriptorCount,
                ProcessSnapshot.descendants(of: master).count == baseline.children
            else { return true }
            last = count
            // Fewer: what was passing through at the first count is gone.
            return count <= baseline.descriptors
        }
        guard settled == nil else { return nil }
        return "the master had \(baseline.descriptors) descriptors open at first and has \(last) now: "
            + (ProcessSnapshot(pid: master)?.descriptors.joined(separator: ", ") ?? "")
    }
}
