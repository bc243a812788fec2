internal import CEpoll
internal import CSystemd
internal import Configuration
internal import Glibc
internal import LocalSystem
internal import Logging
internal import Master
internal import Syscalls

/// Answers the configuration's questions about this machine.
///
/// PHP constants and php.ini settings are the engine's to know: it is asked (once for each name) only if a
/// configuration uses one.
final class SystemHost: LocalHost {
    private let engine: EngineQuery
    private let log: Log
    private let opensLogs: Bool
    private var answers: [ByteString: ByteString?] = [:]

    /// Answers for a start or a reload.
    ///
    /// - Parameters:
    ///   - engine: Knows PHP's constants and settings.
    ///   - log: Where opened logs go.
    ///   - opensLogs: Whether logs are opened where the evaluation reaches them, and used; a reload only
    ///   checks that they can be.
    init(engine: EngineQuery, log: Log, opensLogs: Bool) {
        self.engine = engine
        self.log = log
        self.opensLogs = opensLogs
    }

    func iniSetting(_ name: ByteString) -> ByteString? { ask("i:" + name) }

    func constant(_ name: ByteString) -> ByteString? { ask("c:" + name) }

    func iniError() -> ByteString? { engine.iniError() }

    private func ask(_ question: ByteString) -> ByteString? {
        if let known = answers[question] { return known }
        let answer = engine.resolve(question)
        answers[question] = answer
        return answer
    }

    func openLog(_ path: ByteString, as role: LogRole) throws(SystemError) {
        if case .journal = role {
            // Without journald nothing would ever be logged: better said now.
            let descriptor = csystemd_connect(Log.journalPath)
            guard descriptor >= 0 else { throw SystemError(code: errno) }
            close(descriptor)
            return
        }
        let descriptor = cepoll_open_append(path.cString)
        guard descriptor >= 0 else { throw SystemError(code: errno) }
        if opensLogs, case .errorLog = role {
            log.use(.file(path: path, descriptor: SharedDescriptor(adopting: descriptor)))
        } else {
            close(descriptor)
        }
    }
}
