/// The descriptor numbers with which the master starts a zygote; 0 is /dev/null, 1 and 2 are its output pipes.
public enum ZygoteDescriptor {
    /// Its end of the spawn channel.
    public static let channel: CInt = 3
    /// A memory file with the encoded ``ZygotePlan``.
    public static let plan: CInt = 4
    /// The pool's scoreboard.
    public static let scoreboard: CInt = 5
    /// The receiving end of the pool's queue.
    public static let queue: CInt = 6
    /// The pool's listener.
    public static let listener: CInt = 7
    /// The access log, or /dev/null.
    public static let accessLog: CInt = 8
    /// One past the last.
    public static let end: CInt = 9
}

/// How the master asks the engine program for something: its first argument.
public enum EngineMode: String {
    /// Become a pool's zygote.
    case zygote = "--zygote"
    /// Print PHP's version (`-v`).
    case version = "--version"
    /// Print the modules (`-m`).
    case modules = "--modules"
    /// Print phpinfo (`-i`).
    case info = "--info"
    /// For each further argument `c:NAME` (a constant) or `i:NAME` (a php.ini setting) print one line: `=` and
    /// the value, or `-` when there is none.
    case resolve = "--resolve"
    /// Say whether the engine runs in its own program or in the distribution's; PHP is not started.
    case probe = "--probe"

    /// The answer to ``probe`` of the engine in the distribution's program.
    public static let hostedAnswer = "hosted\n"
    /// The answer to ``probe`` of the engine in its own program.
    public static let ownAnswer = "own\n"
}
