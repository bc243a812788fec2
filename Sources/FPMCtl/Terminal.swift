import CEpoll
import Glibc

/// The terminal while `fpmctl top` has it: the other screen, no echo, keys at once.
///
/// ``restore()`` puts everything back; signals come through a descriptor, so that none ends the program without it.
final class Terminal {
    /// What there was to hear.
    enum Event: Equatable {
        case key(Character)
        case resized
        /// The descriptor that was to be watched can be read.
        case readable
        /// A signal that ends the program, or the terminal's end.
        case end(CInt)
        case timeout
    }

    private static let ending = [SIGTERM, SIGINT, SIGHUP, SIGQUIT]
    // Without wrapping: a line that was made for a wider window is cut, and moves nothing.
    private static let enter = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[2J"
    private static let leave = "\u{1b}[0m\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"

    /// Milliseconds within which the bytes of one key come.
    private static let keyPatience = 100

    private var original = termios()
    private let signals: CInt
    private var isRaw = false
    private var keys = KeyReader()

    /// Takes the terminal; nil if standard input and output are none.
    init?() {
        guard isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1, tcgetattr(STDIN_FILENO, &original) == 0
        else {
            return nil
        }
        let handled = Self.ending + [SIGWINCH, SIGTSTP, SIGCONT]
        signals = cepoll_signalfd(handled, handled.count)
        guard signals >= 0 else { return nil }
        signal(SIGPIPE, SIG_IGN)
        take()
    }

    deinit {
        restore()
        close(signals)
    }

    private func take() {
        var raw = original
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
        raw.c_iflag &= ~tcflag_t(IXON | ICRNL)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw)
        isRaw = true
        put(Self.enter)
    }

    /// Gives the terminal back as it was.
    func restore() {
        guard isRaw else { return }
        isRaw = false
        put(Self.leave)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &original)
    }

    /// Columns and rows; 80 by 24 where the terminal does not say.
    var size: (columns: Int, rows: Int) {
        var window = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &window) == 0, window.ws_col > 0, window.ws_row > 0
        else {
            return (80, 24)
        }
        return (Int(window.ws_col), Int(window.ws_row))
    }

    /// Shows these lines, each cut to the width by the caller; false when the terminal is gone.
    func show(_ lines: [String]) -> Bool {
        put("\u{1b}[H" + lines.map { $0 + "\u{1b}[0m\u{1b}[K" }.joined(separator: "\r\n") + "\u{1b}[J")
    }

    /// Waits for something to happen: to the terminal, or on `other`, if that is a descriptor.
    func next(milliseconds: Int, watching other: CInt = -1) -> Event {
        if let key = keys.next() { return event(of: key) }
        var items = [
            pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
            pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
            pollfd(fd: other, events: Int16(POLLIN), revents: 0),
        ]
        let wait = keys.isInSequence ? min(milliseconds, Self.keyPatience) : milliseconds
        let count = poll(&items, 3, CInt(clamping: wait))
        if count == 0 { keys.endSequence() }
        if count < 0 { return errno == EINTR ? .timeout : .end(SIGHUP) }
        if items[1].revents != 0 { return heard(cepoll_signalfd_read(signals)) }
        if items[0].revents != 0 {
            var bytes = [UInt8](repeating: 0, count: 64)
            let count = read(STDIN_FILENO, &bytes, bytes.count)
            guard count > 0 else { return .end(SIGHUP) }
            keys.take(bytes[0..<count])
            return keys.next().map(event) ?? .resized
        }
        return items[2].revents != 0 ? .readable : .timeout
    }

    /// Ctrl-C, Ctrl-\ and Ctrl-Z are bytes now.
    private func event(of byte: UInt8) -> Event {
        switch byte {
        case 3: .end(SIGINT)
        case 28: .end(SIGQUIT)
        case 26: suspend()
        default: .key(Character(Unicode.Scalar(byte)))
        }
    }

    private func heard(_ number: CInt) -> Event {
        switch number {
        case SIGWINCH, 0: .resized
        case SIGTSTP: suspend()
        case SIGCONT: .resized
        default: .end(number)
        }
    }

    /// Gives the terminal to the shell, until it continues this program.
    private func suspend() -> Event {
        restore()
        kill(getpid(), SIGSTOP)
        take()
        return .resized
    }
}
