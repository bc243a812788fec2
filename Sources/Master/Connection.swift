internal import CEpoll

/// A client's connection in the master.
///
/// Whoever shares the open file could make close(2) wait (SO_LINGER): the master never does.
final class Connection {
    let rawValue: CInt

    init(adopting rawValue: CInt) { self.rawValue = rawValue }

    deinit { cepoll_close_connection(rawValue) }
}
