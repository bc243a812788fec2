/// Where the control socket is, for the master that makes it and for `fpmctl` that looks for it.
public enum ControlSocketPath {
    /// The directory for it unless systemd names another.
    public static let directory: ByteString = "/run/fpmd"
    /// Its name there.
    public static let name: ByteString = "fpmd.sock"

    /// Whether a value of `control.socket` means that there is to be none.
    public static func isOff(_ value: ByteString) -> Bool {
        // The configuration's language makes a blank of `off`.
        value.isEmpty || ["off", "no", "none", "false", "0"].contains { value.equalsIgnoringCase($0) }
    }

    /// Whether a value means that there is to be one, and not where.
    static func isOn(_ value: ByteString) -> Bool {
        ["1", "on", "yes", "true"].contains { value.equalsIgnoringCase($0) }
    }

    /// The directory of the default: the first of systemd's `RuntimeDirectory=`, else ``directory``.
    ///
    /// - Parameter variable: `RUNTIME_DIRECTORY` of the environment.
    /// - Returns: An absolute path.
    public static func defaultDirectory(runtimeDirectory variable: ByteString?) -> ByteString {
        let first = variable?.bytes.split(separator: UInt8(ascii: ":")).first.map { ByteString($0) }
        guard let first, first.isAbsolutePath else { return directory }
        return first
    }

    /// The default path below ``defaultDirectory(runtimeDirectory:)``.
    public static func defaultPath(runtimeDirectory variable: ByteString?) -> ByteString {
        defaultDirectory(runtimeDirectory: variable) + "/" + name
    }
}
