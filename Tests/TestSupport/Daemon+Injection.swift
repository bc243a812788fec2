import Foundation

extension Daemon {
    /// Has strace tamper with system calls of a process from now on, until the process it returns is told to end.
    ///
    /// - Parameters:
    ///   - fault: What strace(1) takes after `-e inject=`, such as `clone:error=ENOMEM:when=1`.
    ///   - process: Whose calls.
    ///   - followsForks: Also of what it forks from then on, each counted for itself.
    /// - Throws: When strace is not there, or does not attach.
    /// - Returns: strace, attached.
    package func inject(_ fault: String, into process: ProcessSnapshot, followsForks: Bool = false) throws
        -> ChildProcess
    {
        let calls = fault.prefix { $0 != ":" }
        return try trace(
            (followsForks ? ["-f"] : []) + [
                "-o", "/dev/null", "-e", "trace=\(calls)", "-e", "inject=\(fault)",
            ],
            process
        )
    }

    /// Has strace write down system calls of a process from now on, until the process it returns is told to end.
    ///
    /// - Parameters:
    ///   - calls: What strace(1) takes after `-e trace=`, such as `sendto`.
    ///   - process: Whose calls.
    ///   - file: Where to; everything is there once strace has ended.
    /// - Throws: When strace is not there, or does not attach.
    /// - Returns: strace, attached.
    package func record(_ calls: String, of process: ProcessSnapshot, to file: String) throws -> ChildProcess
    {
        try trace(["-o", file, "-e", "trace=\(calls)"], process)
    }

    private func trace(_ options: [String], _ process: ProcessSnapshot) throws -> ChildProcess {
        let trace = try ChildProcess(
            ["strace", "-qq", "-p", "\(process.pid)"] + options,
            environment: baseEnvironment,
            output: directory + "/strace",
            errors: directory + "/strace"
        )
        do {
            try wait(for: "strace to attach") {
                (ProcessSnapshot(pid: process.pid)?.statusField("TracerPid") ?? "0") != "0"
            }
        } catch {
            trace.send(SIGTERM)
            throw error
        }
        return trace
    }
}
