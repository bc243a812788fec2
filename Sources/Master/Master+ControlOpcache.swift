internal import Configuration
internal import Control
internal import Logging
internal import Reactor
internal import Syscalls

/// What `fpmctl opcache` asks: one of the pool's workers does it between two requests.
extension Master {
    func opcache(_ request: ControlRequest, _ reply: @escaping (ControlAnswer) -> Void) {
        guard let action = request.action.flatMap({ Pool.OpcacheAction(name: $0) }) else {
            return reply(.refused(.value, "opcache does status, scripts, reset and invalidate"))
        }
        if action == .invalidate, request.file?.hasPrefix("/") != true {
            return reply(.refused(.value, "invalidate needs an absolute path"))
        }
        let order = Pool.OpcacheOrder.allCases.first { "\($0)" == request.order ?? "path" }
        guard let order else {
            return reply(.refused(.value, "scripts are ordered by path, hits, memory or used"))
        }
        switch controlPool(request) {
        case .failure(let failure): reply(failure.answer)
        case .success(let pool):
            if action != .status, action != .scripts {
                // The pool that takes this one's place has another opcache.
                if let unsettled { return reply(unsettled) }
                log.notice(
                    "[pool \(pool.name)] opcache \(action.name), asked for on the control socket",
                    .pool(pool.name)
                )
            }
            // The worker that was asked for the page before it has given all pages.
            if action == .scripts, order == .path, let after = request.file,
                let page = pool.scriptLists.page(after: after)
            {
                return reply(done(pool.name, action, page.json))
            }
            ask(pool, action, request.file, order, until: MonotonicTime.now + .seconds(10), reply)
        }
    }

    /// Asks a worker; one is started, and waited for, in an ondemand pool that has none.
    private func ask(
        _ pool: Pool,
        _ action: Pool.OpcacheAction,
        _ file: String?,
        _ order: Pool.OpcacheOrder,
        until deadline: MonotonicTime,
        _ reply: @escaping (ControlAnswer) -> Void
    ) {
        let name = pool.name
        let isAsked = pool.callOpcache(action, file: file, order: order, patience: .seconds(10)) {
            [weak pool] outcome in
            switch outcome {
            case .returned(let value, _) where action != .scripts: reply(done(name, action, value))
            case .returned(let value, let file):
                guard let page = OpcacheScripts(value) else {
                    return reply(.refused(.failed, "pool \(name): the worker's answer makes no sense"))
                }
                if page.hasMore, let file, let last = page.scripts.last,
                    let pages = ScriptPages(file, after: last.path)
                {
                    pool?.scriptLists.keep(pages)
                }
                reply(done(name, action, page.json))
            // That of fpmd_php_opcache(): 1 is no function, 2 PHP's failure.
            case .failed(2):
                reply(
                    .refused(
                        .failed,
                        "pool \(name): PHP could not answer (the pool's log may say why: out of memory?)"
                    )
                )
            case .failed:
                reply(
                    .refused(
                        .failed,
                        "pool \(name): PHP has no opcache functions there: opcache is not loaded or enabled, or disable_functions names them"
                    )
                )
            case .nonsense: reply(.refused(.failed, "pool \(name): the worker's answer makes no sense"))
            case .unsent, .gone:
                reply(.refused(.noWorker, "pool \(name): the worker that was asked has ended"))
            case .timeout:
                reply(.refused(.timeout, "pool \(name): the worker has not finished its request within 10 s"))
            }
        }
        guard !isAsked else { return }
        guard !pool.isHeld, pool.state == .serving, MonotonicTime.now < deadline else {
            return reply(.refused(.noWorker, "pool \(name) has no worker that could be asked"))
        }
        _ = pool.grow(depth: 1)
        controlRetries.append(
            reactor.after(.milliseconds(50)) { [weak self, weak pool] in
                guard let self else { return }
                controlRetries.removeFirst()
                guard let pool else { return reply(.refused(.noWorker, "pool \(name) has been replaced")) }
                ask(pool, action, file, order, until: deadline, reply)
            }
        )
    }
}

/// What a worker has done, or found.
private func done(_ pool: ByteString, _ action: Pool.OpcacheAction, _ result: JSON) -> ControlAnswer {
    .done(["pool": .string(pool.description), "action": .string(action.name), "result": result])
}
