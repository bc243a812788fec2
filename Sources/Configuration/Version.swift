/// The version of this software; the newest in CHANGELOG.md.
public enum Version {
    /// As in `0.1.0`.
    public static let text: ByteString = "0.1.0"
}
