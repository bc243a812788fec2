import Foundation

/// Fills `{{NAME}}` and `{{NAME:LABEL}}` in a configuration, and remembers the addresses it made up.
///
/// `{{DIR}}` is the daemon's directory, `{{WWW}}` its document root, `{{TMP}}` what all may write to, `{{SOCKET}}` or `{{SOCKET:x}}` a path for
/// a Unix socket, `{{PORT}}` or `{{PORT:x}}` a TCP port that is free. The same label is the same address.
struct ConfigurationTemplate {
    let directory: String
    private(set) var sockets: [String: String] = [:]
    private(set) var ports: [String: UInt16] = [:]

    init(directory: String) {
        self.directory = directory
    }

    /// Returns `text` with every placeholder replaced.
    ///
    /// - Throws: ``TestFailure`` for a placeholder with another name.
    mutating func fill(_ text: String) throws -> String {
        var result = ""
        var rest = text[...]
        while let match = rest.firstMatch(of: #/\{\{([A-Z]+)(?::(\w+))?\}\}/#) {
            result += rest[..<match.range.lowerBound]
            result += try value(String(match.1), label: match.2.map(String.init) ?? "")
            rest = rest[match.range.upperBound...]
        }
        return result + rest
    }

    private mutating func value(_ name: String, label: String) throws -> String {
        switch name {
        case "DIR": return directory
        case "WWW": return directory + "/www"
        case "TMP": return directory + "/tmp"
        case "SOCKET": return socket(label)
        case "PORT": return try String(port(label))
        default: throw TestFailure("unknown placeholder {{\(name)}}")
        }
    }

    private mutating func socket(_ label: String) -> String {
        if let path = sockets[label] { return path }
        let path = "\(directory)/\(label.isEmpty ? "fpm" : label).sock"
        sockets[label] = path
        return path
    }

    private mutating func port(_ label: String) throws -> UInt16 {
        if let port = ports[label] { return port }
        let port = try Ports.unused()
        ports[label] = port
        return port
    }
}
