internal import CEpoll
internal import Configuration
internal import Glibc

/// The file of this program: where it is, and which one it was when the program started.
public struct ProgramFile {
    /// Its absolute path, as the program was called if that names it, so that a link which leads elsewhere one day is
    /// followed then.
    public let path: String
    private let former: cepoll_file

    /// The file that runs; nil if `/proc` does not tell.
    ///
    /// - Parameter name: What the program was called.
    public init?(calledAs name: String) {
        guard let running = Self.state("/proc/self/exe") else { return nil }
        let called = name.contains("/") ? Self.absolute(name) : nil
        if let called, let file = Self.state(called), file.inode == running.inode,
            file.device == running.device
        {
            (path, former) = (called, file)
        } else {
            guard let path = Self.runningPath() else { return nil }
            (self.path, former) = (path, running)
        }
    }

    /// Whether the path names another file by now, or one that was changed; false if it names none.
    public var isReplaced: Bool {
        guard let now = Self.state(path) else { return false }
        return (now.device, now.inode, now.size, now.modified_ns)
            != (former.device, former.inode, former.size, former.modified_ns)
    }

    /// The absolute path of the file that runs; nil if `/proc` does not tell.
    ///
    /// Also if another one has taken its place since it was executed: the kernel says so behind the name.
    static func runningPath() -> String? {
        if let real = realpath("/proc/self/exe", nil) {
            defer { free(real) }
            return String(cString: real)
        }
        let mark = " (deleted)"
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX) + mark.utf8.count) {
            buffer in
            guard let base = buffer.baseAddress else { return nil }
            let count = readlink("/proc/self/exe", base, buffer.count)
            let text = ByteString(UnsafeRawBufferPointer(start: base, count: max(0, count))).description
            return text.hasSuffix(mark) ? String(text.dropLast(mark.count)) : nil
        }
    }

    private static func state(_ path: String) -> cepoll_file? {
        var file = cepoll_file()
        return cepoll_file_identity(path, &file) == 0 ? file : nil
    }

    private static func absolute(_ path: String) -> String? {
        if path.hasPrefix("/") { return path }
        guard let directory = getcwd(nil, 0) else { return nil }
        defer { free(directory) }
        return String(cString: directory) + "/" + path
    }
}
