import Foundation
package import Testing

/// A program that takes php-fpm's command line, configuration and signals.
package struct Program: Sendable, Equatable {
    package let path: String
    /// Whether this is php-fpm itself, which lacks some of what fpmd promises.
    package let isReference: Bool

    /// Takes a program by its path.
    package init(path: String) {
        self.path = path
        let name = (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) ?? path
        isReference = name.split(separator: "/").last?.hasPrefix("php-fpm") ?? false
    }

    /// What the tests test: `$FPMD_BIN`, or `fpmd` beside the test program.
    package static let underTest: Program = {
        if let path = ProcessInfo.processInfo.environment["FPMD_BIN"], !path.isEmpty {
            return Program(path: path)
        }
        let ownPath = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = URL(fileURLWithPath: ownPath).deletingLastPathComponent().appendingPathComponent("fpmd")
            .path
        if FileManager.default.isExecutableFile(atPath: beside) { return Program(path: beside) }
        return Program(path: sourceRoot + "/.build/debug/fpmd")
    }()

    /// The php-fpm of the machine, if it has one.
    package static let reference: Program? = {
        let directories = (baseEnvironment["PATH"] ?? "").split(separator: ":")
        return ["php-fpm8.2", "php-fpm"].lazy
            .flatMap { name in directories.map { "\($0)/\(name)" } }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
            .map { Program(path: $0) }
    }()
}

/// The directory that holds `Package.swift`.
package let sourceRoot: String = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

extension Trait where Self == ConditionTrait {
    /// Skips a test when php-fpm itself is under test, as it does not do what the test asks for.
    package static func fpmdOnly(_ reason: String) -> Self {
        .disabled(if: Program.underTest.isReference, "php-fpm: \(reason)")
    }

    /// Skips a test that needs the rights of root.
    package static var needsRoot: Self {
        .enabled(if: getuid() == 0, "needs root")
    }

    /// Skips a test where no php-fpm is installed to compare with.
    package static var needsReference: Self {
        .enabled(if: Program.reference != nil, "php-fpm8.2 is not installed: nothing to compare with")
    }
}
