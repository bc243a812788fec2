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

    private init(path: String, executable: ByteString) {
        self.path = path
        self.executable = executable
    }

    private static func ownDirectory() -> String? {
        guard let real = realpath("/proc/self/exe", nil) else { return nil }
        defer { free(real) }
        let path = String(cString: real)
        guard let slash = path.lastIndex(of: "/") else { return nil }
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

/// Starts a program with the given descriptors as 0, 1, 2 and so on, and no others.
///
/// - Parameters:
///   - path: The program.
///   - arguments: Its arguments, the first of them its name.
///   - descriptors: What it gets; the caller keeps its own.
///   - fileLimit: Soft RLIMIT_NOFILE of the new process; 0 inherits.
///   - userID: Identity of the new process; 0 inherits.
///   - groupID: Its group; 0 inherits.
/// - Returns: The new process.
/// - Throws: `Errno` of vfork(2), dup2(2), setuid(2) or execve(2).
public func spawnProgram(
    _ path: String,
    _ arguments: [ByteString],
    descriptors: [CInt],
    fileLimit: UInt64 = 0,
    userID: UInt32 = 0,
    groupID: UInt32 = 0
) throws(Errno) -> ProcessID {
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { word in
        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: word.count + 1)
        for (index, byte) in word.bytes.enumerated() { copy[index] = CChar(bitPattern: byte) }
        copy[word.count] = 0
        return copy
    }
    words.append(nil)
    defer { for word in words { word?.deallocate() } }
    let environment = environ
    let pid = words.withUnsafeBufferPointer { words -> pid_t in
        guard let base = words.baseAddress else { return -1 }
        return cepoll_spawn(
            path,
            base,
            environment,
            descriptors,
            descriptors.count,
            fileLimit,
            userID,
            groupID
        )
    }
    if pid < 0 { throw currentErrno }
    return ProcessID(pid)
}
