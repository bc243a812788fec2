// swift-tools-version:6.2
import PackageDescription

// What every target of ours is compiled with: no warning survives.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]
// Pure modules do no I/O and hold no pointers.
let pure: [SwiftSetting] = strict + [.strictMemorySafety()]
let shim: [CSetting] = [
    .define("_GNU_SOURCE"),
    .treatAllWarnings(as: .error),
    .enableWarning("all"),
    .enableWarning("extra"),
]
// PHP's headers, by API number: the committed link points at the distribution's directory, so no
// compiler flag names a path outside the package. See Sources/CPHP/php_headers.h.
let phpHeaders: [CSetting] = ["20220829"].flatMap { api in
    ["", "/main", "/TSRM", "/Zend", "/ext"].map { .headerSearchPath("system-php/\(api)\($0)") }
}
let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")

// The command only: it pulls in Foundation, which neither the master nor a worker may have.
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "fpmd",
    products: [
        .executable(name: "fpmd", targets: ["FPMd"]),
        .executable(name: "fpmd-php", targets: ["FPMdPHP"]),
        // The same engine, for the distribution's own PHP program.
        .library(name: "fpmd-php-engine", type: .dynamic, targets: ["EngineLibrary"]),
        .executable(name: "write-documents", targets: ["WriteDocuments"]),
        .executable(name: "fpmctl", targets: ["FPMCtl"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.2.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    ],
    targets: [
        // C shims: what Swift cannot import.
        .target(name: "CEpoll", cSettings: shim),
        .target(name: "CScoreboard", cSettings: shim),
        .target(name: "CSystemd", cSettings: shim),
        .target(name: "CACL", cSettings: shim, linkerSettings: [.linkedLibrary("acl")]),
        // Its PHP is that of the process: libphp in fpmd-php, the distribution's program around the library.
        .target(name: "CPHP", exclude: ["system-php"], cSettings: shim + phpHeaders),
        .target(name: "CEngineHost", cSettings: shim),

        // Pure: values in, values out.
        .target(name: "FastCGI", swiftSettings: pure),
        .target(name: "StatusPage", swiftSettings: pure),
        .target(name: "HTTP", swiftSettings: pure),
        .target(name: "Configuration", swiftSettings: pure),
        .target(name: "Control", swiftSettings: pure),
        .target(name: "PoolPolicy", dependencies: ["Configuration"], swiftSettings: pure),
        .target(name: "DirectiveDocuments", dependencies: ["Configuration"], swiftSettings: pure),

        // The kernel.
        .target(name: "Syscalls", dependencies: ["CEpoll", system], swiftSettings: strict),
        .target(name: "LocalSystem", dependencies: ["Configuration"], swiftSettings: strict),
        .target(name: "Reactor", dependencies: ["Syscalls", "CEpoll", system, heap], swiftSettings: strict),
        .target(
            name: "Scoreboard", dependencies: ["Syscalls", "StatusPage", "CScoreboard", "CEpoll", system],
            swiftSettings: strict),
        .target(name: "Channel", dependencies: ["Syscalls", "Configuration", "CEpoll", system], swiftSettings: strict),
        .target(
            name: "Logging", dependencies: ["Syscalls", "Configuration", "CEpoll", "CSystemd", deque], swiftSettings: strict),

        .target(
            name: "AccessLog", dependencies: ["Configuration", "FastCGI", "Logging", "Syscalls", "CScoreboard"], swiftSettings: strict),

        // The process roles.
        .target(
            name: "Master",
            dependencies: [
                "Reactor", "Syscalls", "PoolPolicy", "Configuration", "Scoreboard", "Channel", "Logging", "FastCGI",
                "HTTP", "StatusPage", "Control", "AccessLog", "CSystemd", "CACL", "CEpoll", system, deque,
            ], swiftSettings: strict),
        .target(
            name: "Worker",
            dependencies: [
                "FastCGI", "PoolPolicy", "StatusPage", "Configuration", "Scoreboard", "Channel", "Logging", "AccessLog", "Syscalls",
                "CPHP", "CEpoll", "CScoreboard", "CSystemd", system,
            ],
            swiftSettings: strict),
        .target(
            name: "Zygote", dependencies: ["Worker", "Channel", "Scoreboard", "Logging", "Syscalls", "CPHP", "CEpoll"],
            swiftSettings: strict),

        // The programs.
        .executableTarget(
            name: "FPMd", dependencies: ["Master", "Channel", "Configuration", "LocalSystem", "Logging", "Syscalls", "CEpoll", "CSystemd"], swiftSettings: strict),
        .executableTarget(
            name: "FPMdPHP", dependencies: ["Zygote", "Syscalls", "CPHP", "CEpoll"], swiftSettings: strict,
            linkerSettings: [.linkedLibrary("php8.2")]),
        .target(
            name: "EngineLibrary", dependencies: ["Zygote", "CPHP", "CEngineHost"], swiftSettings: strict),
        .executableTarget(
            name: "FPMCtl", dependencies: ["Control", "Configuration", "LocalSystem", "CEpoll", arguments], swiftSettings: strict),

        // Documents from the directive table; not installed. See scripts/generate.
        .executableTarget(
            name: "WriteDocuments", dependencies: ["DirectiveDocuments"], swiftSettings: strict),

        // Tests, one folder per module, then the real programs from outside.
        .target(name: "CTestSupport", path: "Tests/CTestSupport", cSettings: shim),
        .target(
            name: "TestSupport", dependencies: ["CTestSupport"], path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(
            name: "FastCGITests", dependencies: ["FastCGI"], resources: [.copy("Fixtures")], swiftSettings: strict),
        .testTarget(
            name: "StatusPageTests", dependencies: ["StatusPage"], resources: [.copy("Fixtures")],
            swiftSettings: strict),
        .testTarget(name: "HTTPTests", dependencies: ["HTTP"], swiftSettings: strict),
        .testTarget(
            name: "ConfigurationTests", dependencies: ["Configuration", "DirectiveDocuments", "LocalSystem"], exclude: ["Corpus"], swiftSettings: strict),
        .testTarget(name: "ControlTests", dependencies: ["Control"], swiftSettings: strict),
        .testTarget(name: "FPMCtlTests", dependencies: ["FPMCtl", "Control", "Configuration"], swiftSettings: strict),
        .testTarget(name: "PoolPolicyTests", dependencies: ["PoolPolicy", "Configuration"], swiftSettings: strict),
        .executableTarget(
            name: "SyscallsHelper", dependencies: ["Syscalls", "CEpoll", "CTestSupport"], path: "Tests/SyscallsHelper", swiftSettings: strict),
        .testTarget(
            name: "SyscallsTests", dependencies: ["Syscalls", "CEpoll", "TestSupport", system], swiftSettings: strict),
        .testTarget(name: "ReactorTests", dependencies: ["Reactor", "CEpoll", "Syscalls", system], swiftSettings: strict),
        .testTarget(name: "ScoreboardTests", dependencies: ["Scoreboard", "StatusPage", "Syscalls", "CScoreboard", system], swiftSettings: strict),
        .testTarget(name: "ChannelTests", dependencies: ["Channel", "CEpoll", "Configuration", "Syscalls", system], swiftSettings: strict),
        .testTarget(
            name: "AccessLogTests", dependencies: ["AccessLog", "Configuration", "FastCGI", "Syscalls"],
            swiftSettings: strict),
        .testTarget(name: "LoggingTests", dependencies: ["Logging", "Configuration", "CEpoll", "Syscalls"], swiftSettings: strict),
        .testTarget(
            name: "MasterTests",
            dependencies: [
                "Master", "Reactor", "Channel", "Control", "FastCGI", "Configuration", "Logging", "StatusPage", "CEpoll",
                "Syscalls", system,
            ],
            swiftSettings: strict),
        .testTarget(name: "SystemdTests", dependencies: ["Master", "Configuration", "Logging"], swiftSettings: strict),
        .testTarget(name: "IntegrationTests", dependencies: ["TestSupport"], swiftSettings: strict),
        .testTarget(name: "ParityTests", dependencies: ["TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "EndToEndTests", dependencies: ["TestSupport"], exclude: ["install-apps.sh"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
