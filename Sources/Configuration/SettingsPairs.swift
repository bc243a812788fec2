/// Settings as names and values, for another image of this program: what differs from a section without directives.
///
/// The names are the directives', so that an image of another version reads what both know. The values are those of the
/// properties, checked and expanded already, and not the language of configuration files.
extension PoolSettings {
    /// The properties that differ from those of an empty section.
    public var pairs: [(name: ByteString, value: ByteString)] {
        let plain = PoolSettings(name: name)
        var pairs = Self.table.flatMap { $0.field.pairs(of: self, plain, name: $0.name) }
        if let statusListenerText { pairs.append((Self.statusListenerName, statusListenerText)) }
        for source in sources {
            pairs.append((Self.sourceName, (source.beginsInside ? "1" : "0") + source.path))
        }
        return pairs
    }

    /// The settings of ``pairs``; names that are not known here are left out.
    public init(name: ByteString, pairs: [(name: ByteString, value: ByteString)]) {
        self.init(name: name)
        for (name, value) in pairs {
            switch name {
            case Self.statusListenerName: statusListenerText = value
            case Self.sourceName:
                sources.append(
                    PoolSource(
                        path: ByteString(value.bytes.dropFirst()),
                        beginsInside: value.bytes.first == UInt8(ascii: "1")
                    )
                )
            default: Self.table.first { $0.name == name }?.field.set(value, in: &self)
            }
        }
    }

    // No directives: their names cannot be.
    private static let statusListenerName: ByteString = "=status listener"
    private static let sourceName: ByteString = "=source"
}

extension GlobalSettings {
    /// The properties that differ from those of an empty section.
    public var pairs: [(name: ByteString, value: ByteString)] {
        let plain = GlobalSettings()
        let pairs = Self.table.flatMap { $0.field.pairs(of: self, plain, name: $0.name) }
        return answersSystemdWatchdog ? pairs + [(Self.watchdogName, "1")] : pairs
    }

    /// The settings of ``pairs``; names that are not known here are left out.
    public init(pairs: [(name: ByteString, value: ByteString)]) {
        self.init()
        for (name, value) in pairs {
            if name == Self.watchdogName {
                answersSystemdWatchdog = true
            } else {
                Self.table.first { $0.name == name }?.field.set(value, in: &self)
            }
        }
    }

    private static let watchdogName: ByteString = "=watchdog"
}

extension DirectiveField {
    /// The value, or the elements of the list; nothing where it is that of `plain`.
    fileprivate func pairs(of settings: Settings, _ plain: Settings, name: ByteString)
        -> [(name: ByteString, value: ByteString)]
    {
        switch self {
        case .text(let property):
            return settings[keyPath: property] == plain[keyPath: property]
                ? [] : settings[keyPath: property].map { [(name, $0)] } ?? []
        case .paths(let property): return settings[keyPath: property].map { (name, $0) }
        case .environment(let property):
            return settings[keyPath: property].map { (name, Self.joined($0.name, $0.value)) }
        // Both forms of a list are one property.
        case .phpSettings(_, _, isFlag: true): return []
        case .phpSettings(let property, _, _):
            return settings[keyPath: property].map { (name, Self.joined($0.name, $0.value)) }
        default:
            guard let number = number(settings), number != self.number(plain) else { return [] }
            return [(name, "\(number)")]
        }
    }

    /// What is not text as a number; nil for text, lists and what is unset.
    private func number(_ settings: Settings) -> Int64? {
        switch self {
        case .boolean(let property): settings[keyPath: property] ? 1 : 0
        case .integer(let property), .facility(let property), .coreLimit(let property), .size(let property):
            Int64(settings[keyPath: property])
        case .priority(let property): settings[keyPath: property].map { Int64($0) }
        case .seconds(let property), .plainSeconds(let property):
            Self.milliseconds(settings[keyPath: property])
        case .optionalSeconds(let property): settings[keyPath: property].map { Self.milliseconds($0) }
        case .logLevel(let property): settings[keyPath: property].map { Int64($0.rawValue) }
        case .processManager(let property): settings[keyPath: property].map { Int64($0.rawValue) }
        case .text, .paths, .environment, .phpSettings: nil
        }
    }

    /// Sets a value, or adds one to a list; what is no value of this type changes nothing.
    fileprivate func set(_ value: ByteString, in settings: inout Settings) {
        switch self {
        case .text(let property): return settings[keyPath: property] = value
        case .paths(let property): return settings[keyPath: property].append(value)
        case .environment(let property):
            let (name, text) = Self.split(value)
            return settings[keyPath: property].append(EnvironmentEntry(name: name, value: text))
        case .phpSettings(let property, let isAdmin, _):
            let (name, text) = Self.split(value)
            return settings[keyPath: property].append(PHPSetting(name: name, value: text, isAdmin: isAdmin))
        default: break
        }
        guard let number = Int(String(decoding: value.bytes, as: UTF8.self)) else { return }
        switch self {
        case .boolean(let property): settings[keyPath: property] = number != 0
        case .integer(let property), .facility(let property), .coreLimit(let property), .size(let property):
            settings[keyPath: property] = number
        case .priority(let property): settings[keyPath: property] = number
        case .seconds(let property), .plainSeconds(let property):
            settings[keyPath: property] = .milliseconds(number)
        case .optionalSeconds(let property): settings[keyPath: property] = .milliseconds(number)
        case .logLevel(let property): settings[keyPath: property] = LogLevel(rawValue: number)
        case .processManager(let property): settings[keyPath: property] = ProcessManager(rawValue: number)
        case .text, .paths, .environment, .phpSettings: break
        }
    }

    private static func milliseconds(_ time: Duration) -> Int64 {
        let (seconds, attoseconds) = time.components
        return seconds &* 1000 &+ attoseconds / 1_000_000_000_000_000
    }

    /// Names have no NUL.
    private static func joined(_ name: ByteString, _ value: ByteString) -> ByteString {
        ByteString(name.bytes + [0] + value.bytes)
    }

    private static func split(_ text: ByteString) -> (name: ByteString, value: ByteString) {
        let end = text.bytes.firstIndex(of: 0) ?? text.count
        return (ByteString(text.bytes[..<end]), ByteString(text.bytes[end...].dropFirst()))
    }
}
