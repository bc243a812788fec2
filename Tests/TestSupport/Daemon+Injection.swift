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
        let trace = try ChildProcess(
            ["strace"] + (followsForks ? ["-f"] : []) + [
                "-qq", "-o", "/dev/null", "-p", "\(process.pid)", "-e", "trace=\(calls)", "-e",
                "inject=\(fault)",
            ],
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
