/// Whether fpmd acts on a directive yet.
public enum DirectiveEffect: Hashable, Sendable {
    /// It does what php-fpm's does.
    case effective
    /// It is read and checked; the issue named will make it work.
    case notYet(issue: Int)
}

/// What a directive's value may be, for people.
public enum DirectiveKind: String, Hashable, Sendable {
    case text = "string"
    case boolean
    case integer
    case time
    case logLevel = "log level"
    case facility = "syslog facility"
    case coreLimit = "integer or unlimited"
    case size
    case processManager = "static, dynamic or ondemand"
    case array
}

/// One row of the directive table.
public struct Directive: Hashable, Sendable {
    /// Where a directive may stand.
    public enum Scope: Hashable, Sendable { case global, pool }

    /// Name as in a file; array directives end in `[]` or `[NAME]`.
    public var name: ByteString
    /// The section it belongs to.
    public var scope: Scope
    /// What its value may be.
    public var kind: DirectiveKind
    /// Value when it is absent, for people.
    public var defaultText: String
    /// What it does, in one line.
    public var summary: String
    /// Whether fpmd acts on it.
    public var effect: DirectiveEffect
    /// Whether php-fpm has no such directive.
    public var isOurs = false

    /// Every directive, global ones first, in the order of the `-tt` dump.
    public static var all: [Directive] {
        [include] + GlobalSettings.table.map(\.directive) + PoolSettings.table.map(\.directive)
    }

    /// Read by the loader itself, in any section.
    static let include = Directive(
        name: "include",
        scope: .global,
        kind: .text,
        defaultText: "none",
        summary: "Pattern of files to read at this place; allowed in every section.",
        effect: .effective
    )
}

/// A property that a directive sets, with the type that says how it is read and shown.
enum DirectiveField<Settings>: Sendable {
    /// A property of the settings.
    typealias Property<Value> = any WritableKeyPath<Settings, Value> & Sendable

    case text(Property<ByteString?>)
    case boolean(Property<Bool>)
    case integer(Property<Int>)
    case priority(Property<Int?>)
    case seconds(Property<Duration>)
    /// As `seconds`, but the dump has no unit.
    case plainSeconds(Property<Duration>)
    case optionalSeconds(Property<Duration?>)
    case logLevel(Property<LogLevel?>)
    case facility(Property<Int>)
    case coreLimit(Property<Int>)
    /// Bytes, with the suffixes `K`, `M` and `G`.
    case size(Property<Int>)
    case processManager(Property<ProcessManager?>)
    /// `access.suppress_path[]`.
    case paths(Property<[ByteString]>)
    /// `env[…]`.
    case environment(Property<[EnvironmentEntry]>)
    /// A `php_…[…]` form; flags are booleans, and the dump shows each list under its value form only.
    case phpSettings(Property<[PHPSetting]>, isAdmin: Bool, isFlag: Bool)

    var kind: DirectiveKind {
        switch self {
        case .text: .text
        case .boolean: .boolean
        case .integer, .priority: .integer
        case .seconds, .plainSeconds, .optionalSeconds: .time
        case .logLevel: .logLevel
        case .facility: .facility
        case .coreLimit: .coreLimit
        case .size: .size
        case .processManager: .processManager
        case .paths, .environment, .phpSettings: .array
        }
    }

    var isArray: Bool { kind == .array }
}

/// A row of a section's table: what to tell people, and the property to set.
struct DirectiveRow<Settings>: Sendable {
    /// Name without brackets.
    let name: ByteString
    let field: DirectiveField<Settings>
    let directive: Directive
    /// When `-tt` shows it.
    let dump: DumpRule
}

/// The rows of a section that take one value, by their names in small letters.
struct ScalarDirectives<Settings>: Sendable {
    private let rows: [ByteString: DirectiveRow<Settings>]

    init(of table: [DirectiveRow<Settings>]) {
        let scalars = table.filter { !$0.field.isArray }.map { ($0.name.loweredASCII, $0) }
        rows = Dictionary(scalars, uniquingKeysWith: { first, _ in first })
    }

    /// The row of a name, whose letters' case does not matter.
    subscript(name: ByteString) -> DirectiveRow<Settings>? { rows[name.loweredASCII] }
}

/// When `-tt` shows a directive.
enum DumpRule: Sendable {
    case always, never
    /// A directive that php-fpm does not have: shown where it is set, so that other dumps stay the same.
    case whenSet
}

extension DirectiveRow {
    init(
        _ name: ByteString,
        _ field: DirectiveField<Settings>,
        scope: Directive.Scope,
        default defaultText: String,
        _ summary: String,
        effect: DirectiveEffect,
        dump: DumpRule
    ) {
        let brackets: ByteString =
            if case .paths = field { "[]" } else { field.isArray ? "[NAME]" : "" }
        self.name = name
        self.field = field
        self.dump = dump
        directive = Directive(
            name: name + brackets,
            scope: scope,
            kind: field.kind,
            defaultText: defaultText,
            summary: summary,
            effect: effect,
            isOurs: dump == .whenSet
        )
    }
}
