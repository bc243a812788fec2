import ArgumentParser
import Configuration
import Control
import Glibc

/// The command `fpmctl doctor`.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read a configuration and look at the machine: what is wrong, and which pm values fit.",
        discussion: """
            Looks at the files, sockets and their permissions, PHP and its extensions, opcache, the service's limits \
            (LimitNOFILE, LimitNPROC, TasksMax, MemoryMax, MemoryHigh), AppArmor, swap, and the memory that workers take; \
            the more of it as root, and while the service runs. Nothing is changed.

            Exit status: 0 nothing is wrong (warnings and advice may be printed); 1 a problem was found; 78 the \
            configuration does not load.
            """
    )

    @OptionGroup var common: CommonOptions

    @Option(name: [.customShort("y"), .long], help: "The configuration file.", completion: .file())
    var fpmConfig: String?

    @Option(name: [.customShort("p"), .long], help: "Prefix of relative paths, as fpmd's -p.")
    var prefix: String?

    @Option(name: .long, help: "The user of the web server.")
    var webUser: String?

    func run() throws {
        let running = status()
        let path = fpmConfig ?? running?["master"]?["configuration"]?.text ?? "/etc/php/8.2/fpm/php-fpm.conf"
        let engine = Engine.locate()
        var options = LoadOptions()
        options.purpose = .test
        options.prefix = prefix.map { ByteString($0) }
        options.isRoot = getuid() == 0
        // Whether it may run as root is said below.
        options.allowsRoot = true
        let outcome = load(ByteString(path), options: options, host: DoctorHost(engine: engine))
        guard let configuration = outcome.configuration else {
            // Nothing was to be initialized here.
            let lines = outcome.diagnostics.filter {
                $0.level >= .warning && !isConsequence($0.message.description)
            }
            let isBarred = access(path, R_OK) != 0 && errno == EACCES
            let isMissing = fileKind(ByteString(path)) == nil || fileKind(ByteString(path)) == S_IFDIR
            let remedy = isBarred ? "run fpmctl doctor as root" : isMissing ? "name the file with -y" : ""
            let findings = lines.map { line in
                Finding(
                    severity: line.level >= .error ? .problem : .warning,
                    pool: "",
                    text: plain(line.message.description),
                    remedy: line.hint?.description ?? remedy
                )
            }
            show(findings, path)
            throw Status64.configuration
        }
        var examination = Examination(
            configuration: configuration,
            machine: Machine(masterID: running?["master"]?["pid"]?.count),
            engine: engine,
            running: running,
            webUsers: webUser.map { [$0] } ?? ["www-data", "nginx", "apache", "http", "caddy"]
        )
        for line in outcome.diagnostics where line.level >= .warning {
            examination.add(.warning, plain(line.message.description), remedy: line.hint?.description ?? "")
        }
        if let webUser, getpwnam(webUser) == nil { examination.add(.problem, "there is no user \(webUser)") }
        examination.examine()
        if running == nil {
            examination.add(
                .advice,
                "no fpmd answers on \(common.path): what only a running service shows is left out"
            )
        } else {
            for pool in running?["pools"]?.elements ?? [] where pool.number("idle") > 0 {
                let name = pool.words("name")
                if let status = opcache(name) { examination.examineOpcache(status, pool: name) }
            }
        }
        show(examination.findings, path)
        if examination.findings.contains(where: { $0.severity == .problem }) { throw ExitCode(1) }
    }

    private func status() -> JSON? {
        var request = ControlRequest(.status)
        request.showsWorkers = true
        return answer(request)
    }

    private func opcache(_ pool: String) -> JSON? {
        var request = ControlRequest(.opcache)
        request.pool = pool
        request.action = "status"
        return answer(request)?["result"]
    }

    private func answer(_ request: ControlRequest) -> JSON? {
        guard let client = try? ControlClient(path: common.path),
            case .done(let result)? = try? client.ask(request, patience: common.timeout ?? 12)
        else { return nil }
        return result
    }

    private func show(_ findings: [Finding], _ path: String) {
        if common.json {
            return printJSON(["configuration": .string(path), "findings": .array(findings.map(\.json))])
        }
        put("\(path)\n" + Finding.report(findings).joined(separator: "\n") + "\n")
    }
}
