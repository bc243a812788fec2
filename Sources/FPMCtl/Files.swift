import Configuration
import Glibc
import LocalSystem

/// The text of a small file without its last newline, its first 16 MiB; nil when it cannot be read.
func fileText(_ path: String) -> String? {
    guard let bytes = try? contents(of: ByteString(path), atMost: 16 << 20) else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
}

/// The kind of what a path names, `S_IFDIR` and so on; nil when there is nothing.
func fileKind(_ path: ByteString) -> mode_t? {
    var info = stat()
    return stat(path.cString, &info) == 0 ? info.st_mode & S_IFMT : nil
}
