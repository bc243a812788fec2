internal import CEpoll
internal import CPHP
internal import Channel
internal import Configuration
internal import Glibc

/// The engine program: a zygote, or one of the modes in which PHP only says something about itself.
///
/// Its arguments are the master's: a mode, then `-c PATH`, `-n`, `-e`, `-d NAME VALUE`, and for `--resolve` the
/// names after `--`.
public enum EngineProgram {
    /// Runs the mode that the arguments ask for; exits 64 for anything else.
    ///
    /// - Parameters:
    ///   - count: As `main` got it.
    ///   - vector: As `main` got it; the process's title is written over it.
    ///   - isHosted: Whether this is the library in the distribution's program.
    public static func run(
        count: CInt = CommandLine.argc,
        vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = CommandLine.unsafeArgv,
        isHosted: Bool = false
    ) -> Never {
        let words = (0..<Int(max(0, count))).compactMap { index in
            vector[index].map { ByteString(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
        }
        cepoll_prepare_title(count, vector)
        var arguments = words.dropFirst()
        guard let word = arguments.popFirst(), let mode = EngineMode(rawValue: word.description) else {
            complain("fpmd-php is started by fpmd; run fpmd --help")
            exit(64)
        }
        switch mode {
        case .zygote: Zygote.run()
        case .probe:
            let answer = isHosted ? EngineMode.hostedAnswer : EngineMode.ownAnswer
            _ = Glibc.write(STDOUT_FILENO, answer, answer.utf8.count)
            exit(0)
        case .version, .modules, .info, .resolve: break
        }
        var plan = ZygotePlan()
        plan.executable = words.first ?? "fpmd-php"
        var names: [ByteString] = []
        while let argument = arguments.popFirst() {
            switch argument {
            case "-c": plan.iniPath = arguments.popFirst()
            case "-n": plan.noIni = true
            case "-e": plan.extendedInfo = true
            case "-d":
                plan.defines.append(
                    NamedValue(name: arguments.popFirst() ?? "", value: arguments.popFirst() ?? "")
                )
                plan.commandLineDefines += 1
            case "-x": plan.executable = arguments.popFirst() ?? ""
            case "--":
                names = Array(arguments)
                arguments = []
            default:
                complain("unknown argument \(argument)")
                exit(64)
            }
        }
        start(plan)
        switch mode {
        case .zygote, .probe: break
        case .version: fpmd_php_print_version()
        case .modules: fpmd_php_print_modules()
        case .info: fpmd_php_print_info()
        case .resolve: for name in names { resolve(name) }
        }
        fflush(nil)
        fpmd_php_stop()
        exit(0)
    }

    private static func start(_ plan: ZygotePlan) {
        let host = UnsafeMutablePointer<fpmd_host>.allocate(capacity: 1)
        let output = UnsafeMutablePointer<fpmd_output>.allocate(capacity: 1)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 64)
        output.initialize(to: fpmd_output(base: memory, used: 0, limit: 64, whole: .max))
        host.initialize(to: silentHost(output))
        if Engine.withOptions(plan, { fpmd_php_start($0, UnsafePointer(host)) }) < 0 { exit(70) }
    }

    /// Nobody is served here: output goes nowhere, messages to stderr.
    private static func silentHost(_ output: UnsafeMutablePointer<fpmd_output>) -> fpmd_host {
        fpmd_host(
            context: nil,
            output: output,
            drain: { _, _ in false },
            send_whole: { _, _, _ in 0 },
            write_error: { _, _, _ in },
            log: { _, _, bytes, length in
                _ = Glibc.write(STDERR_FILENO, bytes, length)
                _ = Glibc.write(STDERR_FILENO, "\n", 1)
            },
            read_body: { _, _, _ in 0 },
            finish: { _ in false },
            executing: { _ in },
            executed: { _, _, _ in },
            ended: { _ in },
            complete: { _ in },
            status: { _, _, _, _ in -1 }
        )
    }

    /// One line: `=` and the value, or `-`.
    private static func resolve(_ name: ByteString) {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 8192) { buffer in
            guard let base = buffer.baseAddress else { return }
            var length = 0
            let text = ByteString(name.bytes.dropFirst(2)).cString
            let found =
                name.bytes.starts(with: "c:".utf8)
                ? fpmd_php_constant(text, base, buffer.count, &length)
                : fpmd_php_ini_setting(text, base, buffer.count, &length)
            _ = Glibc.write(STDOUT_FILENO, found ? "=" : "-", 1)
            if found { _ = Glibc.write(STDOUT_FILENO, base, length) }
            _ = Glibc.write(STDOUT_FILENO, "\n", 1)
        }
    }

    private static func complain(_ text: String) {
        let line = text + "\n"
        _ = Glibc.write(STDERR_FILENO, line, line.utf8.count)
    }
}
