internal import Configuration
internal import Control
internal import Glibc
internal import Logging
internal import Reactor
internal import Syscalls

/// The control socket: where it is, and which command is answered how.
extension Master: ControlHandler {
    /// Opens the control socket of the configuration, or another one if that has changed.
    ///
    /// The service does not depend on it: what is wrong is said in one line.
    func openControl() {
        let global = configuration.global
        if let text = global.controlSocket, ControlSocketPath.isOff(text) { return leaveControl() }
        let variable = getenv("RUNTIME_DIRECTORY").map {
            ByteString(UnsafeRawBufferPointer(start: $0, count: strlen($0)))
        }
        let directory = ControlSocketPath.defaultDirectory(runtimeDirectory: variable)
        let path = global.controlSocket ?? ControlSocketPath.defaultPath(runtimeDirectory: variable)
        let isAsked = global.controlSocket != nil
        // Who has not asked for it, and has not made the directory, is not told about it.
        if !isAsked, access(directory.cString, W_OK) != 0 { return leaveControl() }
        let group = global.controlGroup.flatMap { controlGroup($0) }
        do {
            if let control, control.path == path {
                if control.group != group { try control.admit(group) }
                return
            }
            let made = try ControlSocket(path: path, group: group, reactor: reactor, log: log, handler: self)
            leaveControl()
            control = made
        } catch {
            if let control {
                return log.error(
                    "control socket \(path): \(error.reason); \(control.path) stays as it was until the next reload"
                )
            }
            let remedy: ByteString =
                error.isInUse
                ? "set control.socket to a path of its own"
                : "make its directory, writable for the master, or set control.socket"
            log.write(
                isAsked ? .error : .notice,
                "no control socket \(path): \(error.reason); fpmctl cannot reach this master; \(remedy)"
            )
        }
    }

    /// Stops answering.
    func closeControl() {
        control?.stop()
        control = nil
    }

    /// Stops answering, but for who waits.
    private func leaveControl() {
        leavingControl = control
        control = nil
        leavingControl?.leave { [weak self] in self?.leavingControl = nil }
    }

    private func controlGroup(_ name: ByteString) -> gid_t? {
        if name.isEmpty { return nil }
        if name.isAllDigits { return gid_t(name.description) }
        if case .found(let id) = host.group(named: name) { return id }
        log.warning(
            "control.group: there is no group '\(name)'; only root and the master's user may use fpmctl; groupadd --system \(name), then reload"
        )
        return nil
    }

    func perform(_ request: ControlRequest, reply: @escaping (ControlAnswer) -> Void) {
        switch request.command {
        case .status: reply(status(request))
        case .health: reply(health(request))
        case .reload: reload(request, reply)
        case .restart: restart(reply)
        case .trace: trace(request, reply)
        case .recycle: recycle(request, reply)
        case .scale: reply(unsettled ?? onPool(request) { scale($0, request.count) })
        case .drain: reply(unsettled ?? onPool(request, drain))
        case .undrain: reply(onPool(request, undrain))
        case .opcache: opcache(request, reply)
        }
    }

    // MARK: - Names

    /// The pool that a request names; else an answer that says which there are.
    func controlPool(_ request: ControlRequest) -> Result<Pool, ControlFailure> {
        guard let name = request.pool else { return .failure(ControlFailure(.value, "which pool?")) }
        if let found = pool(named: ByteString(name)) { return .success(found) }
        let names = pools.prefix(1000).map(\.name.description)
        let hint =
            nearestName(to: name, among: names).map { "did you mean '\($0)'?" }
            ?? (names.isEmpty
                ? "there are no pools now"
                : "there are: \(names.prefix(8).joined(separator: ", "))\(names.count > 8 ? ", …" : "")")
        return .failure(ControlFailure(.noPool, "there is no pool '\(name)'; \(hint)"))
    }

    private func onPool(_ request: ControlRequest, _ body: (Pool) -> ControlAnswer) -> ControlAnswer {
        switch controlPool(request) {
        case .success(let pool): body(pool)
        case .failure(let failure): failure.answer
        }
    }

    /// The answer to what must hold for all of a pool's workers, unless the service serves: while a reload is under way
    /// the new generation's workers serve already, and would know nothing of it.
    var unsettled: ControlAnswer? {
        state == .serving ? nil : .refused(.busy, "the service is \(controlState): try again after that")
    }

    /// The pool and the worker that is a process.
    func controlWorker(_ process: Int32) -> (Pool, WorkerRecord)? {
        for pool in pools {
            if let worker = pool.worker(process: ProcessID(process)) { return (pool, worker) }
        }
        return nil
    }

    /// The service's state in a word.
    var controlState: String {
        switch state {
        case .starting: "starting"
        case .serving: "serving"
        case .reloading: "reloading"
        case .stopping: "stopping"
        }
    }
}

/// Why a command is not done.
struct ControlFailure: Error {
    let answer: ControlAnswer

    init(_ code: ControlError, _ message: String) { answer = .refused(code, message) }
}
