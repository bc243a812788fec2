import Configuration
import Foundation
import Testing

/// Every file of the corpus, right or wrong, means to fpmd what it means to php-fpm: same verdict, same lines.
@Suite(.enabled(if: Corpus.phpFPM != nil, "php-fpm8.2 is not installed: nothing to compare with"))
struct CorpusTests {
    @Test(arguments: Corpus.names)
    func matchesPHPFPM(_ name: String) throws {
        let corpus = try #require(Corpus.shared)
        let test = try corpus.test(named: name)
        let theirs = try corpus.runPHPFPM(test)
        let ours = corpus.runOurs(test)
        #expect(ours.lines == theirs.lines)
        #expect(ours.isAccepted == theirs.isAccepted)
    }

    @Test func isLargeAndMixed() throws {
        let good = Corpus.names.filter { $0.hasPrefix("good-") }
        #expect(Corpus.names.count >= 60)
        #expect(good.count >= 20)
    }
}

/// One file of the corpus with what its first comments ask for.
struct CorpusTest {
    var path: String
    /// `; options: …`, as for the command line.
    var options: [String] = []
    /// `; environment: NAME=VALUE`.
    var environment: [String: String] = [:]
    /// `; line numbers differ`: php-fpm counts on from an included file's last line, fpmd does not.
    var ignoresLineNumbers = false
}

/// What a program said about a file.
struct CorpusResult {
    var lines: [String]
    var isAccepted: Bool
}

/// The files in `Corpus`, copied to a directory of their own with its name in place of `{{DIR}}`.
struct Corpus {
    static let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Corpus")
    static let names = ((try? FileManager.default.contentsOfDirectory(atPath: source.path)) ?? [])
        .filter { $0.hasSuffix(".conf") }.sorted()
    static let phpFPM = ["/usr/sbin/php-fpm8.2", "/usr/local/sbin/php-fpm8.2"]
        .first { FileManager.default.isExecutableFile(atPath: $0) }
    /// Made once for all tests, as they only ever add log files to it.
    static let shared = try? Corpus()

    let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("fpmd-corpus-\(ProcessInfo.processInfo.processIdentifier)")
        try? FileManager.default.removeItem(at: directory)
        try FileManager.default.copyItem(at: Self.source, to: directory)
        let paths = FileManager.default.enumerator(atPath: directory.path)?.compactMap { $0 as? String } ?? []
        for path in paths {
            let file = directory.appendingPathComponent(path)
            guard let content = FileManager.default.contents(atPath: file.path), !content.isEmpty else {
                continue
            }
            try Data(Self.replace("{{DIR}}", by: directory.path, in: content)).write(to: file)
        }
    }

    func test(named name: String) throws -> CorpusTest {
        var test = CorpusTest(path: directory.appendingPathComponent(name).path)
        let content = try Data(contentsOf: URL(fileURLWithPath: test.path))
        for line in String(decoding: content, as: UTF8.self).split(separator: "\n") {
            if line.hasPrefix("; options: ") {
                test.options = line.dropFirst("; options: ".count).split(separator: " ").map(String.init)
            } else if line.hasPrefix("; environment: ") {
                let pair = line.dropFirst("; environment: ".count).split(separator: "=", maxSplits: 1)
                test.environment[String(pair[0])] = String(pair[1])
            } else if line == "; line numbers differ" {
                test.ignoresLineNumbers = true
            }
        }
        return test
    }

    func runPHPFPM(_ test: CorpusTest) throws -> CorpusResult {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.phpFPM ?? "")
        process.arguments = ["-n", "-tt"] + test.options + ["-y", test.path]
        process.environment = ProcessInfo.processInfo.environment.merging(test.environment) { $1 }
        process.currentDirectoryURL = directory
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        let output = Pipe()
        process.standardError = output
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return CorpusResult(
            lines: normalized(String(decoding: data, as: UTF8.self), test),
            isAccepted: process.terminationStatus == 0
        )
    }

    func runOurs(_ test: CorpusTest) -> CorpusResult {
        var options = LoadOptions()
        options.purpose = .dump
        options.isRoot = geteuid() == 0
        var arguments = test.options.makeIterator()
        while let argument = arguments.next() {
            switch argument {
            case "-R": options.allowsRoot = true
            case "-F": options.daemonize = false
            case "-D": options.daemonize = true
            case "-p": options.prefix = arguments.next().map { ByteString($0) }
            case "-g": options.pidFile = arguments.next().map { ByteString($0) }
            default: Issue.record("the corpus has an unknown option \(argument)")
            }
        }
        var host = SystemHost()
        for (name, value) in test.environment { host.environment[ByteString(name)] = ByteString(value) }
        let outcome = load(ByteString(test.path), options: options, host: host)
        let output = outcome.diagnostics.map { line -> ByteString in
            line.isRaw ? "\(line.message)\n" : "\(line.level.name): \(line.message)\n"
        }
        let text = String(decoding: output.flatMap(\.bytes), as: UTF8.self)
        return CorpusResult(lines: normalized(text, test), isAccepted: outcome.configuration != nil)
    }

    /// Lines without what only a running program adds: time, process, php-fpm's own source lines.
    private func normalized(_ output: String, _ test: CorpusTest) -> [String] {
        var patterns = [
            (#"^\[\d\d-[A-Z][a-z]{2}-\d{4} [\d:.]+\] "#, ""),
            // The form for syslog.
            (#"^\[(DEBUG|NOTICE|WARNING|ERROR|ALERT)\] "#, "$1: "),
            // The form at log_level debug.
            (#"^([A-Z]+: )pid \d+, \w+\(\), line \d+: "#, "$1"),
        ]
        if test.ignoresLineNumbers { patterns.append((#"(line |:)\d+"#, "$1N")) }
        return output.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            patterns.reduce(String(line)) { text, pattern in
                text.replacingOccurrences(of: pattern.0, with: pattern.1, options: .regularExpression)
            }
        }
    }

    private static func replace(_ marker: String, by text: String, in content: Data) -> [UInt8] {
        var result: [UInt8] = []
        var rest = Array(content)[...]
        let marker = Array(marker.utf8)
        while let byte = rest.first {
            if rest.starts(with: marker) {
                result += text.utf8
                rest = rest.dropFirst(marker.count)
            } else {
                result.append(byte)
                rest = rest.dropFirst()
            }
        }
        return result
    }
}
