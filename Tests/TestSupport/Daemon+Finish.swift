import Foundation

extension Daemon {
    /// Stops the daemon if it still runs, and tells what is not as it should be.
    ///
    /// Expected are: the same master, the descriptors of ``markDescriptors()``, no zombie, exit status 0 on
    /// SIGTERM, no process of its session left, socket and pid files gone, and no log line above notice or
    /// without a level, other than those that the test allowed.
    func finish() -> [String] {
        guard !isFinished else { return [] }
        isFinished = true
        var problems: [String] = []
        var family = Set(ownProcesses())
        if process.status == nil {
            if let problem = descriptorProblem() { problems.append(problem) }
            problems += zombieProblems()
            family.formUnion(ownProcesses())
            problems += stopProblems()
        }
        if let status = process.status, status != expectedStatus {
            problems.append("the master ended with \(status) instead of \(expectedStatus)")
        }
        problems += leftoverProblems(family)
        problems += fileProblems()
        problems += logProblems()
        if problems.isEmpty { return [] }
        return problems.map { "\(program.path): \($0)" }
    }

    /// Everything in the master's session but the master: setsid(2) in the master sets it for good.
    private func ownProcesses() -> [ProcessSnapshot] {
        ProcessSnapshot.all().filter { $0.session == master && $0.pid != master }
    }

    private func zombieProblems() -> [String] {
        do {
            try wait(for: "zombies to be reaped", within: .seconds(5)) {
                ownProcesses().allSatisfy { $0.state != "Z" }
            }
            return []
        } catch {
            let zombies = ownProcesses().filter { $0.state == "Z" }.map { String($0.pid) }
            return ["zombies: \(zombies.joined(separator: " "))"]
        }
    }

    private func stopProblems() -> [String] {
        do {
            try stop()
            return []
        } catch {
            process.send(SIGKILL)
            _ = try? process.wait()
            return ["the master did not end on SIGTERM and was killed"]
        }
    }

    private func leftoverProblems(_ family: Set<ProcessSnapshot>) -> [String] {
        let members = family.union(ownProcesses())
        func left() -> [ProcessSnapshot] {
            // Orphans come to this process, which reaps those that end.
            for member in members where ProcessSnapshot(pid: member.pid)?.parent == getpid() {
                var ignored: Int32 = 0
                waitpid(member.pid, &ignored, WNOHANG)
            }
            return members.filter(\.exists)
        }
        do {
            try wait(for: "all processes of the daemon to end", within: .seconds(5)) { left().isEmpty }
            return []
        } catch {
            let orphans = left()
            for orphan in orphans { kill(orphan.pid, SIGKILL) }
            _ = try? wait(for: "killed processes", within: .seconds(5)) { left().isEmpty }
            return orphans.map { "process \($0.pid) was left behind: \($0.title)" }
        }
    }

    private func fileProblems() -> [String] {
        (socketPaths + [directory + "/fpm.pid"])
            .filter { FileManager.default.fileExists(atPath: $0) && expectedStatus == .code(0) }
            .map { "file \($0) was left behind" }
    }

    private func logProblems() -> [String] {
        log.lines.compactMap { line in
            if isAllowed(line) { return nil }
            guard let level = line.firstMatch(of: #/^\[[^\]]+\] (DEBUG|NOTICE|WARNING|ERROR|ALERT): /#)?.1
            else {
                return "log line without level: \(line)"
            }
            return level == "NOTICE" || level == "DEBUG" ? nil : "unexpected log line: \(line)"
        }
    }
}
