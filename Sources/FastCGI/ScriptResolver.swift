/// Finds the script a request names, and repairs the parameters the way PHP programs expect them.
///
/// Web servers put script and path information into SCRIPT_FILENAME, PATH_TRANSLATED, PATH_INFO,
/// SCRIPT_NAME and REDIRECT_URL in several ways. The result and the changed parameters are those of
/// php-fpm 8.2 with the same settings; old values stay visible under their `ORIG_` names.
public struct ScriptResolver: Sendable {
    /// Settings of php.ini that take part.
    public struct Settings: Equatable, Sendable {
        /// `cgi.fix_pathinfo`: split `/script.php/path/info` by looking at files.
        public var fixPathinfo: Bool
        /// `cgi.discard_path`: without `fixPathinfo`, do not let PATH_TRANSLATED replace SCRIPT_FILENAME.
        public var discardPath: Bool
        /// `doc_root`: value for a missing DOCUMENT_ROOT; empty is unset.
        public var documentRoot: [UInt8]

        /// Makes settings; the defaults are PHP's.
        public init(fixPathinfo: Bool = true, discardPath: Bool = false, documentRoot: [UInt8] = []) {
            self.fixPathinfo = fixPathinfo
            self.discardPath = discardPath
            self.documentRoot = documentRoot
        }
    }

    /// What was found.
    ///
    /// The strings are in the table that was resolved, until its next change.
    public struct Resolution: Equatable, Sendable {
        /// The script to run; nil is a 404 (`File not found.`).
        public var scriptPath: Slice?
        /// The URI that ping, status, access log and PHP_SELF go by; nil when SCRIPT_NAME is missing.
        public var requestURI: Slice?
        /// Response code to start with: 200, or 404 when the file search failed.
        public var initialStatus: Int
        /// Whether the request had SCRIPT_FILENAME or PATH_TRANSLATED.
        ///
        /// If not, ping, status, query string and authentication do not exist for it either.
        public var hasScriptParameter: Bool
    }

    let settings: Settings

    /// Makes a resolver.
    public init(_ settings: Settings = Settings()) {
        self.settings = settings
    }
}
