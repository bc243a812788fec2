import CTestSupport
import Foundation
import Synchronization
package import Testing

/// What one running test owns: a directory and the daemons it started.
///
/// Unchecked: everything but `hasFailed` is used by the test's own thread of execution only.
package final class TestContext: @unchecked Sendable {
    @TaskLocal static var current: TestContext?

    private let name: String
    private let failed = Atomic(false)
    private var root: String?
    private var counter = 0
    private var daemons: [Daemon] = []

    fileprivate init(name: String) {
        self.name = name
    }

    /// The context of the running test.
    ///
    /// - Throws: ``TestFailure`` in a test whose suite lacks the trait ``Testing/Trait/daemons``.
    package static func required() throws -> TestContext {
        guard let current else { throw TestFailure("the suite lacks the trait .daemons") }
        return current
    }

    fileprivate func noteFailure() {
        failed.store(true, ordering: .relaxed)
    }

    func adopt(_ daemon: Daemon) {
        daemons.append(daemon)
    }

    /// Makes a new directory that every user may enter, removed after the test unless it fails.
    ///
    /// The path stays short: a Unix socket's must fit into 107 bytes.
    package func makeDirectory(_ label: String) throws -> String {
        let parent: String
        if let root {
            parent = root
        } else {
            var template = Array("/tmp/fpmd-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { throw TestFailure.systemCall("mkdtemp") }
            parent = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            chmod(parent, 0o755)
            root = parent
        }
        counter += 1
        let path = "\(parent)/\(label)\(counter)"
        guard mkdir(path, 0o755) == 0 else { throw TestFailure.systemCall("mkdir \(path)") }
        return path
    }

    fileprivate func verify(_ location: SourceLocation) {
        for daemon in daemons {
            for problem in daemon.finish() {
                Issue.record("\(problem)", sourceLocation: location)
            }
        }
        daemons.removeAll()
    }

    fileprivate func dispose() {
        guard let root else { return }
        if failed.load(ordering: .relaxed) {
            print("\(name) failed; its files are in \(root)")
        } else {
            try? FileManager.default.removeItem(atPath: root)
        }
    }
}

/// Gives each test a ``TestContext``, and checks its daemons when it has ended.
package struct DaemonTrait: TestTrait, SuiteTrait, TestScoping {
    package var isRecursive: Bool { true }

    package func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable () async throws -> Void
    ) async throws {
        _ = Self.subreaper
        let context = TestContext(name: test.name)
        let observer = IssueHandlingTrait.compactMapIssues { issue in
            if issue.isFailure { context.noteFailure() }
            return issue
        }
        defer { context.dispose() }
        try await TestContext.$current.withValue(context) {
            try await observer.provideScope(for: test, testCase: testCase) {
                do {
                    try await function()
                } catch {
                    context.noteFailure()
                    context.verify(test.sourceLocation)
                    throw error
                }
                context.verify(test.sourceLocation)
            }
        }
    }

    /// Whether orphans of daemons come to this process; evaluated once.
    private static let subreaper: Bool = ctest_become_subreaper() == 0
}

extension Trait where Self == DaemonTrait {
    /// Lets the tests of a suite start daemons, and verifies after each test how they ended.
    package static var daemons: Self { DaemonTrait() }
}
