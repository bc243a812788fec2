internal import Glibc

/// The distribution's own PHP program, which can run the engine as a library.
///
/// PHP's calls within itself are direct there, while in libphp.so each goes through a table: pages that compute
/// are 5 to 10 % faster. The library replaces the program's `main`; see `CEngineHost/start.c`.
public struct EngineHost: Equatable {
    /// Absolute path of the program.
    public let program: String
    /// Absolute path of the engine library.
    public let library: String

    /// Debian's command-line PHP: it exports all of PHP for its extensions, and every other php8.2 package
    /// depends on it.
    private static let standardProgram = "/usr/bin/php8.2"

    /// What may serve as a host for the engine program in `directory`; nil when a part is missing.
    ///
    /// - Parameters:
    ///   - directory: Where the engine program is.
    ///   - choice: The program's path, empty for none; nil for the usual one.
    /// - Returns: The host, not tried yet.
    static func candidate(besideEngineIn directory: String, choice: String?) -> EngineHost? {
        let program = choice ?? standardProgram
        guard program.hasPrefix("/"), access(program, X_OK) == 0 else { return nil }
        // A release, else what a debug build leaves.
        for name in ["fpmd-php.so", "libfpmd-php-engine.so"] {
            guard let path = realpath("\(directory)/\(name)", nil) else { continue }
            defer { free(path) }
            let library = String(cString: path)
            // LD_PRELOAD knows no way to quote these.
            if library.contains(where: { $0 == ":" || $0 == " " }) { continue }
            return EngineHost(program: program, library: library)
        }
        return nil
    }

    /// LD_PRELOAD with the library first; the engine takes it out again.
    var preload: String {
        let own = getenv("LD_PRELOAD").map { String(cString: $0) } ?? ""
        return "LD_PRELOAD=" + (own.isEmpty ? library : "\(library):\(own)")
    }
}
