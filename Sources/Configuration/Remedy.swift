/// What to do about a file or socket that cannot be made: names the directory.
///
/// Pure. Numbers are Linux' errnos.
///
/// - Parameters:
///   - path: What could not be made.
///   - code: Why.
/// - Returns: One sentence without its end; nil if the directory is not at fault.
public func directoryRemedy(for path: ByteString, code: Int32) -> ByteString? {
    let slash = path.bytes.lastIndex(of: UInt8(ascii: "/"))
    let directory: ByteString =
        slash.map { $0 == path.bytes.startIndex ? "/" : ByteString(path.bytes[..<$0]) } ?? "."
    switch code {
    case 2: return "make the directory \(directory), or correct the path"
    case 20: return "a part of \(directory) is a file: correct the path"
    case 21: return "\(path) is a directory: name a file in it"
    case 1, 13: return "let the user that starts fpmd write to \(directory), or correct the path"
    case 30:
        return
            "\(directory) is read-only here: with systemd, RuntimeDirectory= makes it and ReadWritePaths= lets fpmd write"
    default: return nil
    }
}
