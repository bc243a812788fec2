internal import CEpoll
internal import Channel
public import Configuration
internal import Glibc
public import Syscalls
public import SystemPackage

/// How the engine program is found and started.
public struct EngineProgram {
    /// Its absolute path.
    public let path: String
    /// The program that runs the engine in place of its own; nil: its own.
    public var host: EngineHost?
    /// What is executed, always with ``path`` as its first argument.
    public var executed: String { host?.program ?? path }
    /// `-c`.
    public var iniPath: ByteString?
    /// `-n`.
    public var noIni = false
    /// `-e`.
    public var extendedInfo = false
    /// `-d NAME=VALUE`, in order.
    public var defines: [(name: ByteString, value: ByteString)] = []
    /// argv[0] of the master.
    public var executable: ByteString

    /// The engine program that belongs to this executable: beside it (a build tree), or in ../libexec/fpmd
    /// (an installed one).
    ///
    /// Nil if there is none.
    public static func locate(executable: ByteString) -> EngineProgram? {
        guard let directory = ownDirectory() else { return nil }
        for candidate in ["\(directory)/fpmd-php", "\(directory)/../libexec/fpmd/fpmd-php"]
        where access(candidate, X_OK) == 0 {
            return EngineProgram(path: candidate, executable: executable)
        }
        return nil
    }

    /// A host that may be there for this program, not tried yet.
    ///
    /// - Parameter choice: The environment's FPMD_PHP_HOST: an absolute path, or empty for none.
    /// - Returns: The host; nil if there is none beside this program.
    public func hostCandidate(choice: String?) -> EngineHost? {
        guard let slash = path.lastIndex(of: "/") else { return nil }
        return EngineHost.candidate(besideEngineIn: String(path[..<slash]), choice: choice)
    }

    private init(path: String, executable: ByteString) {
        self.path = path
        self.executable = executable
    }

    private static func ownDirectory() -> String? {
        guard let path = ProgramFile.runningPath(), let slash = path.lastIndex(of: "/") else { return nil }
        return String(path[..<slash])
    }

    /// The arguments for a mode other than `--zygote`.
    public func arguments(_ mode: String, names: [ByteString] = []) -> [ByteString] {
        var words: [ByteString] = [ByteString(path), ByteString(mode), "-x", executable]
        if let iniPath { words += ["-c", iniPath] }
        if noIni { words.append("-n") }
        if extendedInfo { words.append("-e") }
        for define in defines { words += ["-d", define.name, define.value] }
        if !names.isEmpty { words += ["--"] + names }
        return words
    }

    /// Puts these options into a zygote's plan.
    func apply(to plan: inout ZygotePlan) {
        plan.executable = executable
        plan.iniPath = iniPath
        plan.noIni = noIni
        plan.extendedInfo = extendedInfo
        plan.defines = defines.map { NamedValue(name: $0.name, value: $0.value) }
        plan.commandLineDefines = defines.count
    }
}

extension EngineProgram {
    /// Becomes the engine in one of its modes; returns `Errno` only if that is not possible.
    public func become(_ mode: String) -> Errno {
        let environment = Environment(adding: host?.preload)
        defer { environment.free() }
        var words: [UnsafeMutablePointer<CChar>?] = arguments(mode).map { strdup($0.cString) }
        words.append(nil)
        execve(executed, words, environment.pointers)
        return currentErrno
    }
}

/// Starts a program with the given descriptors as 0, 1, 2 and so on, and no others.
///
/// - Parameters:
///   - path: The program.
///   - arguments: Its arguments, the first of them its name.
///   - host: What the engine program is hosted by, if it is that and is hosted.
///   - descriptors: What it gets; the caller keeps its own.
///   - fileLimit: Soft RLIMIT_NOFILE of the new process; 0 inherits.
///   - niceness: Is added to the nice value.
///   - userID: Identity of the new process; 0 inherits.
///   - groupID: Its group; 0 inherits.
/// - Returns: The new process.
/// - Throws: `Errno` of vfork(2), dup2(2), setuid(2) or execve(2).
public func spawnProgram(
    _ path: String,
    _ arguments: [ByteString],
    host: EngineHost? = nil,
    descriptors: [CInt],
    fileLimit: UInt64 = 0,
    niceness: CInt = 0,
    userID: UInt32 = 0,
    groupID: UInt32 = 0
) throws(Errno) -> ProcessID {
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0.cString) }
    words.append(nil)
    defer { for word in words { free(word) } }
    let environment = Environment(adding: host?.preload)
    defer { environment.free() }
    let pid = words.withUnsafeBufferPointer { words -> pid_t in
        guard let base = words.baseAddress else { return -1 }
        return cepoll_spawn(
            path,
            base,
            environment.pointers,
            descriptors,
            descriptors.count,
            fileLimit,
            niceness,
            userID,
            groupID
        )
    }
    if pid < 0 { throw currentErrno }
    return ProcessID(pid)
}

/// This process's environment, with LD_PRELOAD for a hosted engine.
private struct Environment {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let own: UnsafeMutablePointer<CChar>?

    init(adding variable: String?) {
        var count = 0
        while environ[count] != nil { count += 1 }
        pointers = .allocate(capacity: count + 2)
        var used = 0
        for index in 0..<count where variable == nil || !isPreload(environ[index]) {
            pointers[used] = environ[index]
            used += 1
        }
        own = variable.flatMap { strdup($0) }
        pointers[used] = own
        pointers[used + 1] = nil
    }

    func free() {
        Glibc.free(own)
        pointers.deallocate()
    }
}

private func isPreload(_ variable: UnsafeMutablePointer<CChar>?) -> Bool {
    variable.map { strncmp($0, "LD_PRELOAD=", 11) == 0 } ?? false
}
