internal import CEpoll

/// Runs `body`, which receives from or closes several descriptors that hostile processes share: one timer bounds all of
/// it, where each call would otherwise set its own.
///
/// `body` must not call what an interruption would break: descriptors that do not block are not interrupted.
func withBoundedWaiting<Result>(_ body: () -> Result) -> Result {
    cepoll_bound_waiting(1000)
    defer { cepoll_unbound_waiting() }
    return body()
}
